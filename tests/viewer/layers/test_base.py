"""Colormaps of probability layers, and layers of slides."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image

from napari_liverdx.slides.slide import Slide
from napari_liverdx.viewer.layers.base import COLORMAPS, probability_colormap, slide_layer_data
from tests.support.models import CLASSES


@pytest.mark.parametrize("name", COLORMAPS[1:])
def test_colormaps_grow_steadily_lighter(name: str) -> None:
    """Perceptually uniform: equal steps of probability are equal steps of lightness."""
    from skimage.color import rgb2lab

    colors = probability_colormap(CLASSES[2], name).map(np.linspace(0.1, 1, 33))[:, :3]
    steps = np.diff(rgb2lab(colors[None])[0, :, 0])
    assert (steps > 0).all()
    assert steps.max() < 2.5 * steps.min()


def test_pixels_of_a_slide_are_kept_once(opened_slide: Slide) -> None:
    """The slide keeps decoded tiles within bounds; dask's cache grew with each slide beside it."""
    data, meta, _ = slide_layer_data(opened_slide)
    assert meta["cache"] is False
    assert Image(data, **meta).rgb
