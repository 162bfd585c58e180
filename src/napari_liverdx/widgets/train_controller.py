"""The logic of training a model: the recipe, the run, what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from psygnal import Signal

from napari_liverdx.core.errors import LiverDxError
from napari_liverdx.models.card import ModelCard
from napari_liverdx.models.zoo import user_model_folder
from napari_liverdx.session.train import (
    BatchDone,
    TrainingRequest,
    TrainingSaved,
    TrainingStarted,
    run_training,
)
from napari_liverdx.training.config import EpochResult
from napari_liverdx.training.recipe import load_recipe
from napari_liverdx.widgets.parts.host import Host
from napari_liverdx.widgets.parts.workers import CancelToken, Workers

__all__ = ["TrainController", "free_model_file"]


class TrainController:
    """Trains a model in the background, one at a time.

    Signals: ``said(str, str)`` with a message and its tone, ``recipe_chosen(ModelCard, int)`` with
    what would be trained and for how many epochs at most, ``advanced()`` when data are read, an
    epoch is done or a model is written, ``changed()`` when a training began or ended.

    Parameters
    ----------
    host : Host
        Threads and notifications.

    Attributes
    ----------
    epochs : list of EpochResult
        Of the training that runs or ran last.
    total : int
        Epochs at most.
    warnings : tuple of str
        What the audit of the data found.
    saved : TrainingSaved or None
        None until the model is written.
    """

    said = Signal(str, str)
    recipe_chosen = Signal(object, int)
    advanced = Signal()
    changed = Signal()

    def __init__(self, host: Host) -> None:
        self.host = host
        self.stop = CancelToken()
        self.workers = Workers(host, self.stop)
        self.epochs: list[EpochResult] = []
        self.total = 0
        self.warnings: tuple[str, ...] = ()
        self.saved: TrainingSaved | None = None
        self.closed = False
        self._batch = BatchDone(0, 1)
        self.workers.idle.connect(self._on_idle)

    def choose_recipe(self, name: str) -> ModelCard | None:
        """Take a recipe by name or path; None and a notification if it is not valid."""
        try:
            recipe = load_recipe(name)
        except LiverDxError as error:
            self.host.show_error(str(error))
            return None
        card = recipe.model_card()
        self.recipe_chosen.emit(card, recipe.train.epochs)
        return card

    # -- the run --

    @property
    def is_busy(self) -> bool:
        """Whether a training is under way."""
        return self.workers.are_busy

    @property
    def share(self) -> float | None:
        """How much of the training is over, 0 to 1; None while the data are read."""
        if not self.total:
            return None
        batch = self._batch
        return min(1.0, (len(self.epochs) + batch.step / batch.steps) / self.total)

    def start(self, request: TrainingRequest) -> None:
        """Train as requested; what was stopped goes on from its last whole epoch."""
        if self.is_busy:
            return
        self.epochs, self.saved, self.warnings = [], None, ()
        self._batch = BatchDone(0, 1)
        self.total = 0
        self.said.emit("Reading and checking the data …", "plain")
        work = run_training(request, self.stop.renew(), self._on_batch)
        self.workers.start(work, self._received, self._failed, self._ended)
        self.changed.emit()

    def _on_batch(self, batch: BatchDone) -> None:
        # Called by the thread that trains.
        self._batch = batch

    def cancel(self) -> None:
        """End the training after the batch under way."""
        self.stop.throw()
        self.said.emit("Stopping …", "plain")

    def _received(self, event: Any) -> None:
        if self.closed:
            return
        if isinstance(event, TrainingStarted):
            self.total = event.epochs
            sizes = f"{event.train} training samples, {event.val} validation samples"
            self.said.emit(f"{sizes}; {event.device}", "plain")
            findings = event.report.findings
            told = tuple(f.message for f in findings if f.severity != "note")
            self.warnings = (*told, *event.notes)
        elif isinstance(event, EpochResult):
            self.epochs.append(event)
            kept = "kept" if event.best else "not better"
            self.said.emit(
                f"Epoch {event.epoch} of {self.total}: balanced accuracy "
                f"{event.val_balanced_accuracy:.3f}, {kept}",
                "plain",
            )
        elif isinstance(event, TrainingSaved):
            self.saved = event
        self.advanced.emit()

    def _failed(self, text: str) -> None:
        if self.closed:
            return
        self.said.emit(text, "error")
        self.host.show_error(text)

    def _ended(self) -> None:
        if self.closed:
            return
        if self.saved is None:
            whole = (
                f"{len(self.epochs)} whole epochs are kept" if self.epochs else "Nothing is kept"
            )
            self.said.emit(f"Stopped. {whole}; Train goes on from there.", "plain")
            return
        best = max((e for e in self.epochs if e.best), key=lambda e: e.epoch)
        self.said.emit(
            f"Saved {self.saved.path.name}: epoch {best.epoch}, balanced accuracy "
            f"{best.val_balanced_accuracy:.3f} on the validation samples. Slightly optimistic: "
            f"evaluate on an independent test set.",
            "plain",
        )
        self.host.show_info(f"The model is saved as {self.saved.path}")

    def _on_idle(self) -> None:
        if not self.closed:
            self.changed.emit()

    def close(self) -> None:
        """Stop the training and say nothing more; calling it again does nothing."""
        self.closed = True
        self.stop.throw()


def free_model_file(name: str) -> Path:
    """Return a model file that is not there yet, so that no earlier model is lost."""
    folder = user_model_folder()
    path, number = folder / f"{name}.safetensors", 2
    while path.exists():
        path, number = folder / f"{name}-{number}.safetensors", number + 1
    return path
