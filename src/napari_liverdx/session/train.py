"""A training run as the dock asks for it: check the data, train, save."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from napari_liverdx.inference.device import choose_device
from napari_liverdx.models.card import ModelCard
from napari_liverdx.training.audit.audit import audit_steps
from napari_liverdx.training.audit.report import AuditReport, refuse_leaks
from napari_liverdx.training.calibrate import save_trained
from napari_liverdx.training.config import EpochResult
from napari_liverdx.training.recipe import load_recipe, recipe_split, train_final

__all__ = ["BatchDone", "TrainingRequest", "TrainingSaved", "TrainingStarted", "run_training"]


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """What to train.

    Attributes
    ----------
    recipe : str
        Name of a packaged recipe or path of a file.
    data : Path
        Folder, or CSV file.
    out : Path
        Model file to write.
    epochs : int or None
        Instead of the recipe's.
    allow_leaks : bool
        Train although the audit found leaks.
    """

    recipe: str
    data: Path
    out: Path
    epochs: int | None = None
    allow_leaks: bool = False


@dataclass(frozen=True, slots=True)
class TrainingStarted:
    """The data are read and checked.

    Attributes
    ----------
    train, val : int
        Samples to learn from and to validate on.
    epochs : int
        At most.
    device : str
        For people.
    report : AuditReport
    notes : tuple of str
        What was left out or assumed when the data were read.
    """

    train: int
    val: int
    epochs: int
    device: str
    report: AuditReport
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BatchDone:
    """A batch of an epoch is done.

    Attributes
    ----------
    step, steps : int
        Which, from 1, and of how many.
    """

    step: int
    steps: int


@dataclass(frozen=True, slots=True)
class TrainingSaved:
    """The model is written.

    Attributes
    ----------
    path : Path
    card : ModelCard
    """

    path: Path
    card: ModelCard


TrainingEvent = TrainingStarted | EpochResult | TrainingSaved


def run_training(
    request: TrainingRequest, stop: threading.Event, on_batch: Callable[[BatchDone], object]
) -> Iterator[TrainingEvent]:
    """Train as requested; set ``stop`` to end after the batch under way.

    A run that was stopped goes on from its last whole epoch when it is requested again.

    Parameters
    ----------
    request : TrainingRequest
        What to train.
    stop : threading.Event
        Ends the run.
    on_batch : callable
        Called after each batch, in the thread that trains, for whoever shows progress.

    Yields
    ------
    TrainingStarted, EpochResult, TrainingSaved
        The last only if the run was not stopped.

    Raises
    ------
    DataError
        If recipe or data are not usable, or leaky and leaks are not allowed.
    ModelFileError
        If the starting weights cannot be had.
    """
    recipe = load_recipe(request.recipe)
    if request.epochs is not None:
        train = recipe.train.model_copy(update={"epochs": request.epochs})
        recipe = recipe.model_copy(update={"train": train})
    samples = recipe.samples(request.data)
    split = recipe_split(recipe, samples)
    report = None
    for looked in audit_steps(samples, split.parts):
        if stop.is_set():
            return
        if isinstance(looked, AuditReport):
            report = looked
    assert report is not None
    refuse_leaks(report, request.allow_leaks)
    choice = choose_device()
    sizes = len(split.train), len(split.val)
    yield TrainingStarted(*sizes, recipe.train.epochs, str(choice), report, samples.notes)

    def report_batch(step: int, steps: int) -> bool:
        on_batch(BatchDone(step, steps))
        return not stop.is_set()

    checkpoint = request.out.with_name(request.out.name + ".checkpoint")
    for step in train_final(
        recipe,
        samples,
        torch.device(choice.device),
        command=_command(request),
        checkpoint=checkpoint,
        on_batch=report_batch,
    ):
        if isinstance(step, EpochResult):
            yield step
            continue
        network, card = step
        card = save_trained(request.out, network, card, samples, split, torch.device(choice.device))
        checkpoint.unlink(missing_ok=True)
        yield TrainingSaved(request.out, card)


def _command(request: TrainingRequest) -> str:
    """Return the same training as a command line, without folders of this computer."""
    words = ["liverdx train", Path(request.recipe).name, request.data.name]
    words += ["--out", request.out.name]
    if request.epochs is not None:
        words += ["--epochs", str(request.epochs)]
    if request.allow_leaks:
        words.append("--allow-leaks")
    return " ".join(words)
