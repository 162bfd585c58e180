"""Labelled pictures to learn from and to test on: one module for each way to lay them out."""

from __future__ import annotations

from napari_liverdx.training.data.base import Example, Samples
from napari_liverdx.training.data.folders import FolderSamples
from napari_liverdx.training.data.masks import LabelRule, MaskedSamples, blank_pixels
from napari_liverdx.training.data.slides import SlideSamples
from napari_liverdx.training.data.table import TableSamples

__all__ = [
    "Example",
    "FolderSamples",
    "LabelRule",
    "MaskedSamples",
    "Samples",
    "SlideSamples",
    "TableSamples",
    "blank_pixels",
]
