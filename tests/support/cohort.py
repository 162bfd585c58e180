"""Running a batch and reading its table."""

from __future__ import annotations

import csv
import io
import threading
from pathlib import Path

from napari_liverdx.session.batch import BatchEnded, BatchRequest, BatchSummary, run_batch
from tests.support.paths import one


def result_of(folder: Path) -> Path:
    """The result of the slide liver.tif in a batch's folder."""
    return one(folder, "liver.tiny-*.liverdx.zarr")


def last_states(request: BatchRequest) -> tuple[dict[str, str], BatchSummary]:
    """State of each slide at the end, by folder and name, and the summary."""
    ended = [e for e in run_batch(request, threading.Event()) if isinstance(e, BatchEnded)]
    rows, summary = ended[0].rows, ended[0].summary
    return {f"{r.folder}/{r.slide}": r.state for r in rows}, summary


def cohort_table(folder: Path, *, without: tuple[str, ...] = ("seconds",)) -> list[dict[str, str]]:
    """Rows of the cohort table, without what no two runs have in common."""
    rows = read_csv(folder / "cohort.csv")
    return [{k: v for k, v in row.items() if k not in without} for row in rows]


def read_csv(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))
