"""Many slides one after another, each failing alone, with one table of all."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from napari_liverdx._files import readable_name
from napari_liverdx._version import NOTICE, __version__
from napari_liverdx.core.errors import DataError, PlanError, ResultError
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.mil.file import load_mil_model
from napari_liverdx.models.card import ModelCard
from napari_liverdx.models.conformal import conformal_quantiles
from napari_liverdx.reports.cohort import CohortRow, write_cohort, write_cohort_manifest
from napari_liverdx.session.batch_slide import (
    BatchRequest,
    BatchTools,
    SlideState,
    SlideStep,
    slide_steps,
)
from napari_liverdx.session.run import loaded_model
from napari_liverdx.slides.address import remote_address
from napari_liverdx.slides.listing import SlideEntry

__all__ = [
    "BatchEnded",
    "BatchRequest",
    "BatchStarted",
    "BatchSummary",
    "SlideChanged",
    "SlideState",
    "first_rows",
    "run_batch",
]

TABLE, MANIFEST = "cohort.csv", "cohort.json"


@dataclass(frozen=True, slots=True)
class BatchStarted:
    """The model is loaded.

    Attributes
    ----------
    rows : tuple of CohortRow
        One for each slide, all waiting.
    card : ModelCard
    """

    rows: tuple[CohortRow, ...]
    card: ModelCard


@dataclass(frozen=True, slots=True)
class SlideChanged:
    """A slide stands elsewhere.

    Attributes
    ----------
    index : int
        Of the slide in the request.
    step : SlideStep
        State, progress, message, measurements and result.
    """

    index: int
    step: SlideStep


@dataclass(frozen=True, slots=True)
class BatchSummary:
    """What came of a batch.

    Attributes
    ----------
    done, resumed, failed, stopped : int
        Slides: analyzed now, analyzed before, failed, and cut short.
    not_reached : tuple of str
        Names of the slides that a stop left waiting.
    table : Path
        The cohort table.
    table_problem : str
        Why it could not be written; empty if it could.
    """

    done: int
    resumed: int
    failed: int
    stopped: int
    not_reached: tuple[str, ...]
    table: Path
    table_problem: str = ""

    @property
    def was_stopped(self) -> bool:
        """Whether slides are left to do."""
        return bool(self.stopped or self.not_reached)

    def __str__(self) -> str:
        counts = (
            (self.done, "analyzed"),
            (self.resumed, "analyzed before"),
            (self.failed, "failed"),
            (self.stopped, "stopped on the way"),
            (len(self.not_reached), "not reached"),
        )
        said = ", ".join(f"{n} {what}" for n, what in counts if n) or "no slides"
        return f"Stopped: {said}" if self.was_stopped else f"Finished: {said}"


@dataclass(frozen=True, slots=True)
class BatchEnded:
    """Nothing is at work any more.

    Attributes
    ----------
    rows : tuple of CohortRow
        The cohort table.
    card : ModelCard
        Of the model; its pathological classes are the table's.
    summary : BatchSummary
    """

    rows: tuple[CohortRow, ...]
    card: ModelCard
    summary: BatchSummary


BatchEvent = BatchStarted | SlideChanged | BatchEnded


def first_rows(slides: Sequence[SlideEntry]) -> tuple[CohortRow, ...]:
    """Return rows of slides that wait, with their folders relative to what all of them share."""
    # Remote slides lie in no folder.
    remote = [remote_address(s.path) is not None for s in slides]
    parents = [
        "" if far else os.path.abspath(s.path.parent) for s, far in zip(slides, remote, strict=True)
    ]
    try:
        shared = os.path.commonpath([p for p in parents if p]) if any(parents) else ""
        folders = [Path(os.path.relpath(p, shared)).as_posix() if p else "." for p in parents]
    except ValueError:  # on different drives
        folders = [Path(p).name for p in parents]
    return tuple(
        CohortRow(readable_name(s.path), "" if folder == "." else folder, SlideState.WAITING.value)
        for s, folder in zip(slides, folders, strict=True)
    )


def run_batch(request: BatchRequest, stop: threading.Event) -> Iterator[BatchEvent]:
    """Analyze slides one after another with one model, and keep a table of all.

    A slide that cannot be analyzed fails alone and says why. One whose result is whole is not
    analyzed again: its stored result is measured for the table, and the report, the measurements
    and the thresholds that are kept with it stay as they are. After each slide ``cohort.csv`` in
    the folder of results is brought up to date.

    Parameters
    ----------
    request : BatchRequest
        What to analyze.
    stop : threading.Event
        Set it to end the batch between two batches of tiles; everything finished is kept, and the
        same request goes on from there.

    Yields
    ------
    BatchStarted
        Once.
    SlideChanged
        Whenever a slide gets on.
    BatchEnded
        Once, with the summary.

    Raises
    ------
    DataError
        If there is no slide, or one is listed twice.
    ModelFileError
        If the model or the slide-level model cannot be used.
    PlanError
        If what is asked for makes no sense with this model.
    """
    tools = _prepare(request)
    rows = list(first_rows(request.slides))
    yield BatchStarted(tuple(rows), tools.model.card)
    book = _Book(tools)
    for index, listed in enumerate(request.slides):
        if stop.is_set():
            break
        with closing(slide_steps(tools, listed, rows[index], stop)) as steps:
            for step in steps:
                rows[index] = step.row
                yield SlideChanged(index, step)
        book.write(rows)
    for index, row in enumerate(rows):
        if row.state == SlideState.WAITING:
            text = "Not reached: the batch was stopped before it"
            yield SlideChanged(index, SlideStep(SlideState.WAITING, row, message=text))
    summary = book.close(rows)
    yield BatchEnded(tuple(rows), tools.model.card, summary)


def _prepare(request: BatchRequest) -> BatchTools:
    """Load what is shared; refuse what cannot work for any slide."""
    if not request.slides:
        raise DataError("there is no slide to analyze; add slides or a folder of slides")
    twice = [p for p, n in Counter((s.path, s.scene) for s in request.slides).items() if n > 1]
    if twice:
        raise DataError(f"{twice[0][0]}: is listed twice; list each slide once")
    if request.mpp is not None:
        Mpp.square(request.mpp, "given by user")
    if not 0 <= request.overlap < 1:
        raise PlanError(f"overlap {request.overlap:g} is out of range; give 0 or more, below 1")
    model = loaded_model(request.model)
    conformal_quantiles(model.card, request.settings.error_rate)
    context = None if request.context is None else load_mil_model(request.context)
    if context is not None:
        context.check_tile_model(model.card.name, model.sha256)
        context.check_overlap(request.overlap)
    return BatchTools(request, model, context)


class _Book:
    """Keeps table and manifest of a batch up to date; a full disk does not end the batch."""

    def __init__(self, tools: BatchTools) -> None:
        self._tools = tools
        self._began = _now()
        self._folder = tools.request.out_folder
        self.problem = ""

    def write(self, rows: Sequence[CohortRow], finished: str = "") -> None:
        try:
            scheme, hide = self._tools.model.card.scheme, self._tools.request.hide_names
            write_cohort(self._folder / TABLE, rows, scheme, hide_names=hide)
            write_cohort_manifest(self._folder / MANIFEST, self._facts(rows, finished))
            self.problem = ""
        except ResultError as error:
            self.problem = str(error)

    def close(self, rows: Sequence[CohortRow]) -> BatchSummary:
        """Write a last time and count."""
        self.write(rows, _now())
        counts = Counter(row.state for row in rows)
        names = tuple(row.slide for row in rows if row.state == SlideState.WAITING)
        done, resumed, failed, stopped = (
            counts[s.value]
            for s in (SlideState.DONE, SlideState.RESUMED, SlideState.FAILED, SlideState.STOPPED)
        )
        table = self._folder / TABLE
        return BatchSummary(done, resumed, failed, stopped, names, table, self.problem)

    def _facts(self, rows: Sequence[CohortRow], finished: str) -> dict[str, object]:
        request, card = self._tools.request, self._tools.model.card
        context = self._tools.context
        settings = request.settings.of_scheme(card.scheme)
        return {
            "table": TABLE,
            "slides": len(rows),
            "states": dict(Counter(row.state for row in rows)),
            "model_name": card.name,
            "model_version": card.version,
            "model_sha256": self._tools.model.sha256,
            "context": None if context is None else context.card.name,
            "thresholds": dict(settings.thresholds),
            "error_rate": settings.error_rate,
            "measured_on": settings.map_kind.value,
            "overlap": request.overlap,
            "keep_artefacts": request.keep_artifacts,
            "hide_names": request.hide_names,
            "mpp_where_none_is_stated": request.mpp,
            "version": __version__,
            "began": self._began,
            "finished": finished,
            "notice": NOTICE,
        }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
