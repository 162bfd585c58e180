"""Exporting and reading back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_liverdx.exports.registry import ExportOptions, export, export_path
from napari_liverdx.results.measure_settings import MeasureSettings
from napari_liverdx.results.store import ResultStore
from napari_liverdx.slides.slide import Overview
from tests.support.results import CELL

DICOM_ACCEPTED = (
    # Study date and time may be empty: when the slide was made is not known.
    "needed to build DICOMDIR",
    # highdicom's term for maps of a quantity, which the checker's list lacks.
    "Unrecognized defined term <QUANTITY>",
)
"""What dciodvfy says of our files that is no fault."""


def exported(
    store: ResultStore,
    name: str,
    thresholds: Mapping[str, float] | None = None,
    **options: Any,
) -> Path:
    path = export_path(store, name, store.path.parent / "out")
    chosen = {"settings": MeasureSettings(thresholds or {}), **options}
    export(store, name, path, ExportOptions(**chosen))
    return path


def counted(store: ResultStore, threshold: float) -> np.ndarray:
    return (store.probabilities[2] >= np.float32(threshold)) & store.tissue_subtiles()


def overview_of(store: ResultStore) -> Overview:
    """A picture of the slide with one black square, that of the map pixel in row 5, column 7."""
    width, height = store.manifest.slide_size
    rgb = np.full((height // 4, width // 4, 3), 230, np.uint8)
    top, left = (64 + 5 * CELL) // 4, (128 + 7 * CELL) // 4
    rgb[top : top + CELL // 4, left : left + CELL // 4] = 0
    return Overview(rgb, 4.0, 4.0)


def all_bytes(path: Path) -> bytes:
    files = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
    assert files
    return b"".join(f.read_bytes() for f in files)
