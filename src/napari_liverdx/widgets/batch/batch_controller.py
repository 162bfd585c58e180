"""The logic of a batch: which slides, with which model, the run, the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from psygnal import Signal

from napari_liverdx.core.errors import LiverDxError, ModelFileError, PlanError
from napari_liverdx.inference.device import DeviceChoice, choose_device
from napari_liverdx.models.card import ModelCard
from napari_liverdx.models.file import read_card
from napari_liverdx.models.zoo import available_models, find_model
from napari_liverdx.reports.cohort import write_cohort
from napari_liverdx.results.measure_settings import MeasureSettings
from napari_liverdx.session.batch import BatchEnded, BatchRequest, SlideChanged, run_batch
from napari_liverdx.slides.listing import SlideEntry, find_slides
from napari_liverdx.widgets.batch.slide_list import SlideList
from napari_liverdx.widgets.parts.host import Host
from napari_liverdx.widgets.parts.workers import CancelToken, Workers

__all__ = ["BatchChoices", "BatchController"]


@dataclass(frozen=True, slots=True)
class BatchChoices:
    """What a person chose for all slides.

    Attributes
    ----------
    folder : Path or None
        Where results go.
    mpp : float or None
        Of slides that state none, in µm per pixel.
    thresholds : mapping of str to float
        Per pathological class.
    hide_names : bool
        Whether what is handed on carries codes in place of names.
    color_managed : bool
        Whether colors are turned into sRGB by the slides' ICC profiles.
    """

    folder: Path | None
    mpp: float | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)
    hide_names: bool = False
    color_managed: bool = False


class BatchController:
    """Lists slides, runs them all, and tells how it goes.

    Signals: ``said(str, str)`` with a message and its tone, ``card_chosen(ModelCard)``,
    ``advanced(int)`` when a slide stands elsewhere, ``changed()`` when a run began or ended.

    Parameters
    ----------
    host : Host
        Threads and notifications.
    device : str
        As the person prefers it.
    """

    said = Signal(str, str)
    card_chosen = Signal(object)
    advanced = Signal(int)
    changed = Signal()

    def __init__(self, host: Host, device: str = "") -> None:
        self.host = host
        self.stop = CancelToken()
        self.workers = Workers(host, self.stop)
        self.slides = SlideList()
        self.card: ModelCard | None = None
        self.model = ""
        self.closed = False
        self._device = device
        self.workers.idle.connect(self._on_idle)
        self.slides.refused.connect(self._on_refused)

    # -- what to run --

    def add_paths(self, paths: Sequence[Path]) -> bool:
        """List slides, the slides of folders, and those of tables; what is none is said.

        Returns
        -------
        bool
            Whether slides were found.
        """
        found: list[SlideEntry] = []
        for path in paths:
            try:
                found += find_slides(path, recursive=True)
            except LiverDxError as error:
                self.host.show_error(str(error))
        if not found:
            return False
        new = self.slides.add(found)
        self.said.emit(f"{new} slides added" if new else "These slides are listed already", "plain")
        return True

    def choose_model(self, name: str) -> bool:
        """Take a model by name or path; False and a notification if it cannot be used."""
        try:
            card = read_card(find_model(name))
        except ModelFileError as error:
            self.host.show_error(str(error))
            return False
        if name != self.model:
            self.model, self.card = name, card
            self.slides.forget()
            self.card_chosen.emit(card)
        return True

    def models(self) -> dict[str, ModelCard]:
        """Return the cards of the models that can be named, and of the chosen file."""
        cards = dict(available_models())
        if self.card is not None:
            cards.setdefault(self.model, self.card)
        return cards

    def blocking_reason(self, choices: BatchChoices) -> str:
        """Return why a batch cannot start; empty if it can."""
        if not self.slides.items:
            return "Add slides first"
        if choices.folder is None:
            return "Choose a folder for results"
        return "" if self.card is not None else "Choose a model"

    def device(self) -> DeviceChoice:
        """Return the preferred device, or with a warning the best there is."""
        try:
            return choose_device(self._device)
        except PlanError as error:
            self.host.show_warning(f"{error}; the device is chosen automatically")
            return choose_device()

    # -- the run --

    @property
    def is_busy(self) -> bool:
        """Whether a batch is under way."""
        return self.workers.are_busy

    @property
    def is_stopping(self) -> bool:
        """Whether the batch was asked to end."""
        return self.stop.event.is_set()

    def run(self, choices: BatchChoices) -> None:
        """Analyze all slides of the list; whole results are only measured again."""
        if self.is_busy or choices.folder is None or not self.slides.files:
            return
        request = BatchRequest(
            self.slides.files,
            self.model,
            choices.folder,
            choices.mpp,
            MeasureSettings(dict(choices.thresholds)),
            device=self.device(),
            hide_names=choices.hide_names,
            color_managed=choices.color_managed,
        )
        self.slides.begin()
        self.slides.locked = True
        self.said.emit("Loading the model…", "plain")
        work = run_batch(request, self.stop.renew())
        self.workers.start(work, self._received, self._failed)
        self.changed.emit()

    def cancel(self) -> None:
        """End the batch after the tiles under way; everything finished is kept."""
        self.stop.throw()
        self.said.emit("Stopping…", "plain")
        self.changed.emit()

    def _received(self, event: Any) -> None:
        if self.closed:
            return
        if isinstance(event, SlideChanged):
            self.slides.take(event.index, event.step)
            if event.step.state.is_active and not self.is_stopping:
                place = f"Slide {event.index + 1} of {len(self.slides.items)}"
                self.said.emit(f"{place}: {event.step.message}", "plain")
            self.advanced.emit(event.index)
        elif isinstance(event, BatchEnded):
            self._say_end(event)

    def _say_end(self, event: BatchEnded) -> None:
        summary = event.summary
        text = f"{summary}."
        if summary.was_stopped:
            text += " Run goes on from there."
        if summary.table_problem:
            self.host.show_warning(summary.table_problem)
            text += f" {summary.table_problem}"
        else:
            text += f" Table: {summary.table.name} in the folder of results."
        self.said.emit(text, "warning" if summary.failed or summary.table_problem else "plain")

    def _failed(self, text: str) -> None:
        if self.closed:
            return
        self.slides.settle(text)
        self.said.emit(text, "error")
        self.host.show_error(text)

    def _on_idle(self) -> None:
        self.slides.locked = False
        if not self.closed:
            self.changed.emit()

    def _on_refused(self, text: str) -> None:
        self.said.emit(text, "error")

    # -- what comes of it --

    def save_table(self, path: Path, *, hide_names: bool) -> None:
        """Write the table as CSV; a failure becomes a notification."""
        if self.card is None:
            return
        rows = [item.row for item in self.slides.items]
        try:
            write_cohort(path, rows, self.card.scheme, hide_names=hide_names)
        except LiverDxError as error:
            self.host.show_error(str(error))
        else:
            self.said.emit(f"Saved {path.name}", "plain")

    def close(self) -> None:
        """Stop the batch and say nothing more; calling it again does nothing."""
        self.closed = True
        self.stop.throw()
