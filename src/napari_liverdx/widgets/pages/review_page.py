"""The page on which the predicted classes of tiles are reviewed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
)

from napari_liverdx.core.grid import TileIndex
from napari_liverdx.session.review import Order
from napari_liverdx.session.state import RunStatus
from napari_liverdx.slides.tiles import Thumbnail
from napari_liverdx.widgets.main.page import Tab
from napari_liverdx.widgets.pages.gallery import Gallery
from napari_liverdx.widgets.pages.overview_panel import OverviewPanel
from napari_liverdx.widgets.pages.review_card import Card
from napari_liverdx.widgets.pages.review_controller import ReviewController
from napari_liverdx.widgets.parts.choice_box import ChoiceBox
from napari_liverdx.widgets.parts.panel import Panel, quiet_label, swatch

if TYPE_CHECKING:
    from napari_liverdx.widgets.main.controller import DockController

__all__ = ["ReviewPage"]

_STILL = 3.0
"""Screen pixels a click may move and still be a click."""


class ReviewPage(Tab):
    """Overview, thumbnails of the tiles to look at first, and the decisions on them."""

    key = "review"
    title = "Review"
    tip = "Review the highest-probability tiles; accept or reject each"

    def __init__(self, controller: DockController) -> None:
        super().__init__(controller)
        self.control = ReviewController(controller)
        self._stale = True
        self.overview = OverviewPanel(controller)
        tiles = self._build_tiles()
        self.fill(self.overview, tiles, grow=tiles)
        self._connect()
        self._bind_keys()
        self._show_state()

    # -- the look --

    def _build_tiles(self) -> Panel:
        panel = Panel("Tiles to look at first")
        self.order = ChoiceBox(Order)
        self.undecided = QCheckBox("Undecided only")
        top = QHBoxLayout()
        top.addWidget(self.order, 1)
        top.addWidget(self.undecided)
        self.gallery = Gallery()
        self.more = QPushButton("More tiles")
        self.about = quiet_label()
        panel.body.addLayout(top)
        panel.body.addWidget(self.gallery, 1)
        panel.body.addWidget(self.more)
        panel.body.addWidget(self.about)
        panel.body.addLayout(self._build_buttons())
        self.counts = QLabel()
        self.pick = QPushButton("Select on slide")
        self.pick.setCheckable(True)
        self.pick.setToolTip("Click on the slide to review the tile under the cursor")
        self.save = QPushButton("Save CSV…")
        self.save.setToolTip("All decisions as a table")
        foot = QHBoxLayout()
        foot.addWidget(self.counts, 1)
        foot.addWidget(self.pick)
        foot.addWidget(self.save)
        panel.body.addLayout(foot)
        return panel

    def _build_buttons(self) -> QGridLayout:
        self.accept = _button("Accept  (A)", "The predicted class is correct; key A")
        self.reject = _button("Reject  (R)", "The predicted class is wrong; key R")
        self.previous = _button("Previous", "The tile before; key P")
        self.next = _button("Next", "The next tile; key N")
        self.undo = _button("Undo", "Take the last decision back; Ctrl+Z")
        self.redo = _button("Redo", "Make the decision again; Ctrl+Shift+Z")
        self.correct = QComboBox()
        self.correct.setToolTip("Set the correct class (also used for fine-tuning)")
        self.correct.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        grid = QGridLayout()
        grid.setSpacing(4)
        grid.addWidget(self.accept, 0, 0, 1, 2)
        grid.addWidget(self.reject, 0, 2, 1, 2)
        for column, button in enumerate((self.previous, self.next, self.undo, self.redo)):
            grid.addWidget(button, 1, column)
        line = QHBoxLayout()
        line.addWidget(QLabel("Correct class:"))
        line.addWidget(self.correct, 1)
        grid.addLayout(line, 2, 0, 1, 4)
        return grid

    def _connect(self) -> None:
        control = self.control
        control.listed.connect(self._on_listed)
        control.pictured.connect(self._on_pictured)
        control.changed.connect(self._on_changed)
        control.moved.connect(self._on_moved)
        self.order.chosen.connect(self._on_order)
        self.undecided.toggled.connect(self._on_undecided)
        self.gallery.chosen.connect(control.choose)
        self.gallery.key_pressed.connect(self._on_key)
        self.more.clicked.connect(control.add_more)
        self.accept.clicked.connect(self._then_next(control.accept))
        self.reject.clicked.connect(self._then_next(control.reject))
        self.next.clicked.connect(partial(self.gallery.step, 1))
        self.previous.clicked.connect(partial(self.gallery.step, -1))
        self.undo.clicked.connect(control.undo)
        self.redo.clicked.connect(control.redo)
        self.correct.activated.connect(self._on_correct)
        self.save.clicked.connect(self._ask_file)
        self.pick.toggled.connect(self._on_pick)
        self.controller.findings.changed.connect(self._on_result)
        self.controller.state.run.events.status.connect(self._on_status)

    def _bind_keys(self) -> None:
        keys = self.controller.keys
        actions: dict[str, tuple[str, Callable[[], object]]] = {
            "A": ("Review: accept the tile", self._then_next(self.control.accept)),
            "R": ("Review: reject the tile", self._then_next(self.control.reject)),
            "N": ("Review: next tile", partial(self.gallery.step, 1)),
            "P": ("Review: previous tile", partial(self.gallery.step, -1)),
            "Control-Z": ("Review: undo", self.control.undo),
            "Control-Shift-Z": ("Review: redo", self.control.redo),
        }
        self._letters = {k: action for k, (_, action) in actions.items() if len(k) == 1}
        for key, (text, action) in actions.items():
            shown = partial(self._if_shown, action)
            keys.bind(key, text, shown)
            self.control.layer_keys[key] = shown
        keys.mention("Arrows", "Review: move among the thumbnails", "in the gallery")

    # -- intentions --

    def _if_shown(self, action: Callable[[], object]) -> None:
        """Act only while shown: keys over the canvas must not decide on what nobody sees."""
        if self.isVisible():
            action()

    def _then_next(self, action: Callable[[], None]) -> Callable[[], None]:
        """Decide, then go on: a row of tiles is judged with one key."""

        def act() -> None:
            if self.control.current is not None:
                action()
                self.gallery.step(1)

        return act

    def _on_key(self, letter: str) -> None:
        action = self._letters.get(letter)
        if action is not None:
            action()

    def _on_order(self, order: Order) -> None:
        self.control.order = order
        self.control.list_tiles()

    def _on_undecided(self, on: bool) -> None:
        self.control.undecided_only = on
        self.control.list_tiles()

    def _on_correct(self, index: int) -> None:
        name = self.correct.itemData(index)
        if name:
            self.control.correct(str(name))
        else:
            self.control.forget()

    def _ask_file(self) -> None:
        if self.controller.findings.results is None:
            return
        start = str(self.controller.findings.beside("review.csv"))
        path, _ = QFileDialog.getSaveFileName(self, "Save decisions", start, "Tables (*.csv)")
        if path and self.control.save(Path(path)):
            self.controller.state.run.message = f"Decisions saved: {path}"

    def _on_pick(self, on: bool) -> None:
        callbacks = self.controller.viewer.mouse_drag_callbacks
        if on:
            callbacks.append(self._on_mouse)
        elif self._on_mouse in callbacks:
            callbacks.remove(self._on_mouse)

    def _on_mouse(self, viewer: Any, event: Any) -> Any:
        start = np.asarray(event.pos, dtype=float)
        yield
        while event.type == "mouse_move":
            yield
        if float(np.abs(np.asarray(event.pos) - start).max()) <= _STILL:
            self.control.choose_at(tuple(event.position))

    # -- what changed --

    def _on_result(self) -> None:
        self._stale = True
        results = self.controller.findings.results
        self.correct.clear()
        if results is not None:
            self.correct.addItem("–", "")
            for c in results.store.manifest.scheme:
                self.correct.addItem(swatch(c.color), c.title, c.name)
        # A run that begins has nothing to show yet, and a hidden page need not read.
        if results is None or self.isVisible():
            self._catch_up()
        self._show_state()

    def _on_status(self, status: RunStatus) -> None:
        if status in (RunStatus.FINISHED, RunStatus.STOPPED):
            self._stale = True
            if self.isVisible():
                self._catch_up()

    def _catch_up(self) -> None:
        if self._stale:
            self._stale = False
            if self.controller.findings.results is self.control.shown:
                self.control.list_tiles()
            else:
                self.control.take_result()

    def showEvent(self, event: Any) -> None:
        """List what has come since the page was last seen."""
        super().showEvent(event)
        QTimer.singleShot(0, self._catch_up)

    def hideEvent(self, event: Any) -> None:
        """Leave clicks on the slide to another page from now on."""
        super().hideEvent(event)
        self.pick.setChecked(False)

    def _on_listed(self, cards: list[Card]) -> None:
        self.gallery.show_cards(cards)
        self._show_state()

    def _on_pictured(self, thumbnail: Thumbnail) -> None:
        self.gallery.show_picture(thumbnail.tile, thumbnail.rgb)

    def _on_changed(self, card: Card) -> None:
        self.gallery.update_card(card)
        self._show_state()

    def _on_moved(self, tile: TileIndex | None) -> None:
        if tile is not None and self.gallery.current_tile != tile:
            self.gallery.blockSignals(True)
            self.gallery.choose(tile)
            self.gallery.blockSignals(False)
        self._show_state()

    def _show_state(self) -> None:
        review, tile = self.control.review, self.control.current
        some = review is not None and bool(self.control.tiles)
        for widget in (self.order, self.undecided, self.save, self.pick):
            widget.setEnabled(review is not None)
        for widget in (self.next, self.previous):
            widget.setEnabled(some)
        for about_tile in (self.accept, self.reject, self.correct):
            about_tile.setEnabled(tile is not None)
        self.undo.setEnabled(review is not None and review.can_undo)
        self.redo.setEnabled(review is not None and review.can_redo)
        self.more.setVisible(self.control.has_more)
        accepted, rejected = self.control.counts
        self.counts.setText(f"{accepted} accepted, {rejected} rejected")
        self.about.setText(self._text())
        decision = None if review is None or tile is None else review.store.decisions.get(tile)
        known = "" if decision is None else decision.correct
        self.correct.setCurrentIndex(max(0, self.correct.findData(known)))

    def _text(self) -> str:
        if self.control.review is None:
            return "Analyze a slide, or open a result, to review its tiles"
        tile = self.control.current
        if tile is None:
            return "Click a tile to look at it" if self.control.tiles else "No tile to show"
        return self.control.card(tile).tip.replace("\n", " · ")

    def release(self) -> None:
        """Stop reading and let go of the viewer; calling it again does nothing."""
        self.control.close()
        self._on_pick(False)
        self.overview.release()


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    return button
