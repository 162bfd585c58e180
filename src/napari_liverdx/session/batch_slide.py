"""One slide of a batch: the same analysis as of a single slide, and what came of it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from napari_liverdx._files import safe_name
from napari_liverdx.core.errors import LiverDxError, MppError, SlideReadError
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.inference.device import DeviceChoice
from napari_liverdx.inference.ood import read_result
from napari_liverdx.inference.plan import RunPlan
from napari_liverdx.inference.run import RunProgress, result_location
from napari_liverdx.mil.file import LoadedMilModel
from napari_liverdx.mil.train import apply_mil_model
from napari_liverdx.models.conformal import conformal_quantiles
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.reports.cohort import CohortRow
from napari_liverdx.reports.write import ReportOptions, report_paths, save_report
from napari_liverdx.results.findings import Findings, measure_result
from napari_liverdx.results.locate import result_name
from napari_liverdx.results.manifest import SUFFIX, pseudonym_of, stored_fingerprint
from napari_liverdx.results.measure_settings import MeasureSettings
from napari_liverdx.results.privacy import without_folders
from napari_liverdx.results.store import ResultStore, TileState
from napari_liverdx.results.view_state import ViewState
from napari_liverdx.session.plan import plan_slide
from napari_liverdx.session.run import Started, run
from napari_liverdx.slides.listing import SlideEntry
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.slide import Slide

__all__ = ["BatchRequest", "BatchTools", "SlideState", "SlideStep", "slide_steps"]

_LOG = logging.getLogger(__name__)


class SlideState(StrEnum):
    """Where a slide of a batch stands."""

    WAITING = "waiting"
    DETECTING = "looking"
    RUNNING = "running"
    DONE = "done"
    RESUMED = "resumed"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def has_result(self) -> bool:
        """Whether there is a whole result."""
        return self in (SlideState.DONE, SlideState.RESUMED)

    @property
    def is_active(self) -> bool:
        """Whether work is on it just now."""
        return self in (SlideState.DETECTING, SlideState.RUNNING)


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """What to analyze, and how.

    Attributes
    ----------
    slides : tuple of SlideEntry
        A µm/px given there counts instead of the file's own.
    model : str
        Name or path.
    out_folder : Path
        For results and the cohort table.
    mpp : float or None
        Level-0 µm/px of the slides that state none.
    settings : MeasureSettings
        Thresholds, error rate and what is measured.
    context : Path or None
        Slide-level (MIL) model that refines the tiles and predicts each slide.
    overlap : float
        Share of a tile that neighbors have in common.
    device : DeviceChoice or None
        Chosen automatically if None.
    batch_size : int or None
        Tiles at a time.
    keep_artifacts : bool
        Analyze pen marks, folds and blurred tissue too.
    hide_names : bool
        Whether codes stand in place of the slides' names in the cohort table, in the reports and
        in the names of their files. Results keep theirs.
    color_managed : bool
        Whether colors are turned into sRGB by the files' ICC profiles.
    """

    slides: tuple[SlideEntry, ...]
    model: str
    out_folder: Path
    mpp: float | None = None
    settings: MeasureSettings = field(default_factory=MeasureSettings)
    context: Path | None = None
    overlap: float = 0.0
    device: DeviceChoice | None = None
    batch_size: int | None = None
    keep_artifacts: bool = False
    hide_names: bool = False
    color_managed: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class BatchTools:
    """What all slides of a batch share, loaded once.

    Attributes
    ----------
    request : BatchRequest
    model : LoadedModel
    context : LoadedMilModel or None
    """

    request: BatchRequest
    model: LoadedModel
    context: LoadedMilModel | None = None


@dataclass(frozen=True, slots=True)
class SlideStep:
    """Where a slide stands now.

    Attributes
    ----------
    state : SlideState
    row : CohortRow
        What is known of it.
    progress : float
        Share of its tiles that are done, 0 to 1.
    message : str
        For people.
    result : Path or None
        Its result; None before there is one.
    """

    state: SlideState
    row: CohortRow
    progress: float = 0.0
    message: str = ""
    result: Path | None = None

    def to(self, state: SlideState, message: str, **row: Any) -> SlideStep:
        """Return the next step; ``row`` holds what is newly known."""
        known = replace(self.row, state=state.value, **row)
        return replace(self, state=state, message=message, row=known)


def slide_steps(
    tools: BatchTools, listed: SlideEntry, row: CohortRow, stop: threading.Event
) -> Generator[SlideStep, None, None]:
    """Analyze one slide; whatever goes wrong becomes its last step.

    Parameters
    ----------
    tools : BatchTools
        What the batch shares.
    listed : SlideEntry
        The slide.
    row : CohortRow
        Its row, still without a result.
    stop : threading.Event
        Set it to end the analysis; finished tiles are kept.

    Yields
    ------
    SlideStep
        The last one is done, resumed, failed or stopped.
    """
    last = SlideStep(SlideState.WAITING, row)
    try:
        with closing(_steps(tools, listed, last, stop)) as steps:
            for step in steps:
                last = step
                yield step
        return
    except LiverDxError as error:
        problem = str(error)
    # One bad slide must not end the batch, whatever is wrong with it.
    except Exception as error:  # noqa: BLE001
        _LOG.exception("unexpected error while analyzing a slide")
        problem = f"Unexpected problem: {error!r}"
    # The row names the slide already, and an exported table names no folders.
    problem = problem.removeprefix(f"{listed.path}: ")
    problem = without_folders(problem, listed.path.parent, tools.request.out_folder)
    yield last.to(SlideState.FAILED, problem, problem=problem)


def _steps(
    tools: BatchTools, listed: SlideEntry, step: SlideStep, stop: threading.Event
) -> Generator[SlideStep, None, None]:
    yield (step := step.to(SlideState.DETECTING, "Detecting tissue…"))
    with _opened(tools.request, listed) as slide:
        step = step.to(
            step.state, "", code=pseudonym_of(slide.fingerprint()), scene=_scene_text(slide)
        )
        plan = _plan(tools, slide)
        step = step.to(step.state, "", mpp=plan.mpp.mean, mpp_source=plan.mpp.source)
        step = step.to(step.state, "", tiles=len(plan.tiles))
        store, resumed, failure = None, False, ""
        target = _place(tools, plan, slide)
        request = tools.request
        if stop.is_set():
            yield step.to(SlideState.STOPPED, "Stopped before its first tile")
            return
        events = run(
            plan,
            slide,
            tools.model,
            request.out_folder,
            stop,
            target,
            keep_embeddings=tools.context is not None,
        )
        with closing(events):
            for event in events:
                if isinstance(event, Started):
                    store = event.store
                    step = replace(step, result=store.path)
                    if resumed := _is_whole(store, plan):
                        break
                    yield (step := step.to(SlideState.RUNNING, "Starting…"))
                    continue
                failure = event.progress.last_failure
                step = replace(step, progress=_share(event.progress))
                yield (step := step.to(SlideState.RUNNING, _progress_text(event.progress)))
        if store is None:
            raise SlideReadError(f"{slide.path}: the analysis did not start; run the batch again")
        if not _is_whole(store, plan, tried=True):
            todo = f"{store.count(TileState.DONE):,} of {len(plan.tiles):,} tiles"
            yield step.to(SlideState.STOPPED, f"Stopped after {todo}; run again to resume")
            return
        yield _finished(tools, slide, store, step, resumed, failure)


def _opened(request: BatchRequest, listed: SlideEntry) -> Slide:
    """Open the slide at its resolution: as a person set it, of the file, or of all slides."""
    given = None if listed.mpp is None else Mpp.square(listed.mpp, "given by user")
    slide = open_slide(
        listed.path, mpp=given, scene=listed.scene, color_managed=request.color_managed
    )
    if slide.mpp is None and request.mpp is not None:
        return slide.with_mpp(Mpp.square(request.mpp, "given by user"))
    return slide


def _scene_text(slide: Slide) -> str:
    scenes = slide.info.scenes
    return f"{slide.info.scene} ({scenes[slide.info.scene].name})" if len(scenes) > 1 else ""


def _plan(tools: BatchTools, slide: Slide) -> RunPlan:
    if slide.mpp is None:
        raise MppError(
            f"no µm/px: {slide.info.mpp_question}; give it for this slide in the list, or for all "
            "that state none (about 0.25 for a 40x scan, 0.5 for 20x)"
        )
    request = tools.request
    return plan_slide(
        slide,
        tools.model.card,
        overlap=request.overlap,
        device=request.device,
        batch_size=request.batch_size,
        keep_artifacts=request.keep_artifacts,
    )


def _place(tools: BatchTools, plan: RunPlan, slide: Slide) -> Path:
    """Return where the result lies: as of a slide alone, or marked if another slide is there."""
    path = result_location(tools.request.out_folder, plan, slide, tools.model)
    mine = slide.fingerprint()
    if not path.exists() or stored_fingerprint(path) in (mine, ""):
        return path
    stem = f"{slide.name}.{mine[:6]}{result_name(path).removeprefix(slide.name)}"
    return path.with_name(safe_name(stem) + SUFFIX)


def _is_whole(store: ResultStore, plan: RunPlan, *, tried: bool = False) -> bool:
    """Return whether nothing is left to do; with ``tried``, unreadable tiles are settled too.

    A result without a single tile that could be read is worth another try.
    """
    if not tried and not store.count(TileState.DONE):
        return False
    left = store.pending(plan.tiles)
    return all(store.state[t.row, t.col] == TileState.FAILED for t in left)


def _share(progress: RunProgress) -> float:
    return (progress.done + progress.failed) / max(1, progress.total)


def _progress_text(progress: RunProgress) -> str:
    if progress.stall:
        return progress.stall
    text = f"{progress.done + progress.failed:,} of {progress.total:,} tiles"
    if progress.tiles_per_second:
        text += f", {progress.tiles_per_second:.1f} tiles/s, {progress.eta_seconds:.0f} s left"
    return text


def _keep_view(store: ResultStore, findings: Findings) -> None:
    """Let a result that nobody opened yet open with the settings it was measured with."""
    view = ViewState.load(store.path)
    if not view.thresholds:
        settings = findings.settings.of_scheme(store.manifest.scheme)
        view.with_settings(settings).save(store.path)


def _write_report(
    tools: BatchTools,
    slide: Slide,
    store: ResultStore,
    findings: Findings,
    resumed: bool,
) -> bool:
    """Write page and table; of a resumed result only what is missing. Whether any was left.

    A person may have written them since, with regions and thresholds of their own.
    """
    request = tools.request
    paths = report_paths(store, ("html", "csv"), hide_name=request.hide_names)
    left = [name for name, path in paths.items() if resumed and path.exists()]
    if missing := [name for name in paths if name not in left]:
        options = ReportOptions(tuple(missing), hide_name=request.hide_names)
        save_report(findings, store, slide, tools.model.card, options)
    return bool(left)


def _finished(
    tools: BatchTools,
    slide: Slide,
    store: ResultStore,
    step: SlideStep,
    resumed: bool,
    failure: str,
) -> SlideStep:
    """Measure the stored result, write its table and page, and say what came of it."""
    request, card = tools.request, tools.model.card
    if not store.count(TileState.DONE):
        raise SlideReadError(f"none of its tiles could be read; {failure or 'copy it again'}")
    if tools.context is not None:
        apply_mil_model(store, tools.context)
    quantiles = conformal_quantiles(card, request.settings.error_rate)
    findings = measure_result(store, request.settings, quantiles)
    left = _write_report(tools, slide, store, findings, resumed)
    _keep_view(store, findings)
    reading, call = read_result(store, card), store.slide_prediction
    failed = store.count(TileState.FAILED)
    message = "Was analyzed before; measured again" if resumed else "Done"
    if left:
        message += " for the table, its report left as it is"
    if failed:
        message += f"; {failed:,} tiles could not be read and are left out. {failure}".rstrip()
    return replace(step, progress=1.0).to(
        SlideState.RESUMED if resumed else SlideState.DONE,
        message,
        tissue_mm2=findings.tissue_mm2,
        measures=findings.measures,
        ood="" if reading is None else reading.state.value,
        ood_figures="" if reading is None else reading.numbers,
        slide_prediction="" if call is None else call.called,
        failed_tiles=failed,
        seconds=store.manifest.timings.get("seconds", float("nan")),
        result=store.path.name,
    )
