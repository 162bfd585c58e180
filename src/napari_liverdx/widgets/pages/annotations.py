"""What is annotated on the slides in the viewer: drawn, corrected, kept and counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image
from psygnal import Signal

from napari_liverdx.core.errors import LiverDxError
from napari_liverdx.core.geometry import Region
from napari_liverdx.session.annotations import (
    AnnotationSummary,
    CollectedAnnotations,
    annotation_folder,
    collect,
    keep_review,
    summarize,
)
from napari_liverdx.training.interactive.annotation_store import AnnotationFolder
from napari_liverdx.viewer.layers.annotation import AnnotationLayer
from napari_liverdx.viewer.layers.slide_source import slide_of_layer
from napari_liverdx.widgets.parts.workers import Tickets, once

if TYPE_CHECKING:
    from napari_liverdx.widgets.main.controller import DockController

__all__ = ["AnnotationManager"]

_REST_MS = 250


class AnnotationManager:
    """The layers one annotates on, and what they and the review hold.

    Signals: ``changed()`` when something was drawn, undone or chosen; ``counted()`` when
    ``summary`` or ``problem`` is new.

    Parameters
    ----------
    control : DockController
        The dock's logic.

    Attributes
    ----------
    summary : AnnotationSummary or None
        None until something was counted.
    problem : str
        Why nothing could be counted.
    with_kept : bool
        Whether slides annotated before count too.
    notes : tuple of str
        What of the kept is not counted, and why.
    """

    changed = Signal()
    counted = Signal()

    def __init__(self, control: DockController) -> None:
        self._control = control
        self._layers: list[AnnotationLayer] = []
        self._unsaved: list[AnnotationLayer] = []
        self._counts = Tickets()
        self.summary: AnnotationSummary | None = None
        self.problem = ""
        self.with_kept = True
        self.notes: tuple[str, ...] = ()
        self._timer = control.host.timer(_REST_MS, self.count)
        control.viewer.layers.events.removed.connect(self._on_removed)

    @property
    def folder(self) -> AnnotationFolder:
        """Where annotations are kept."""
        return annotation_folder()

    # -- layers --

    @property
    def current(self) -> AnnotationLayer | None:
        """The layer of the chosen slide, if there is one for its model's classes."""
        card, layer = self._control.state.model.card, self._control.layer
        for teaching in self._layers:
            same = teaching.reference is layer
            if same and card is not None and teaching.scheme == card.scheme:
                return teaching
        return None

    def draw(self, name: str) -> None:
        """Take up the lasso for a class on the chosen slide."""
        # A layer that was taken away left its shapes on disk; a new one must not write over them,
        # nor over what is there and cannot be read.
        if not self.restore():
            return
        teaching = self.current or self._make(())
        if teaching is not None:
            selection = self._control.viewer.layers.selection
            # Chosen or shown anew a layer would lose its mode, and with it what is selected.
            if selection.active is not teaching.layer:
                selection.active = teaching.layer
            if not teaching.layer.visible:
                teaching.layer.visible = True
            teaching.draw(name)

    def restore(self) -> bool:
        """Show what was annotated on the chosen slide before; False if that cannot be read."""
        slide = self._control.slide
        if slide is None or self.current is not None:
            return True
        try:
            taught = self.folder.find(slide)
        except LiverDxError as error:
            self._control.host.show_error(str(error))
            return False
        if taught is not None and taught.shapes:
            viewer = self._control.viewer
            active = viewer.layers.selection.active
            self._make(taught.shapes)
            viewer.layers.selection.active = active
        return True

    def _make(self, regions: tuple[Region, ...]) -> AnnotationLayer | None:
        card, layer = self._control.state.model.card, self._control.layer
        if card is None or layer is None:
            return None
        for old in [t for t in self._layers if t.reference is layer]:
            # Of another model's classes: its shapes stay where they are known.
            regions = old.regions()
            self._control.viewer.layers.remove(old.layer)
        teaching = AnnotationLayer(layer, card.scheme, self._on_drawn, self._on_chosen, regions)
        self._layers.append(teaching)
        self._control.viewer.add_layer(teaching.layer)
        return teaching

    def _on_drawn(self, teaching: AnnotationLayer) -> None:
        # Not always that of the chosen slide: any layer may be drawn on.
        if teaching not in self._unsaved:
            self._unsaved.append(teaching)
        self.changed.emit()
        self.ask()

    def _on_chosen(self, name: str) -> None:
        self.changed.emit()

    def _on_removed(self, event: Any) -> None:
        self.save()
        for teaching in [t for t in self._layers if event.value in (t.layer, t.reference)]:
            self._layers.remove(teaching)
            teaching.close()
            self.changed.emit()

    # -- keeping --

    def save(self) -> None:
        """Write what was drawn since the last time."""
        unsaved, self._unsaved = self._unsaved, []
        for teaching in unsaved:
            try:
                slide = slide_of_layer(teaching.reference)
                self.folder.keep(slide, teaching.regions())
            except LiverDxError as error:
                self._control.host.show_error(str(error))

    # -- counting --

    def ask(self) -> None:
        """Count soon, once nothing has changed for a moment."""
        self._timer.start()

    def collect(self) -> CollectedAnnotations:
        """Gather what is annotated; `notes` say what is left out.

        Raises
        ------
        LiverDxError
            If nothing can be written, or an open slide is gone.
        """
        card, slide = self._control.state.model.card, self._control.slide
        if card is None:
            return CollectedAnnotations(())
        self.save()
        results = self._control.findings.results
        if results is not None and slide is not None:
            keep_review(self.folder, slide, results.store)
        slides = [slide_of_layer(layer) for layer in self._open_layers()]
        found = collect(self.folder, card, slides, others=self.with_kept)
        self.notes = found.notes
        return found

    def _open_layers(self) -> list[Image]:
        """Return the chosen slide's layer and all others with annotations."""
        chosen = [] if self._control.layer is None else [self._control.layer]
        return [*chosen, *(t.reference for t in self._layers if t.reference not in chosen)]

    def count(self) -> None:
        """Count what was annotated, in the background."""
        self._timer.stop()
        card = self._control.state.model.card
        if card is None or self._control.closed:
            return
        ticket = self._counts.take()

        def found(summary: Any) -> None:
            if ticket.holds:
                self.summary, self.problem = summary, ""
                self.counted.emit()

        def failed(problem: str) -> None:
            if ticket.holds:
                self.summary, self.problem = None, problem
                self.counted.emit()

        try:
            material = self.collect()
        except LiverDxError as error:
            failed(str(error))
            return
        if not material.slides:
            self.summary, self.problem = None, ""
            self.counted.emit()
            return
        self._control.workers.start(once(summarize, material, card), found, failed)

    def close(self) -> None:
        """Keep what was drawn and let go of the viewer."""
        self._counts.void()
        self._timer.stop()
        self.save()
        self._control.viewer.layers.events.removed.disconnect(self._on_removed)
        for teaching in self._layers:
            teaching.close()
        self._layers.clear()
