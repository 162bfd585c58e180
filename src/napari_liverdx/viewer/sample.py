"""The sample slide for File > Open Sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.sample import sample_path
from napari_liverdx.viewer.layers.base import slide_layer_data

if TYPE_CHECKING:
    from napari.types import LayerData

__all__ = ["open_sample"]


def open_sample() -> list[LayerData]:
    """Open real liver H&E, two regions in a synthetic layout, 0.5 µm/px."""
    return [slide_layer_data(open_slide(sample_path()))]
