"""The logic of fine-tuning: train, compare, decide, choose a version."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from psygnal import Signal

from napari_liverdx.core.errors import LiverDxError
from napari_liverdx.models.card import ModelCard
from napari_liverdx.models.file import read_card
from napari_liverdx.models.versions import (
    Version,
    trial_path,
    versions_of,
)
from napari_liverdx.models.zoo import find_model
from napari_liverdx.session.finetune import (
    BothMaps,
    ClassChange,
    Compared,
    ComparisonRequest,
    FinetuneRequest,
    FinetuneStarted,
    accept,
    changes,
    compare_on_slide,
    discard,
    run_finetuning,
    trial_results,
)
from napari_liverdx.session.plan import resolve
from napari_liverdx.training.config import EpochResult
from napari_liverdx.training.interactive.finetune import FinetuneResult
from napari_liverdx.training.interactive.head import EncodingProgress
from napari_liverdx.viewer.layers.versions import show_both, take_away
from napari_liverdx.widgets.pages.annotations import AnnotationManager
from napari_liverdx.widgets.parts.workers import CancelToken, Tickets, Workers

if TYPE_CHECKING:
    from napari_liverdx.widgets.main.controller import DockController

__all__ = ["FinetuneController"]

EPOCHS = 20


class FinetuneController:
    """Fine-tunes the chosen model on annotations, and keeps its versions.

    Signals: ``changed()`` when a run began or ended or a version was decided on; ``progressed()``
    when an epoch, a batch or a part of a comparison is done.

    Parameters
    ----------
    control : DockController
        The dock's logic.

    Attributes
    ----------
    material : AnnotationManager
    epochs : list of EpochResult
        Of the training that runs or ran last.
    n_epochs : int
        At most.
    share : float
        How much of what runs is done.
    message, tone : str
        Last thing to tell; ``"plain"``, ``"warning"`` or ``"error"``.
    outcome : FinetuneResult or None
        Of the training that ran last.
    rows : tuple of ClassChange
        Of the comparison that ran last.
    pairs : list of (Image, Image)
        Layers of both versions, class by class.
    """

    changed = Signal()
    progressed = Signal()

    def __init__(self, control: DockController) -> None:
        self.control = control
        self.material = AnnotationManager(control)
        self.stop = CancelToken()
        self.workers = Workers(control.host, self.stop)
        self.n_epochs = EPOCHS
        self.epochs: list[EpochResult] = []
        self.share = 0.0
        self.message, self.tone = "", "plain"
        self.outcome: FinetuneResult | None = None
        self.maps: BothMaps | None = None
        self.rows: tuple[ClassChange, ...] = ()
        self.pairs: list[tuple[Image, Image]] = []
        self._reference: Image | None = None
        self._work, self._runs = "", Tickets()
        self._closed = False

    # -- state --

    @property
    def work(self) -> str:
        """What runs: ``"tune"``, ``"compare"`` or nothing."""
        return self._work

    @property
    def is_writing(self) -> bool:
        """Whether a comparison writes into results, which no other run may then do."""
        return self._work == "compare"

    @property
    def trial(self) -> ModelCard | None:
        """Card of the version of the chosen model that nobody has decided on yet."""
        card = self.control.state.model.card
        if card is None or not trial_path(card).exists():
            return None
        try:
            return read_card(trial_path(card))
        except LiverDxError:
            return None

    def versions(self) -> list[Version]:
        """Return all versions of the chosen model."""
        card = self.control.state.model.card
        return [] if card is None else versions_of(card, (self.control.state.model.name,))

    def blocking_reason(self) -> str:
        """Return why fine-tuning cannot start; empty if it can."""
        if self.control.state.model.card is None:
            return "Choose a model"
        if self.material.problem:
            return self.material.problem
        if self.material.summary is None:
            return "Draw regions of at least two classes, or correct tiles in the review"
        return self.material.summary.blocking_reason

    def forget(self) -> None:
        """Drop what was compared before, as another slide was chosen."""
        self._take_maps_away()
        self.outcome, self.epochs = None, []
        if not self._work:
            self._say("")
        self.changed.emit()

    def forget_model(self) -> None:
        """End what runs about the model before, as another one was chosen."""
        if self._work:
            # What it still says is dropped; nothing else starts before it has ended.
            self._runs.void()
            self.stop.throw()
            self.share = 0.0
            self._say("Another model was chosen; stopping what ran for the one before …")
        self.forget()

    # -- fine-tune --

    def fine_tune(self) -> None:
        """Tune the chosen model in the background."""
        card = self.control.state.model.card
        if card is None or self._work:
            return
        try:
            material = self.material.collect()
        except LiverDxError as error:
            self.control.host.show_error(str(error))
            return
        self._take_maps_away()
        self.epochs, self.outcome, self.share = [], None, 0.0
        model = str(find_model(self.control.state.model.name))
        obsolete = trial_results(card, self.control.state.run.out_folder, self._shown())
        request = FinetuneRequest(model, material, trial_path(card), self.n_epochs, obsolete)
        self._begin("tune", "Finding tiles…")
        work = run_finetuning(request, self.stop.renew())
        self._start(work, self._on_taught, self._on_tuned)

    def cancel(self) -> None:
        """End what runs, after the batch under way."""
        if self._work:
            self.stop.throw()
            self._say("Stopping …")
            self.progressed.emit()

    def _begin(self, work: str, message: str) -> None:
        self._work = work
        self._say(message)
        self.changed.emit()

    def _start(
        self, work: Iterator[Any], received: Callable[[Any], None], ended: Callable[[], None]
    ) -> None:
        """Run in the background; once another model is chosen only the end still counts."""
        ticket = self._runs.take()

        def take(event: Any) -> None:
            if not self._closed and ticket.holds:
                received(event)

        def end() -> None:
            if not self._closed:
                (ended if ticket.holds else self._on_dropped)()

        def fail(problem: str) -> None:
            if not self._closed:
                self._failed(problem) if ticket.holds else self._on_dropped()

        self.workers.start(work, take, fail, end)

    def _on_dropped(self) -> None:
        self._work = ""
        self._say("")
        self.changed.emit()

    def _on_taught(self, event: Any) -> None:
        if isinstance(event, FinetuneStarted):
            self._say(f"{event.train} training tiles, {event.held_out} test tiles; {event.device}")
        elif isinstance(event, EncodingProgress):
            self.share = 0.6 * event.done / event.total
            self._say(f"Computing tile features: {event.done} of {event.total}")
        elif isinstance(event, EpochResult):
            self.epochs.append(event)
            self.share = max(self.share, 0.6 + 0.4 * event.epoch / self.n_epochs)
            kept = "kept" if event.best else "not better"
            self._say(f"Epoch {event.epoch} of {self.n_epochs}: loss {event.val_loss:.3f}, {kept}")
        elif isinstance(event, FinetuneResult):
            self.outcome = event
        self.progressed.emit()

    def _on_tuned(self) -> None:
        self._work = ""
        if self.outcome is None:
            self._say("Stopped; the model is as it was.")
        else:
            test = self.outcome.test
            self._say(
                f"Test: balanced accuracy {test.before.value:.3f} before, "
                f"{test.after.value:.3f} after. Compare on the slide, then accept or discard."
            )
        self.changed.emit()

    def _failed(self, problem: str) -> None:
        if self._closed:
            return
        self._work = ""
        self._say(problem, "error")
        self.control.host.show_error(problem)
        self.changed.emit()

    def _say(self, text: str, tone: str = "plain") -> None:
        self.message, self.tone = text, tone

    # -- old and new on the slide --

    def compare(self) -> None:
        """Run both versions on the slide and show them as linked layers."""
        card, slide = self.control.state.model.card, self.control.slide
        folder = self.control.state.run.out_folder
        if self._work or self.trial is None or card is None or slide is None or folder is None:
            return
        if self.control.state.run.status.is_active:
            # Both could write into the same result.
            self.control.host.show_warning("An analysis is running; compare when it has finished")
            return
        results = self.control.findings.results
        store = None if results is None else results.store
        name = card.name
        try:
            before = (
                store
                if store is not None and store.manifest.model_name == name
                else resolve(self.control.state)
            )
            model = str(find_model(self.control.state.model.name))
        except LiverDxError as error:
            self._failed(str(error))
            return
        self._take_maps_away()
        self.share = 0.0
        request = ComparisonRequest(slide, before, model, folder, trial_path(card))
        self._begin("compare", "Running both versions over the slide …")
        work = compare_on_slide(request, self.stop.renew())
        # Kept here, not by the worker: what that holds outlives the window.
        self._reference = self.control.layer
        self._start(work, self._on_compared, self._on_comparison_ended)

    def _on_compared(self, event: Any) -> None:
        reference = self._reference
        if isinstance(event, Compared):
            self.share = event.done / max(1, event.total)
            self._say(f"Both versions: {event.done:,} of {event.total:,} tiles")
        elif isinstance(event, BothMaps) and reference is self.control.layer and reference:
            self.maps = event
            self.measure()
            self._show_maps(event, reference)
        self.progressed.emit()

    def _on_comparison_ended(self) -> None:
        self._work = ""
        self._say("Stopped; finished tiles are saved." if self.maps is None else "")
        self.changed.emit()

    def measure(self) -> None:
        """Bring the table up to the thresholds that are drawn."""
        if self.maps is not None:
            self.rows = changes(self.maps, self.control.state.settings)
            self.progressed.emit()

    def _show_maps(self, maps: BothMaps, reference: Image) -> None:
        state, shown = self.control.state, self.control.findings.results
        viewer = self.control.viewer
        self.pairs = show_both(viewer, maps, reference, shown, state.settings)
        self.look_at("after")

    def look_at(self, which: str) -> None:
        """Show the maps of the version ``"before"``, of the one ``"after"``, or ``"both"``."""
        for old, new in self.pairs:
            old.visible = which != "after"
            new.visible = which != "before"

    def _take_maps_away(self) -> None:
        """Remove the fine-tuned version's maps; those of the earlier one stay."""
        take_away(self.control.viewer, self.pairs)
        self.pairs, self.maps, self.rows = [], None, ()

    # -- decide --

    def keep(self) -> None:
        """Make the fine-tuned model the next version, and use it."""
        card, trial = self.control.state.model.card, self.trial
        if card is None or self._work or trial is None or self.control.state.run.status.is_active:
            return
        folder, reference = self.control.state.run.out_folder, self.control.layer
        try:
            path = accept(card, folder, self._shown())
        except LiverDxError as error:
            self.control.host.show_error(str(error))
            return
        made = None if self.maps is None else self.maps.after
        self._take_maps_away()
        self.outcome = None
        self.control.choose_model(path.name.removesuffix(".safetensors"))
        if made is not None and made.path.exists() and reference is not None:
            self.control.findings.show(made, reference)
            self.control.findings.refresh(force=True)
        self.control.host.show_info(f"Accepted as {path.name}")
        self._say(f"Accepted as {read_card(path).title}, which is used from now on.")
        self.changed.emit()

    def discard(self) -> None:
        """Remove the fine-tuned model and the results it made."""
        card = self.control.state.model.card
        if card is None or self._work:
            return
        self._take_maps_away()
        discard(card, self.control.state.run.out_folder, self._shown())
        self.outcome = None
        self._say("Discarded; the model is as it was.")
        self.changed.emit()

    def _shown(self) -> tuple[Path, ...]:
        """Return the results that are open."""
        return tuple(r.store.path for r in self.control.findings.open_results)

    def use(self, name: str) -> None:
        """Choose a version."""
        self.control.choose_model(name)

    def close(self) -> None:
        """Stop what runs and let go of the viewer."""
        self._closed = True
        self.stop.throw()
        self.material.close()
        self._reference, self.maps, self.pairs = None, None, []
