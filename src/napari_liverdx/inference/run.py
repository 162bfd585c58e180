"""One run from plan to stored result, as a stream of progress."""

from __future__ import annotations

import contextlib
import hashlib
import platform
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_liverdx._files import readable_name
from napari_liverdx._ids import digest
from napari_liverdx._version import __version__
from napari_liverdx.core.errors import LiverDxError, SlideReadError
from napari_liverdx.core.ood import OodAssessment, OodCount
from napari_liverdx.inference.ood import ood_record, read_result
from napari_liverdx.inference.plan import RunPlan
from napari_liverdx.inference.predict import Waiting, predict_watched
from napari_liverdx.inference.watch import SlideWatch, slide_stamp
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.models.ood import ood_rule
from napari_liverdx.results.arrays import sole_writer
from napari_liverdx.results.locate import find_result
from napari_liverdx.results.manifest import RunManifest, grid_facts
from napari_liverdx.results.store import ResultStore, TileState
from napari_liverdx.slides.backend import SlideInfo
from napari_liverdx.slides.slide import Slide

__all__ = [
    "RunProgress",
    "analyze",
    "make_manifest",
    "result_location",
]

FLUSH_SECONDS = 2.0
"""Tiles done since the last write are lost by a kill."""

_TOUCHED = (
    "the slide's file was written to while it was analyzed; its length and its ends are the same"
)

_OTHER_TIME = (
    "the slide's file has another date than when its analysis began; its length and its ends are "
    "the same. It may be a copy; if it was changed, remove the result and analyze it again"
)

_MARK = 8
"""Hexadecimal digits that tell the results of a slide apart."""


@dataclass(frozen=True, slots=True)
class RunProgress:
    """Where a run stands.

    Attributes
    ----------
    done, failed, total : int
        Tiles.
    tiles_per_second : float
        Of this session; 0 before the first batch.
    eta_seconds : float
        NaN before the first batch.
    read_seconds, model_seconds, write_seconds : float
        Time spent waiting for tiles, in the network, and storing.
    last_failure : str
        Why the last failed tile failed; empty if none did.
    ood : OodAssessment or None
        Whether the tiles so far look like the training data; None where the model cannot tell.
    waiting_seconds : float
        For how long the slide's storage has not answered; 0 while it does.
    """

    done: int
    failed: int
    total: int
    tiles_per_second: float
    eta_seconds: float
    read_seconds: float
    model_seconds: float
    write_seconds: float
    last_failure: str = ""
    ood: OodAssessment | None = None
    waiting_seconds: float = 0.0

    @property
    def stall(self) -> str:
        """What people should know while the storage does not answer; empty while it does."""
        if not self.waiting_seconds:
            return ""
        return (
            f"No answer from the slide's storage for {self.waiting_seconds:.0f} s. Check the disk "
            "or the network; Cancel keeps what is finished"
        )


