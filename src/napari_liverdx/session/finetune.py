"""Teaching a model as the dock asks for it: count, tune, compare old and new on a slide."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from napari_liverdx.core.errors import LiverDxError
from napari_liverdx.core.measure import measure
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.inference.device import choose_device
from napari_liverdx.inference.plan import RunPlan, plan_of_result
from napari_liverdx.models.card import ModelCard
from napari_liverdx.models.file import read_card
from napari_liverdx.models.zoo import load_model
from napari_liverdx.results.store import ResultStore, TileState
from napari_liverdx.session.run import Started, run
from napari_liverdx.session.train import BatchDone
from napari_liverdx.session.trial import remove_results
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.slide import Slide
from napari_liverdx.training.config import EpochResult
from napari_liverdx.training.interactive.annotation_store import SlideAnnotations
from napari_liverdx.training.interactive.corrections import (
    AnnotationDataset,
    SlideWithAnnotations,
    answer_of,
)
from napari_liverdx.training.interactive.finetune import FinetuneResult, finetune, finetune_config
from napari_liverdx.training.interactive.head import EncodingProgress
from napari_liverdx.training.interactive.split import blocking_reason, split_annotations

__all__ = [
    "AnnotationSummary",
    "BothMaps",
    "ClassChange",
    "Compared",
    "ComparisonRequest",
    "FinetuneRequest",
    "FinetuneStarted",
    "changes",
    "compare_on_slide",
    "run_finetuning",
    "summarise",
]


@dataclass(frozen=True, slots=True)
class AnnotationSummary:
    """How much was taught.

    Attributes
    ----------
    regions, corrected, slides : int
    areas_mm2 : dict of str to float
        Drawn area by class; overlaps count twice.
    tiles : dict of str to int
        Tiles by class.
    blocking_reason : str
        What must still be taught; empty if enough was.
    left_out : tuple of str
        Slides that were taught before and are not found any more.
    """

    regions: int
    corrected: int
    slides: int
    areas_mm2: dict[str, float]
    tiles: dict[str, int]
    blocking_reason: str
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class FinetuneRequest:
    """What to teach which model.

    Attributes
    ----------
    model : str
        Name or path.
    slides : tuple of SlideWithAnnotations
        Slides that are open.
    kept : tuple of SlideAnnotations
        Slides taught before, opened for the while.
    trial : Path
        Model file to write.
    epochs : int
        At most.
    obsolete : tuple of Path
        Results of the trial before, removed once there is a new one.
    """

    model: str
    slides: tuple[SlideWithAnnotations, ...]
    kept: tuple[SlideAnnotations, ...]
    trial: Path
    epochs: int = 20
    obsolete: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class FinetuneStarted:
    """The tiles are found and parted.

    Attributes
    ----------
    train, held_out, epochs : int
    device : str
    """

    train: int
    held_out: int
    epochs: int
    device: str


def _opened(
    slides: Sequence[SlideWithAnnotations], kept: Sequence[SlideAnnotations], stack: ExitStack
) -> tuple[list[SlideWithAnnotations], tuple[str, ...]]:
    """All taught slides, those that were kept opened until the stack closes; the missing ones."""
    found, lost = list(slides), []
    for taught in kept:
        try:
            mpp = None if taught.mpp is None else Mpp(*taught.mpp, "kept with what was taught")
            slide = stack.enter_context(open_slide(taught.path, mpp=mpp))
        except LiverDxError:
            lost.append(taught.path.name)
            continue
        found.append(
            SlideWithAnnotations(slide, taught.key, taught.shapes, taught.tiles, taught.fingerprint)
        )
    return found, tuple(lost)


def summarise(
    slides: Sequence[SlideWithAnnotations], kept: Sequence[SlideAnnotations], card: ModelCard
) -> AnnotationSummary:
    """Count what was taught and say what is missing; reads no pixels.

    Raises
    ------
    DataError
        If a region is of no class of the model, or a slide has no resolution.
    """
    with ExitStack() as stack:
        every, lost = _opened(slides, kept, stack)
        samples = AnnotationDataset(every, card)
    scheme = card.scheme
    areas = dict.fromkeys(scheme.names, 0.0)
    for taught in every:
        mpp = taught.slide.mpp
        for region in taught.shapes:
            if mpp is not None:
                areas[region.name] += region.area * mpp.x * mpp.y / 1e6
    return AnnotationSummary(
        sum(len(t.shapes) for t in every),
        sum(len(t.tiles) for t in every),
        sum(1 for t in every if t.shapes or t.tiles),
        areas,
        {name: int((samples.labels == c).sum()) for c, name in enumerate(scheme.names)},
        blocking_reason(samples),
        lost,
    )


def run_finetuning(
    request: FinetuneRequest, stop: threading.Event, batches: list[BatchDone]
) -> Iterator[FinetuneStarted | EncodingProgress | EpochResult | FinetuneResult]:
    """Tune the model as requested; set ``stop`` to end after the batch under way.

    Parameters
    ----------
    request : FinetuneRequest
        What to teach.
    stop : threading.Event
        Ends the run; then no model is written.
    batches : list of BatchDone
        Its only element is replaced after each batch, for whoever shows progress.

    Yields
    ------
    FinetuneStarted, Looked, EpochResult, Lesson
        The last only if the run was not stopped.

    Raises
    ------
    DataError
        If too little was taught.
    ModelFileError
        If the model cannot be loaded.
    """

    def on_batch(step: int, steps: int) -> bool:
        batches[:] = [BatchDone(step, steps)]
        return not stop.is_set()

    with ExitStack() as stack:
        slides, _ = _opened(request.slides, request.kept, stack)
        model = load_model(request.model)
        choice = choose_device()
        device = torch.device(choice.device)
        samples = AnnotationDataset(slides, model.card, answer_of(model, device))
        split = split_annotations(samples)
        config = finetune_config(request.epochs)
        counts = len(split.train) + len(split.choose), len(split.held_out)
        yield FinetuneStarted(*counts, config.epochs, str(choice))
        if stop.is_set():
            return
        request.trial.parent.mkdir(parents=True, exist_ok=True)
        for step in finetune(
            model, samples, split, request.trial, device, config=config, on_batch=on_batch
        ):
            if isinstance(step, FinetuneResult):
                remove_results(request.obsolete)
            yield step


# -- old and new on a slide --


@dataclass(frozen=True, slots=True)
class Compared:
    """How far the comparison is.

    Attributes
    ----------
    done, total : int
        Tiles of both runs.
    """

    done: int
    total: int


@dataclass(frozen=True, slots=True, eq=False)
class BothMaps:
    """The results of both versions on the same tiles.

    Attributes
    ----------
    before, after : ResultStore
    """

    before: ResultStore
    after: ResultStore


@dataclass(frozen=True, slots=True)
class ClassChange:
    """What a class gained or lost.

    Attributes
    ----------
    name, title : str
    before_mm2, after_mm2 : float
    changed : int
        Tiles that were called this class by just one of the two versions.
    """

    name: str
    title: str
    before_mm2: float
    after_mm2: float
    changed: int


@dataclass(frozen=True, slots=True, eq=False)
class ComparisonRequest:
    """Where to compare which versions.

    Attributes
    ----------
    slide : Slide
    before : ResultStore or RunPlan
        Result of the earlier version, whole or not, or the plan to make it by.
    model : str
        The earlier version.
    folder : Path
        Folder for the results of both.
    trial : Path
        Model file of the taught version.
    """

    slide: Slide
    before: ResultStore | RunPlan
    model: str
    folder: Path
    trial: Path


def compare_on_slide(
    request: ComparisonRequest, stop: threading.Event
) -> Iterator[Compared | BothMaps]:
    """Run both versions over the same tiles; what is there already is not run again.

    Parameters
    ----------
    request : ComparisonRequest
        What to compare where.
    stop : threading.Event
        Ends the runs between two batches; finished tiles are kept.

    Yields
    ------
    Compared, BothMaps
        The last only if the runs were not stopped.
    """
    stores: list[ResultStore] = []
    card = read_card(request.trial)
    plan = request.before
    if isinstance(plan, ResultStore):
        plan = plan_of_result(plan, card)
    for number, model in enumerate((request.model, str(request.trial))):
        if number:
            plan = plan_of_result(stores[0], card)
        elif isinstance(request.before, ResultStore) and request.before.is_complete:
            stores.append(request.before)
            continue
        for event in run(plan, request.slide, model, request.folder, stop):
            if isinstance(event, Started):
                stores.append(event.store)
            else:
                done = event.progress.done + event.progress.failed
                yield Compared(done + number * len(plan.tiles), 2 * len(plan.tiles))
        if stop.is_set():
            return
    yield BothMaps(*stores)


def changes(maps: BothMaps, thresholds: dict[str, float]) -> tuple[ClassChange, ...]:
    """What the taught version sees otherwise, class by class, where both have looked."""
    scheme = maps.before.manifest.scheme
    tissue = maps.before.tissue_subtiles() & maps.after.tissue_subtiles()
    measured = [
        measure(
            store.probabilities,
            tissue,
            scheme,
            subtile_area_um2=store.subtile_area_um2,
            thresholds=thresholds,
        )
        for store in (maps.before, maps.after)
    ]
    both = np.logical_and(*(s.state == TileState.DONE for s in (maps.before, maps.after)))
    called = [s.tile_probabilities[:, both].argmax(axis=0) for s in (maps.before, maps.after)]
    return tuple(
        ClassChange(
            old.name,
            old.title,
            old.area_mm2,
            new.area_mm2,
            int(((called[0] == c) != (called[1] == c)).sum()),
        )
        for c, (old, new) in enumerate(zip(*measured, strict=True))
    )
