"""Labeled pictures to learn from and to test on: one module for each way to lay them out."""

from __future__ import annotations

from napari_liverdx.training.data.base import Example, TileDataset
from napari_liverdx.training.data.folders import FolderDataset
from napari_liverdx.training.data.masks import FatMaskDataset, LabelRule, blank_pixels
from napari_liverdx.training.data.slides import SlideDataset
from napari_liverdx.training.data.table import TableDataset

__all__ = [
    "Example",
    "FatMaskDataset",
    "FolderDataset",
    "LabelRule",
    "SlideDataset",
    "TableDataset",
    "TileDataset",
    "blank_pixels",
]
