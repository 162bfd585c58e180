"""Labelled pictures to learn from and to test on: one module for each way to lay them out."""

from __future__ import annotations

from napari_liverdx.engine.folder_samples import FolderSamples
from napari_liverdx.engine.masked_samples import LabelRule, MaskedSamples, blank_pixels
from napari_liverdx.engine.sample_base import Example, Samples
from napari_liverdx.engine.slide_samples import SlideSamples
from napari_liverdx.engine.table_samples import TableSamples

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
