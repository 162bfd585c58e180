"""Measurements as a table, for a file or the clipboard."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from napari_liverdx._files import atomic_write
from napari_liverdx._text import csv_text
from napari_liverdx.core.errors import storage_errors
from napari_liverdx.core.measure import ClassMeasure
from napari_liverdx.results.findings import Findings
from napari_liverdx.results.measurement_map import MapKind

__all__ = [
    "COLUMNS",
    "WHOLE",
    "measurement_table",
    "measurement_text",
    "measurement_values",
    "write_measurements",
]

COLUMNS = (
    "region",
    "class",
    "threshold",
    "area_mm2",
    "percent_of_tissue",
    "mean_probability",
    "foci",
    "largest_focus_mm",
    "basis",
)

WHOLE = "all analyzed tissue"
"""What the table calls the region of a whole result."""


def measurement_values(measure: ClassMeasure, map_kind: MapKind = MapKind.SUBTILES) -> list[str]:
    """Return the findings of one class as text, in the order of `COLUMNS` without the region.

    What does not apply, or cannot be told without tissue, is empty.
    """
    return [
        measure.name,
        "" if measure.threshold is None else f"{measure.threshold:g}",
        f"{measure.area_mm2:.6f}",
        _number(measure.percent, 4),
        _number(measure.mean_probability, 6),
        "" if measure.foci is None else str(measure.foci),
        "" if measure.largest_focus_mm is None else f"{measure.largest_focus_mm:.4f}",
        map_kind.value,
    ]


def _number(value: float, digits: int) -> str:
    return "" if math.isnan(value) else f"{value:.{digits}f}"


def measurement_table(findings: Findings) -> list[list[str]]:
    """Return the rows of the table, without `COLUMNS`: all tissue first, then each region."""
    parts = [(WHOLE, findings.measures), *((r.name, r.measures) for r in findings.regions)]
    kind = findings.settings.map_kind
    return [[name, *measurement_values(m, kind)] for name, found in parts for m in found]


def measurement_text(rows: Sequence[Sequence[str]], separator: str = "\t") -> str:
    """Return a table as text with its heading; by default as spreadsheets paste it.

    Parameters
    ----------
    rows : sequence of sequence of str
        From `measurement_table`.
    separator : str
        Between two values.
    """
    return csv_text([COLUMNS, *rows], separator)


def write_measurements(path: Path, findings: Findings) -> None:
    """Write the table as CSV, or with tabs where the name ends in ``.tsv`` or ``.txt``.

    Raises
    ------
    StorageFullError
        If the disk is full.
    ResultError
        If it cannot be written.
    """
    separator = "\t" if path.suffix.lower() in (".tsv", ".txt") else ","
    text = measurement_text(measurement_table(findings), separator)
    with storage_errors(path, "the result itself is whole"), atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8")
