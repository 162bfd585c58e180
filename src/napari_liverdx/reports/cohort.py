"""The cohort table: one row for each slide of a batch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from napari_liverdx._files import atomic_write
from napari_liverdx._text import csv_text
from napari_liverdx.core.classes import ClassScheme
from napari_liverdx.core.errors import storage_errors
from napari_liverdx.core.measure import ClassMeasure
from napari_liverdx.results.privacy import redact

__all__ = [
    "CohortRow",
    "cohort_columns",
    "cohort_text",
    "hidden_row",
    "write_cohort",
    "write_cohort_manifest",
]

_BEFORE = ("slide", "folder", "state", "tissue_mm2")
_OF_CLASS = ("mm2", "percent_of_tissue", "foci", "largest_focus_mm")
_AFTER = (
    "domain",
    "ood_figures",
    "slide_call",
    "tiles",
    "failed_tiles",
    "mpp",
    "mpp_source",
    "seconds",
    "result",
    "problem",
    "scene",
)


@dataclass(frozen=True, slots=True)
class CohortRow:
    """What is known of one slide of a batch.

    Attributes
    ----------
    slide, folder : str
        File name, and its folder relative to what all slides of the batch share.
    state : str
        A value of `napari_liverdx.session.batch.SlideState`.
    tissue_mm2 : float
        Analyzed tissue; NaN without a result.
    measures : tuple of ClassMeasure
        Of all classes; empty without a result.
    ood, ood_figures : str
        Whether the slide looks like the training data, and the figures behind that; empty where
        the model cannot tell.
    slide_prediction : str
        By a slide-level (MIL) model; empty without one.
    tiles, failed_tiles : int
        Tiles on tissue, and those that could not be read.
    mpp : float
        Level-0 µm/px, mean of both axes; NaN where it is not known.
    mpp_source : str
    seconds : float
        Time that was spent on the analysis, over all its resumes; NaN without a result.
    result : str
        Name of the result beside the table.
    problem : str
        Why the slide failed; empty if it did not.
    scene : str
        Index and name of the scene, where the file holds several; else empty.
    code : str
        What stands in place of the slide's name where that is hidden; empty until the slide was
        opened. No column of the table.
    """

    slide: str
    folder: str
    state: str
    tissue_mm2: float = math.nan
    measures: tuple[ClassMeasure, ...] = ()
    ood: str = ""
    ood_figures: str = ""
    slide_prediction: str = ""
    tiles: int = 0
    failed_tiles: int = 0
    mpp: float = math.nan
    mpp_source: str = ""
    seconds: float = math.nan
    result: str = ""
    problem: str = ""
    scene: str = ""
    code: str = ""

    def measure_of(self, name: str) -> ClassMeasure | None:
        """Return what was measured of a class; None without a result."""
        return next((m for m in self.measures if m.name == name), None)


def cohort_columns(scheme: ClassScheme) -> tuple[str, ...]:
    """Return the names of the table's columns; each pathological class has four of its own."""
    classes = [scheme[i].name for i in scheme.pathological]
    return (*_BEFORE, *(f"{c}_{what}" for c in classes for what in _OF_CLASS), *_AFTER)


def hidden_row(row: CohortRow, number: int) -> CohortRow:
    """Return a row without the names of the slide and of its folder.

    Parameters
    ----------
    row : CohortRow
        With names.
    number : int
        Place in the list of slides, from 1; it stands for a slide that could not be opened.
    """
    code = row.code or f"slide {number}"
    return replace(
        row,
        slide=code,
        folder="",
        result=redact(row.result, row.slide, code),
        problem=redact(row.problem, row.slide, code),
    )


def cohort_text(rows: Sequence[CohortRow], scheme: ClassScheme, separator: str = ",") -> str:
    """Return the table as text.

    Parameters
    ----------
    rows : sequence of CohortRow
        One for each slide.
    scheme : ClassScheme
        Of the model.
    separator : str
        Between two values.
    """
    table = [cohort_columns(scheme), *(_values(row, scheme) for row in rows)]
    return csv_text(table, separator)


def _values(row: CohortRow, scheme: ClassScheme) -> list[str]:
    values = [row.slide, row.folder, row.state, _number(row.tissue_mm2, 6)]
    for index in scheme.pathological:
        found = row.measure_of(scheme[index].name)
        if found is None:
            values += [""] * len(_OF_CLASS)
            continue
        values += [
            _number(found.area_mm2, 6),
            _number(found.percent, 4),
            "" if found.foci is None else str(found.foci),
            "" if found.largest_focus_mm is None else _number(found.largest_focus_mm, 4),
        ]
    counts = (row.tiles, row.failed_tiles) if row.result else ("", "")
    return [
        *values,
        row.ood,
        row.ood_figures,
        row.slide_prediction,
        *map(str, counts),
        "" if math.isnan(row.mpp) else f"{row.mpp:.6g}",
        row.mpp_source,
        _number(row.seconds, 1),
        row.result,
        row.problem,
        row.scene,
    ]


def _number(value: float, digits: int) -> str:
    return "" if math.isnan(value) else f"{value:.{digits}f}"


def write_cohort(
    path: Path, rows: Sequence[CohortRow], scheme: ClassScheme, *, hide_names: bool = False
) -> None:
    """Write the table as CSV; a reader finds the old one or the new one, never a part.

    Parameters
    ----------
    path : Path
        File to write.
    rows : sequence of CohortRow
        One for each slide.
    scheme : ClassScheme
        Of the model.
    hide_names : bool
        Whether codes stand in place of the slides' names; see `hidden_row`.

    Raises
    ------
    StorageFullError
        If the disk is full; the old table is kept.
    ResultError
        If it cannot be written.
    """
    if hide_names:
        rows = [hidden_row(row, number) for number, row in enumerate(rows, 1)]
    _replace(path, cohort_text(rows, scheme))


def write_cohort_manifest(path: Path, facts: Mapping[str, object]) -> None:
    """Write how a batch was set up, as JSON, beside its table.

    Raises
    ------
    StorageFullError
        If the disk is full; the old file is kept.
    ResultError
        If it cannot be written.
    """
    _replace(path, json.dumps(facts, indent=1, ensure_ascii=False) + "\n")


def _replace(path: Path, text: str) -> None:
    with (
        storage_errors(path, "what was there before is kept"),
        atomic_write(path, make_folder=True) as partial,
    ):
        partial.write_text(text, encoding="utf-8", errors="replace")