def make_manifest(plan: RunPlan, slide: Slide, model: LoadedModel) -> RunManifest:
    """Return the manifest of a run that is about to start."""
    mask = hashlib.sha256(np.packbits(plan.tissue.mask).tobytes()).hexdigest()
    manifest = RunManifest(
        slide_name=readable_name(slide.path),
        slide_format=slide.info.format,
        slide_fingerprint=slide.fingerprint(),
        slide_size=slide.size,
        mpp=(plan.mpp.x, plan.mpp.y),
        mpp_source=plan.mpp.source,
        model_name=model.card.name,
        model_version=model.card.version,
        model_sha256=model.sha256,
        classes=model.card.classes,
        grid=plan.grid,
        subtiles=plan.subtiles,
        overlap=plan.overlap,
        regions_sha256=mask,
        device=str(plan.device),
        versions={
            "napari-liverdx": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        warnings=plan.warnings,
        tissue=plan.tissue_record,
        restricted=plan.restricted,
        own_tissue=plan.own_tissue,
        slide_origin=slide.info.origin,
        color_managed=slide.color_managed,
        slide_stamp=slide_stamp(slide.path),
        references=dict(slide.info.references),
        **_scene(slide.info),
    )
    return manifest.model_copy(update={"variant": _variant(plan, slide, manifest)}).named()


def _scene(info: SlideInfo) -> dict[str, Any]:
    if len(info.scenes) < 2:
        return {}
    return {"scene": info.scene, "scene_name": info.scenes[info.scene].name}


def result_location(folder: Path, plan: RunPlan, slide: Slide, model: LoadedModel) -> Path:
    """Return where the result of a run lies in ``folder``, or would lie.

    A result that is there already is known by its manifest; see `find_result`.
    """
    return find_result(folder, make_manifest(plan, slide, model))


def _variant(plan: RunPlan, slide: Slide, manifest: RunManifest) -> str:
    """Return what tells a run from the plain one, so that a slide's results stand side by side.

    The whole slide as it is is the plain one, of its largest scene; other regions, overlaps,
    resolutions, scenes, colors and tissue that a person chose have a mark of their own.
    """
    info = slide.info
    other_scene = manifest.scene not in (None, info.default_scene)
    own = info.mpp
    same_mpp = own is not None and (own.x, own.y) == (plan.mpp.x, plan.mpp.y)
    own_view = other_scene or slide.color_managed
    if same_mpp and not (plan.restricted or plan.own_tissue or plan.overlap or own_view):
        return ""
    facts: dict[str, object] = {
        "grid": grid_facts(plan.grid),
        "overlap": plan.overlap,
        "mpp": (plan.mpp.x, plan.mpp.y),
        "mask": manifest.regions_sha256,
    }
    if own_view:
        facts |= manifest.view_facts()
    return digest({"variant": facts})[:_MARK]


def analyze(
    plan: RunPlan, slide: Slide, model: LoadedModel, store: ResultStore
) -> Generator[RunProgress, None, None]:
    """Classify what ``store`` still lacks and store it; close the generator to stop.

    Whatever ends the run, finished tiles are written first.

    Yields
    ------
    RunProgress
        Once at the start, then after each batch.

    Raises
    ------
    StorageFullError
        If the disk is full; what was flushed before is kept.
    ResultError
        If another run is writing into the same result, or the result is gone.
    SlideReadError
        If the slide's file is changed or removed meanwhile; nothing of a changed one is kept.
    """
    with sole_writer(store.path):
        store.catch_up()
        yield from _analyze(plan, slide, model, store)


def _analyze(
    plan: RunPlan, slide: Slide, model: LoadedModel, store: ResultStore
) -> Generator[RunProgress, None, None]:
    todo = store.pending(plan.tiles)
    before = len(plan.tiles) - len(todo)
    start = flushed = time.perf_counter()
    read = model_time = write = 0.0
    done = failed = 0
    failure = ""
    # Counted on from batch to batch: reading the whole array each time would be quadratic.
    rule = ood_rule(model.card)
    unusual = OodCount()
    if rule is not None:
        unusual = unusual.plus(store.ood[store.state == TileState.DONE])
    watch = SlideWatch(slide)

    def progress(waiting: float = 0.0) -> RunProgress:
        seconds = time.perf_counter() - start
        speed = (done + failed) / seconds if done + failed else 0.0
        eta = (len(todo) - done - failed) / speed if speed else float("nan")
        counts = (before + done, failed, len(plan.tiles))
        ood = None if rule is None else unusual.assess(rule)
        return RunProgress(*counts, speed, eta, read, model_time, write, failure, ood, waiting)

    yield progress()
    batches = predict_watched(plan, slide, model, todo)
    try:
        for batch in batches:
            if isinstance(batch, Waiting):
                yield progress(batch.seconds)
                continue
            if batch.failed:
                # Tiles that cannot be read because the file is gone are not damaged.
                watch.check()
            stored = time.perf_counter()
            lost = [t for t, _ in batch.failed]
            found = (batch.tiles, batch.probabilities, batch.subtiles)
            store.add(*found, lost, batch.embeddings, batch.ood)
            done += len(batch.tiles)
            failed += len(batch.failed)
            if batch.ood is not None:
                unusual = unusual.plus(batch.ood)
            failure = batch.failed[-1][1] if batch.failed else failure
            if stored - flushed > FLUSH_SECONDS:
                watch.check()
                store.flush()
                flushed = time.perf_counter()
            read += batch.read_seconds
            model_time += batch.model_seconds
            write += time.perf_counter() - stored
            yield progress()
        watch.check()
    except BaseException as error:
        # The first failure is the one to show; a second one while saving must not replace it.
        with contextlib.suppress(LiverDxError):
            if watch.is_changed():
                store.reload()
            _finish(store, plan, model, (read, model_time, write), start, watch)
        if isinstance(error, SlideReadError):
            # What cannot be read because it is gone is told so.
            watch.check()
        raise
    finally:
        batches.close()
    _finish(store, plan, model, (read, model_time, write), start, watch)


def _notes(store: ResultStore, watch: SlideWatch) -> tuple[str, ...]:
    notes = (_TOUCHED,) if watch.was_touched else ()
    former = store.manifest.slide_stamp
    return notes if former in ("", watch.first_stamp) else (*notes, _OTHER_TIME)


def _finish(
    store: ResultStore,
    plan: RunPlan,
    model: LoadedModel,
    spent: tuple[float, float, float],
    start: float,
    watch: SlideWatch,
) -> None:
    names = ("read_seconds", "model_seconds", "write_seconds")
    store.finish(
        {**dict(zip(names, spent, strict=True)), "seconds": time.perf_counter() - start},
        device=str(plan.device),
        complete=store.count(TileState.PENDING) == 0,
        ood=ood_record(read_result(store, model.card)),
        notes=_notes(store, watch),
    )
