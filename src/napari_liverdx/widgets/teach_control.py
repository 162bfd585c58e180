"""The logic of teaching: fine-tune, compare, decide, choose a version."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import QObject, Signal

from napari_liverdx.core.errors import LiverDxError
from napari_liverdx.core.measure import DEFAULT_THRESHOLD
from napari_liverdx.engine.teach import Lesson
from napari_liverdx.engine.train_config import EpochResult
from napari_liverdx.engine.tune_heads import Looked
from napari_liverdx.io.result import ResultStore
from napari_liverdx.models.card import ModelCard
from napari_liverdx.models.modelfile import read_card
from napari_liverdx.models.versions import (
    Version,
    discard_trial,
    keep_trial,
    trial_path,
    versions_of,
)
from napari_liverdx.models.zoo import find_model
from napari_liverdx.plugin.layers import RESULT_KEY, probability_layer
from napari_liverdx.session.resolve import resolve
from napari_liverdx.session.teaching import (
    BothMaps,
    ClassChange,
    Compared,
    ComparisonRequest,
    TeachingRequest,
    TeachingStarted,
    changes,
    compare_on_slide,
    results_of,
    run_teaching,
)
from napari_liverdx.session.training import BatchDone
from napari_liverdx.widgets.teach_material import TeachMaterial
from napari_liverdx.widgets.workers import StopSwitch, Workers

if TYPE_CHECKING:
    from napari_liverdx.widgets.controller import DockController

__all__ = ["LINKED", "TeachController"]

EPOCHS = 20
LINKED = ("contrast_limits", "opacity", "gamma")
"""What the layers of both versions share; each is shown or hidden for itself."""


class TeachController(QObject):
    """Tunes the chosen model with what was taught, and keeps its versions.

    Signals: ``changed()`` when a run began or ended or a version was decided on; ``progressed()``
    when an epoch, a batch or a part of a comparison is done.

    Parameters
    ----------
    control : DockController
        The dock's logic.
    parent : QObject
        Qt parent.

    Attributes
    ----------
    material : TeachMaterial
    epochs : list of EpochResult
        Of the training that runs or ran last.
    n_epochs : int
        At most.
    share : float
        How much of what runs is done.
    message, tone : str
        Last thing to tell; ``"plain"``, ``"warning"`` or ``"error"``.
    lesson : Lesson or None
        Of the training that ran last.
    rows : tuple of ClassChange
        Of the comparison that ran last.
    pairs : list of (Image, Image)
        Layers of both versions, class by class.
    """

    changed = Signal()
    progressed = Signal()

    def __init__(self, control: DockController, parent: QObject) -> None:
        super().__init__(parent)
        self.control = control
        self.material = TeachMaterial(control, self)
        self.stop = StopSwitch()
        self.workers = Workers(self.stop)
        self.n_epochs = EPOCHS
        self.epochs: list[EpochResult] = []
        self.batches: list[BatchDone] = []
        self.share = 0.0
        self.message, self.tone = "", "plain"
        self.lesson: Lesson | None = None
        self.maps: BothMaps | None = None
        self.rows: tuple[ClassChange, ...] = ()
        self.pairs: list[tuple[Image, Image]] = []
        self._reference: Image | None = None
        self._work = ""
        self._closed = False

    # -- state --

    @property
    def work(self) -> str:
        """What runs: ``"tune"``, ``"compare"`` or nothing."""
        return self._work

    @property
    def trial(self) -> ModelCard | None:
        """Card of the version of the chosen model that nobody has decided on yet."""
        card = self.control.state.card
        if card is None or not trial_path(card).exists():
            return None
        try:
            return read_card(trial_path(card))
        except LiverDxError:
            return None

    def versions(self) -> list[Version]:
        """All versions of the chosen model."""
        card = self.control.state.card
        return [] if card is None else versions_of(card, (self.control.state.model,))

    def obstacle(self) -> str:
        """Why fine-tuning cannot start; empty if it can."""
        if self.control.state.card is None:
            return "Choose a model"
        if self.material.problem:
            return self.material.problem
        if self.material.summary is None:
            return "Draw regions of at least two classes, or correct tiles in the review"
        return self.material.summary.obstacle

    def forget(self) -> None:
        """Another model or slide was chosen: what was compared before is of others."""
        self._take_maps_away()
        self.lesson, self.epochs = None, []
        if not self._work:
            self._say("")
        self.changed.emit()

    # -- fine-tune --

    def fine_tune(self) -> None:
        """Tune the chosen model in the background."""
        card = self.control.state.card
        if card is None or self._work:
            return
        try:
            opened, kept = self.material.collect()
        except LiverDxError as error:
            show_error(str(error))
            return
        self._take_maps_away()
        self.epochs, self.batches, self.lesson, self.share = [], [], None, 0.0
        model = str(find_model(self.control.state.model))
        request = TeachingRequest(model, opened, kept, trial_path(card), self.n_epochs)
        self._begin("tune", "Finding the tiles …")
        work = run_teaching(request, self.stop.renew(), self.batches)
        self.workers.start(work, self._on_taught, self._failed, self._on_tuned)

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

    def _on_taught(self, event: Any) -> None:
        if self._closed:
            return
        if isinstance(event, TeachingStarted):
            self._say(
                f"{event.train} tiles to learn from, {event.held_out} held out; {event.device}"
            )
        elif isinstance(event, Looked):
            self.share = 0.6 * event.done / event.total
            self._say(f"The encoder looks at the tiles: {event.done} of {event.total}")
        elif isinstance(event, EpochResult):
            self.epochs.append(event)
            self.share = max(self.share, 0.6 + 0.4 * event.epoch / self.n_epochs)
            kept = "kept" if event.best else "not better"
            self._say(f"Epoch {event.epoch} of {self.n_epochs}: loss {event.val_loss:.3f}, {kept}")
        elif isinstance(event, Lesson):
            self.lesson = event
        self.progressed.emit()

    def _on_tuned(self) -> None:
        if self._closed:
            return
        self._work = ""
        if self.lesson is None:
            self._say("Stopped; the model is as it was.")
        else:
            test = self.lesson.test
            self._say(
                f"Held out: balanced accuracy {test.before.value:.3f} before, "
                f"{test.after.value:.3f} after. See both on the slide, then keep or discard."
            )
        self.changed.emit()

    def _failed(self, problem: str) -> None:
        if self._closed:
            return
        self._work = ""
        self._say(problem, "error")
        show_error(problem)
        self.changed.emit()

    def _say(self, text: str, tone: str = "plain") -> None:
        self.message, self.tone = text, tone

    # -- old and new on the slide --

    def compare(self) -> None:
        """Run both versions on the slide and show them as linked layers."""
        card, slide = self.control.state.card, self.control.slide
        folder = self.control.state.out_folder
        if self._work or self.trial is None or card is None or slide is None or folder is None:
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
            model = str(find_model(self.control.state.model))
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
        self.workers.start(work, self._on_compared, self._failed, self._on_comparison_ended)

    def _on_compared(self, event: Any) -> None:
        reference = self._reference
        if self._closed:
            return
        if isinstance(event, Compared):
            self.share = event.done / max(1, event.total)
            self._say(f"Both versions: {event.done:,} of {event.total:,} tiles")
        elif isinstance(event, BothMaps) and reference is self.control.layer and reference:
            self.maps = event
            self.measure()
            self._show_maps(event, reference)
        self.progressed.emit()

    def _on_comparison_ended(self) -> None:
        if self._closed:
            return
        self._work = ""
        self._say("Stopped; finished tiles are kept." if self.maps is None else "")
        self.changed.emit()

    def measure(self) -> None:
        """Bring the table up to the thresholds that are drawn."""
        if self.maps is not None:
            self.rows = changes(self.maps, dict(self.control.state.thresholds))
            self.progressed.emit()

    def _show_maps(self, maps: BothMaps, reference: Image) -> None:
        viewer = self.control.viewer
        scheme = maps.before.manifest.scheme
        shown = self.control.findings.results
        for i in scheme.pathological:
            c = scheme[i]
            threshold = self.control.state.thresholds.get(c.name, DEFAULT_THRESHOLD)
            old: Image | None = None
            if shown is not None and shown.store.path == maps.before.path:
                old = shown.probabilities[c.name]
            new = probability_layer(maps.after, i, reference, threshold)
            # Not an ordinary result before it is kept; such layers would become the shown one.
            new.metadata.pop(RESULT_KEY)
            new.name = f"{c.title} · version {maps.after.manifest.model_version} · {reference.name}"
            if old is None or old not in viewer.layers:
                old = probability_layer(maps.before, i, reference, threshold)
                old.metadata.pop(RESULT_KEY)
                version = maps.before.manifest.model_version
                old.name = f"{c.title} · version {version} · {reference.name}"
                viewer.add_layer(old)
            active = viewer.layers.selection.active
            viewer.add_layer(new)
            new.opacity, new.contrast_limits = old.opacity, old.contrast_limits
            viewer.layers.link_layers([old, new], LINKED)
            self.pairs.append((old, new))
            viewer.layers.selection.active = active or reference
        self.look_at("after")

    def look_at(self, which: str) -> None:
        """Show the maps of the version ``"before"``, of the one ``"after"``, or ``"both"``."""
        for old, new in self.pairs:
            old.visible = which != "after"
            new.visible = which != "before"

    def _take_maps_away(self) -> None:
        """Remove the taught version's maps; those of the earlier one stay."""
        viewer = self.control.viewer
        for old, new in self.pairs:
            if old in viewer.layers and new in viewer.layers:
                viewer.layers.unlink_layers([old, new], LINKED)
            if new in viewer.layers:
                viewer.layers.remove(new)
            old.visible = True
        self.pairs, self.maps, self.rows = [], None, ()

    # -- decide --

    def keep(self) -> None:
        """Make the taught model the next version, and use it."""
        card, trial = self.control.state.card, self.trial
        if card is None or self._work or trial is None or self.control.state.status.is_active:
            return
        results = results_of(trial_path(card))
        try:
            path = keep_trial(card)
        except LiverDxError as error:
            show_error(str(error))
            return
        folder, reference = self.control.state.out_folder, self.control.layer
        name = path.name.removesuffix(".safetensors")
        shown = None if self.maps is None else self.maps.after.path
        self._take_maps_away()
        # With another number it is another file, and its results would not be resumed.
        if folder is not None and results.is_dir() and name == trial.name:
            for made in sorted(results.iterdir()):
                if not (folder / made.name).exists():
                    shutil.move(made, folder / made.name)
        shutil.rmtree(results.parent, ignore_errors=True)
        self.lesson = None
        self.control.choose_model(name)
        if shown is not None and folder is not None and reference is not None:
            self._show_kept(folder / shown.name, reference)
        show_info(f"Kept as {path.name}")
        self._say(f"Kept as {read_card(path).title}, which is used from now on.")
        self.changed.emit()

    def _show_kept(self, path: Path, reference: Image) -> None:
        """Show what was made for the comparison as the result of the version it now is."""
        try:
            self.control.findings.show(ResultStore.open(path), reference)
        except LiverDxError as error:
            show_error(str(error))
            return
        self.control.findings.refresh(force=True)

    def discard(self) -> None:
        """Remove the taught model and everything made with it."""
        card = self.control.state.card
        if card is None or self._work:
            return
        self._take_maps_away()
        discard_trial(card)
        self.lesson = None
        self._say("Discarded; the model is as it was.")
        self.changed.emit()

    def use(self, name: str) -> None:
        """Choose a version."""
        self.control.choose_model(name)

    def close(self) -> None:
        """Stop what runs and let go of the viewer."""
        self._closed = True
        self.stop.throw()
        self.material.close()
        self._reference, self.maps, self.pairs = None, None, []
