"""Fine-tuning as the dock asks for it: tune, compare old and new on a slide, decide."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from napari_liverdx.core.errors import ModelFileError
from napari_liverdx.core.measure import measure
from napari_liverdx.core.prediction_sets import Quantiles
from napari_liverdx.inference.device import choose_device
from napari_liverdx.inference.plan import RunPlan, plan_of_result
from napari_liverdx.models.card import ModelCard
from napari_liverdx.models.file import file_sha256, read_card
from napari_liverdx.models.versions import accept_trial, discard_trial, trial_path
from napari_liverdx.models.zoo import load_model
from napari_liverdx.results.locate import results_of_model
from napari_liverdx.results.measure_settings import MeasureSettings, assign_map, assign_tiles
from napari_liverdx.results.measurement_map import MapKind, measurement_map
from napari_liverdx.results.review_log import has_review
from napari_liverdx.results.store import ResultStore, TileState
from napari_liverdx.session.annotations import CollectedAnnotations, open_annotated_slides
from napari_liverdx.session.run import Started, run
from napari_liverdx.slides.slide import Slide
from napari_liverdx.training.config import EpochResult
from napari_liverdx.training.interactive.corrections import AnnotationDataset, answer_of
from napari_liverdx.training.interactive.finetune import FinetuneResult, finetune, finetune_config
from napari_liverdx.training.interactive.head import EncodingProgress
from napari_liverdx.training.interactive.split import split_annotations

__all__ = [
    "BothMaps",
    "ClassChange",
    "Compared",
    "ComparisonRequest",
    "FinetuneRequest",
    "FinetuneStarted",
    "accept",
    "changes",
    "compare_on_slide",
    "discard",
    "remove_results",
    "run_finetuning",
    "trial_results",
]


@dataclass(frozen=True, slots=True, eq=False)
class FinetuneRequest:
    """Which model to fine-tune on what.

    Attributes
    ----------
    model : str
        Name or path.
    annotations : CollectedAnnotations
        What it learns from.
    trial : Path
        Model file to write.
    epochs : int
        At most.
    obsolete : tuple of Path
        Results of the trial before, removed once there is a new one.
    """

    model: str
    annotations: CollectedAnnotations
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


def run_finetuning(
    request: FinetuneRequest, stop: threading.Event
) -> Iterator[FinetuneStarted | EncodingProgress | EpochResult | FinetuneResult]:
    """Tune the model as requested; set ``stop`` to end after the batch under way.

    Parameters
    ----------
    request : FinetuneRequest
        What to train on.
    stop : threading.Event
        Ends the run; then no model is written.

    Yields
    ------
    FinetuneStarted, Looked, EpochResult, Lesson
        The last only if the run was not stopped.

    Raises
    ------
    DataError
        If too little is annotated.
    ModelFileError
        If the model cannot be loaded.
    """

    def goes_on(step: int, steps: int) -> bool:
        return not stop.is_set()

    with open_annotated_slides(request.annotations) as (annotated, _):
        model = load_model(request.model)
        choice = choose_device()
        device = torch.device(choice.device)
        samples = AnnotationDataset(annotated, model.card, answer_of(model, device))
        split = split_annotations(samples)
        config = finetune_config(request.epochs)
        counts = len(split.train) + len(split.choose), len(split.held_out)
        yield FinetuneStarted(*counts, config.epochs, str(choice))
        if stop.is_set():
            return
        request.trial.parent.mkdir(parents=True, exist_ok=True)
        for step in finetune(
            model, samples, split, request.trial, device, config=config, on_batch=goes_on
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
        Tiles predicted as this class by just one of the two versions.
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
        Model file of the fine-tuned version.
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


def changes(maps: BothMaps, settings: MeasureSettings) -> tuple[ClassChange, ...]:
    """Compare the fine-tuned version with the earlier one, class by class, where both have run.

    The new version has no calibration scores of its own, so that no error rate is applied.
    """
    settings = replace(settings, error_rate=None, map_kind=MapKind.SUBTILES)
    stores = (maps.before, maps.after)
    tissue = maps.before.tissue_subtiles() & maps.after.tissue_subtiles()
    measured = []
    for store in stores:
        on = replace(measurement_map(store), tissue=tissue)
        measured.append(measure(on, assign_map(store, settings, Quantiles(), on), foci=False))
    both = np.logical_and(*(s.state == TileState.DONE for s in stores))
    old_class, new_class = (assign_tiles(s, settings, Quantiles()).labels[both] for s in stores)
    return tuple(
        ClassChange(
            old.name,
            old.title,
            old.area_mm2,
            new.area_mm2,
            int(((old_class == c) != (new_class == c)).sum()),
        )
        for c, (old, new) in enumerate(zip(*measured, strict=True), 1)
    )


# -- the trial, a version nobody has decided on yet, and the results it made --


def trial_results(
    card: ModelCard, folder: Path | None, shown: Collection[Path] = ()
) -> tuple[Path, ...]:
    """Return the results that go with the trial: nobody reviewed them, and none is shown.

    Parameters
    ----------
    card : ModelCard
        Of any version of the model.
    folder : Path, optional
        Folder of results; without it there are none.
    shown : collection of Path
        Results that are open and stay.
    """
    if folder is None:
        return ()
    try:
        made = results_of_model(folder, file_sha256(trial_path(card)))
    except ModelFileError:
        return ()
    return tuple(path for path in made if path not in shown and not has_review(path))


def remove_results(paths: Iterable[Path]) -> None:
    """Remove results; what cannot be removed stays."""
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)


def accept(card: ModelCard, folder: Path | None, shown: Collection[Path] = ()) -> Path:
    """Make the trial the next version of its model; return its model file.

    Its results are its own from the start and stay where they are, unless another version took its
    number meanwhile: then it becomes another file, which its results do not know.

    Raises
    ------
    ModelFileError
        If the trial is gone, damaged, or cannot be moved.
    """
    made = trial_results(card, folder, shown)
    trial = file_sha256(trial_path(card))
    path = accept_trial(card)
    if file_sha256(path) != trial:
        remove_results(made)
    return path


def discard(card: ModelCard, folder: Path | None, shown: Collection[Path] = ()) -> None:
    """Remove the trial and the results it made; without a trial nothing happens."""
    made = trial_results(card, folder, shown)
    discard_trial(card)
    remove_results(made)
