"""The logic of comparing two results, or two thresholds of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from psygnal import Signal

from napari_liverdx._ids import Choice
from napari_liverdx.core.errors import LiverDxError
from napari_liverdx.session.compare import Comparison, Side, compare
from napari_liverdx.viewer.layers.result import ResultLayers
from napari_liverdx.viewer.layers.swipe import (
    A_COLOR,
    COMPARE_KEY,
    Swipe,
    difference_layer,
    side_layer,
)

if TYPE_CHECKING:
    from napari_liverdx.viewer.layers.linked_canvas import LinkedCanvas
    from napari_liverdx.widgets.main.controller import DockController

__all__ = ["CompareController", "Mode"]

_LATER_MS = 60


class Mode(Choice):
    """How two sides are shown."""

    OFF = "off", "Off"
    SWIPE = "swipe", "Swipe"
    DIFFERENCE = "difference", "Differences"
    SECOND = "second_canvas", "Second canvas"


class CompareController:
    """Holds what is compared and draws it.

    Signals: ``compared(Comparison | None)``, ``swiped(float)`` when the line was dragged on the
    canvas, ``ended()`` when the comparison ended by itself.

    Parameters
    ----------
    control : DockController
        The dock's logic.

    Attributes
    ----------
    chosen : list of ResultLayers or None
        A and B.
    classes : list of str
        Class of A and of B.
    thresholds : list of float
        Of A and of B.
    """

    compared = Signal(object)
    swiped = Signal(float)
    ended = Signal()

    def __init__(self, control: DockController) -> None:
        self._control = control
        self.mode = Mode.OFF
        self.chosen: list[ResultLayers | None] = [None, None]
        self.classes = ["", ""]
        self.thresholds = [0.5, 0.5]
        self._swipe: Swipe | None = None
        self._difference: Labels | None = None
        self.linked: LinkedCanvas | None = None
        self._first = None
        self._later = control.host.timer(_LATER_MS, self.update)
        control.viewer.layers.events.removed.connect(self._on_removed)

    # -- what is compared --

    def results(self) -> list[ResultLayers]:
        """Return results of the chosen slide in the viewer."""
        return self._control.findings.of_layer(self._control.layer)

    def choose(self, side: int, results: ResultLayers | None, class_name: str) -> None:
        """Take a result and one of its classes for A (0) or B (1)."""
        self.take(side, results, class_name)
        self.show(self.mode)

    def take(self, side: int, results: ResultLayers | None, class_name: str) -> None:
        """Choose the result of a side without comparing, for when both sides change."""
        self.chosen[side], self.classes[side] = results, class_name

    def set_threshold(self, side: int, value: float) -> None:
        """Move the threshold of A (0) or B (1); maps follow at once, figures a moment later."""
        self.thresholds[side] = value
        if self._swipe is not None:
            self._swipe.set_threshold("AB"[side], value)
        if side == 0 and self._first is not None:
            self._first.contrast_limits = (min(value, 0.999), 1.0)
        if side == 1 and self.linked is not None:
            self.linked.set_threshold(value)
        self._later.start()

    def sides(self) -> tuple[Side, Side] | None:
        """Return A and B; None while one of them is missing."""
        found = []
        for results, name, threshold in zip(
            self.chosen, self.classes, self.thresholds, strict=True
        ):
            if results is None or not name:
                return None
            settings = results.settings.with_threshold(name, threshold)
            found.append(Side(results.store, name, settings, results.quantiles))
        return found[0], found[1]

    # -- how it is shown --

    def show(self, mode: Mode) -> None:
        """Show the two sides in another way."""
        self.clear()
        self.mode = mode
        sides, layer = self.sides(), self._control.layer
        if sides is None or layer is None:
            self.mode = Mode.OFF
            self.compared.emit(None)
            return
        viewer = self._control.viewer
        if mode is not Mode.OFF:
            self._control.findings.set_view(visible=False)
            for results in self.results():
                results.set_view(results.view.model_copy(update={"visible": False}))
        if mode is Mode.SWIPE:
            self._swipe = Swipe(viewer, layer, *sides, self.swiped.emit)
        elif mode is Mode.SECOND:
            # A canvas needs a window, and its import a Qt binding.
            from napari_liverdx.viewer.layers.linked_canvas import LinkedCanvas

            self._first = side_layer(sides[0], layer, "A", A_COLOR)
            viewer.add_layer(self._first)
            viewer.layers.selection.active = layer
            title = f"B · {self.chosen[1].title if self.chosen[1] else ''}"
            self.linked = LinkedCanvas(viewer, layer, sides[1], title, self._on_closed)
        self.update()

    def swipe_to(self, position: float) -> None:
        """Put the line at a share of the canvas' width."""
        if self._swipe is not None:
            self._swipe.move(position)

    def update(self) -> Comparison | None:
        """Compare anew, and draw the differences where they are shown."""
        sides, layer = self.sides(), self._control.layer
        if sides is None or layer is None:
            self.compared.emit(None)
            return None
        try:
            comparison = compare(*sides)
        except LiverDxError as error:
            self._control.host.show_error(str(error))
            self.compared.emit(None)
            return None
        if self.mode is Mode.DIFFERENCE:
            viewer = self._control.viewer
            if self._difference is not None and self._difference in viewer.layers:
                self._difference.data = comparison.where
            else:
                self._difference = difference_layer(comparison, sides[0], layer)
                viewer.add_layer(self._difference)
                viewer.layers.selection.active = layer
        self.compared.emit(comparison)
        return comparison

    def clear(self) -> None:
        """Take what is drawn away and show the results' own maps again."""
        self._later.stop()
        was = self.mode
        self.mode = Mode.OFF
        if was is Mode.OFF:
            return
        viewer = self._control.viewer
        if self._swipe is not None:
            self._swipe.remove()
        if self.linked is not None:
            self.linked.close()
        for layer in (self._difference, self._first):
            if layer is not None and layer in viewer.layers:
                viewer.layers.remove(layer)
        self._swipe, self.linked, self._difference, self._first = None, None, None, None
        for results in self.results():
            results.set_view(results.view.model_copy(update={"visible": True}))
        self._control.findings.set_view(visible=True)

    def _on_removed(self, event: Any) -> None:
        # Taken away by hand, not by this comparison, which is off while it clears.
        if self.mode is not Mode.OFF and COMPARE_KEY in event.value.metadata:
            self._control.host.run_later(0, self._end)

    def _end(self) -> None:
        if self.mode is not Mode.OFF:
            self.clear()
            self.ended.emit()

    def _on_closed(self) -> None:
        self.linked = None
        self._end()

    def close(self) -> None:
        """Take everything away and let go of the results."""
        self._control.viewer.layers.events.removed.disconnect(self._on_removed)
        self.clear()
        self.chosen = [None, None]
