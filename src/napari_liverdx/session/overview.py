"""The small picture of a slide that stands beside the canvas."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.reports.html import overlay_picture
from napari_liverdx.results.store import ResultStore
from napari_liverdx.slides.slide import Overview, Slide

__all__ = ["draw_overview", "read_overview"]

_SIDE = 700


def read_overview(slide: Slide) -> Overview:
    """A picture of the slide, about 700 px on its longer side."""
    return slide.overview(max(1.0, max(slide.size) / _SIDE))


def draw_overview(
    overview: Overview, store: ResultStore | None, thresholds: Mapping[str, float]
) -> NDArray[np.uint8]:
    """The picture with the findings on it, RGB, shape (rows, columns, 3).

    Parameters
    ----------
    overview : Overview
        The slide.
    store : ResultStore or None
        The result to draw, if there is one.
    thresholds : mapping of str to float
        Per pathological class of the result.
    """
    if store is None:
        return overview.rgb
    return overlay_picture(overview, store, thresholds, opacity=0.85)
