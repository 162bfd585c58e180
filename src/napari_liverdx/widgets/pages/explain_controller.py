"""Asks for explanations, one at a time, and shows them over the slide."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_liverdx.core.errors import LiverDxError
from napari_liverdx.inference.explain import Explanation, tile_at
from napari_liverdx.session.explain import (
    Explained,
    ExplainRequest,
    explain,
    grid_to_explain,
)
from napari_liverdx.viewer.layers.explain import ExplainLayers
from napari_liverdx.widgets.parts.workers import Tickets, once

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_liverdx.widgets.main.controller import DockController

__all__ = ["ExplainController"]


class ExplainController:
    """Turns places on the slide into explanations.

    One request is at work at a time, the newest waits, those between are forgotten; an answer
    that is no longer the newest is dropped by its number.

    Signals: ``asked(str)`` with what is being done, ``answered(Explained | None)``,
    ``failed(str)`` with what to do about it.

    Parameters
    ----------
    controller : DockController
        The dock's logic.
    """

    asked = Signal(str)
    answered = Signal(object)
    failed = Signal(str)

    def __init__(self, controller: DockController) -> None:
        self._controller = controller
        self.layers = ExplainLayers(controller.viewer)
        self.answer: Explained | None = None
        self._asked = Tickets()
        self._at_work = False
        self._waiting: ExplainRequest | None = None
        self._last: ExplainRequest | None = None
        self._class_name = ""
        self._on_slide = False
        self._of_layer: Image | None = None
        self._released = False
        controller.state.slide.events.facts.connect(self._on_slide_changed)
        controller.state.model.events.card.connect(self._on_card)

    @property
    def explanation(self) -> Explanation | None:
        """What is shown."""
        return None if self.answer is None else self.answer.explanation

    # -- asking --

    def ask_at(self, world: tuple[float, ...]) -> bool:
        """Explain the tile at a place in world coordinates; False if there is none to explain."""
        control = self._controller
        layer, slide = control.layer, control.slide
        results = control.findings.results
        store = None if results is None else results.store
        if layer is None or slide is None:
            self.failed.emit("Open a slide first.")
            return False
        try:
            grid = grid_to_explain(control.state, store)
        except LiverDxError as error:
            self.failed.emit(_as_sentence(str(error)))
            return False
        # A data coordinate is a pixel's center.
        y, x = np.asarray(layer.world_to_data(world)[-2:]) + 0.5
        tile = tile_at(grid, float(x), float(y))
        if tile is None:
            where = "slide" if store is None else "analyzed area"
            self.failed.emit(f"This place is outside the {where}; choose one within it.")
            return False
        self._of_layer = layer
        self.layers.show_outline(grid.rect(tile), layer)
        self._ask(
            ExplainRequest(0, slide, grid, tile, control.state.model.name, self._class_name, store)
        )
        return True

    def choose_class(self, name: str) -> None:
        """Explain another class of the same tile; an empty name is the predicted one."""
        self._class_name = name
        if self._last is not None:
            self._ask(replace(self._last, class_name=name))

    def _ask(self, request: ExplainRequest) -> None:
        number = self._asked.take().number
        self._last = self._waiting = replace(request, number=number)
        self.asked.emit(f"Explaining tile {request.tile.row}, {request.tile.col}…")
        self._next()

    def _next(self) -> None:
        if self._at_work or self._waiting is None or self._released:
            return
        request, self._waiting = self._waiting, None
        self._at_work = True
        self._controller.workers.start(
            once(explain, request), self._on_answer, self._on_problem, self._on_end
        )

    def _on_end(self) -> None:
        self._at_work = False
        self._next()

    def _on_problem(self, problem: str) -> None:
        if self._waiting is None and not self._released:
            self.failed.emit(_as_sentence(problem))
        self._on_end()

    def _on_answer(self, answer: Explained) -> None:
        if answer.number != self._asked.newest or self._released:
            return
        self.answer = answer
        self._draw_maps()
        self.answered.emit(answer)

    # -- over the slide --

    def show_on_slide(self, on: bool) -> None:
        """Lay the maps over the slide from now on, or take them away."""
        self._on_slide = on
        self._draw_maps()

    def _draw_maps(self) -> None:
        explanation, layer = self.explanation, self._of_layer
        if self._on_slide and explanation is not None and layer is not None:
            self.layers.show_maps(explanation, layer)
        else:
            self.layers.hide_maps()

    def _on_slide_changed(self, _: Any = None) -> None:
        if self._controller.layer is not self._of_layer:
            self.forget()

    def _on_card(self, _: Any = None) -> None:
        self._class_name = ""
        self.forget()

    def forget(self) -> None:
        """Show nothing any more: the slide or the model is another one."""
        had = self._last is not None
        self._asked.void()
        self._waiting = self._last = self._of_layer = self.answer = None
        self.layers.remove()
        if had:
            self.answered.emit(None)

    def release(self) -> None:
        """Let go; calling it again does nothing."""
        if self._released:
            return
        self.forget()
        self._released = True
        self._controller.state.slide.events.facts.disconnect(self._on_slide_changed)
        self._controller.state.model.events.card.disconnect(self._on_card)


def _as_sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
