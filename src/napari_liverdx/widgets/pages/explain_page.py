"""The page that explains a tile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.notifications import show_error
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QPushButton,
    QSizePolicy,
    QTabWidget,
)

from napari_liverdx.core.errors import PlanError
from napari_liverdx.inference.explain import Explanation, sentences
from napari_liverdx.inference.explain_sheet import (
    explanation_pictures,
    explanation_sheet,
    write_explanation,
)
from napari_liverdx.session.explain import Explained
from napari_liverdx.widgets.main.page import Tab
from napari_liverdx.widgets.pages.explain_controller import ExplainController
from napari_liverdx.widgets.parts.panel import Panel, quiet_label, set_tone, swatch
from napari_liverdx.widgets.parts.table import PlainTable
from napari_liverdx.widgets.parts.tile_view import TileView, qimage

if TYPE_CHECKING:
    from napari_liverdx.widgets.main.controller import DockController

__all__ = ["ExplainPage"]

_STILL = 3.0
"""Screen pixels a click may move and still be a click."""

_HINT = "Press Pick a tile and click on the slide, or point at a tile and press E."


class ExplainPage(Tab):
    """Pick a tile; see where the answer comes from and what its neighbors do to it."""

    key = "explain"
    title = "Explain"
    tip = "Evidence within a tile, and the influence of neighboring map pixels"

    def __init__(self, controller: DockController) -> None:
        super().__init__(controller)
        self.control = ExplainController(controller)
        self.fill(self._build_choice(), self._build_answer())
        self._connect()
        controller.keys.bind("E", "Explain the tile under the pointer", self.explain_under_pointer)
        self._on_card()
        self._show_answer(None)

    # -- the look --

    def _build_choice(self) -> Panel:
        panel = Panel("Explain a tile")
        self.pick = QPushButton("Pick a tile")
        self.pick.setCheckable(True)
        self.pick.setToolTip("Click on the slide to explain the tile under the pointer (E)")
        self.choice = QComboBox()
        self.choice.setToolTip("Class that is explained")
        self.choice.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        row = QHBoxLayout()
        row.addWidget(self.pick)
        row.addWidget(self.choice, 1)
        self.status = quiet_label(_HINT)
        panel.body.addLayout(row)
        panel.body.addWidget(self.status)
        return panel

    def _build_answer(self) -> Panel:
        self.answer = Panel("Explanation")
        self.view = TileView()
        self.meaning = quiet_label()
        self.table = PlainTable("Class", "Probability")
        self.notes = quiet_label()
        self.on_slide = QCheckBox("Show on the slide")
        self.on_slide.setToolTip("Grad-CAM and map pixels as layers, exactly over the tile")
        self.copy = QPushButton("Copy image")
        self.save = QPushButton("Save image…")
        self.save.setToolTip("All images with captions and scales as PNG")
        row = QHBoxLayout()
        row.addWidget(self.copy)
        row.addWidget(self.save)
        for part in (self.meaning, self.view, self.table, self.notes, self.on_slide):
            self.answer.body.addWidget(part)
        self.answer.body.addLayout(row)
        return self.answer

    def _connect(self) -> None:
        self.pick.toggled.connect(self._on_pick)
        self.choice.activated.connect(self._on_class)
        self.on_slide.toggled.connect(self.control.show_on_slide)
        self.copy.clicked.connect(self.copy_picture)
        self.save.clicked.connect(self._ask_file)
        self.control.asked.connect(self._on_asked)
        self.control.answered.connect(self._show_answer)
        self.control.failed.connect(self._on_failed)
        self.controller.state.model.events.card.connect(self._on_card)

    # -- intentions --

    def explain_under_pointer(self) -> None:
        """Explain the tile under the pointer, and bring this page to the front."""
        self.explain_at(tuple(self.controller.viewer.cursor.position))

    def explain_at(self, world: tuple[float, ...]) -> None:
        """Explain the tile at a place in world coordinates."""
        if self.control.ask_at(world):
            self._come_to_front()

    def _come_to_front(self) -> None:
        parent = self.parentWidget()
        while parent is not None and not isinstance(parent, QTabWidget):
            parent = parent.parentWidget()
        if parent is not None:
            parent.setCurrentWidget(self)

    def _on_pick(self, on: bool) -> None:
        callbacks = self.controller.viewer.mouse_drag_callbacks
        if on:
            callbacks.append(self._on_mouse)
        elif self._on_mouse in callbacks:
            callbacks.remove(self._on_mouse)

    def _on_mouse(self, viewer: Any, event: Any) -> Any:
        active = viewer.layers.selection.active
        drawing = str(getattr(active, "mode", "pan_zoom")) != "pan_zoom"
        start = np.asarray(event.pos, dtype=float)
        farthest = 0.0
        yield
        while event.type == "mouse_move":
            farthest = max(farthest, float(np.abs(np.asarray(event.pos) - start).max()))
            yield
        if event.button == 1 and farthest <= _STILL and not drawing:
            self.explain_at(tuple(event.position))

    def _on_class(self, index: int) -> None:
        self.control.choose_class(str(self.choice.itemData(index)))

    def copy_picture(self) -> None:
        """Put the picture into the clipboard."""
        if self.control.explanation is not None:
            clipboard = QGuiApplication.clipboard()
            clipboard.setImage(qimage(explanation_sheet(self.control.explanation)))
            self.status.setText("The image is in the clipboard.")

    def _ask_file(self) -> None:
        e = self.control.explanation
        if e is None:
            return
        slide = self.controller.slide
        base = "tile" if slide is None or self.controller.state.hide_names else slide.name
        name = f"{base}.{e.tile.row}-{e.tile.col}.{e.classes[e.class_index].name}.png"
        folder = self.controller.state.run.out_folder
        start = name if folder is None or not folder.is_dir() else str(folder / name)
        path, _ = QFileDialog.getSaveFileName(self, "Save the image", start, "Images (*.png)")
        if path:
            self.save_picture(Path(path).with_suffix(".png"))

    def save_picture(self, path: Path) -> None:
        """Write the picture as PNG; a notification if it cannot be written."""
        if self.control.explanation is None:
            return
        try:
            write_explanation(path, self.control.explanation)
        except PlanError as error:
            show_error(str(error))
            return
        self.status.setText(f"Saved: {path}")

    # -- what changed --

    def _on_card(self) -> None:
        card = self.controller.state.model.card
        self.choice.clear()
        self.choice.addItem("Predicted class", "")
        for tissue_class in () if card is None else card.classes:
            icon = swatch(tissue_class.color)
            self.choice.addItem(icon, tissue_class.title, tissue_class.name)

    def _on_asked(self, text: str) -> None:
        set_tone(self.status, "plain")
        self.status.setText(text)

    def _on_failed(self, text: str) -> None:
        set_tone(self.status, "warning")
        self.status.setText(text)

    def _show_answer(self, answer: Explained | None) -> None:
        self.answer.setVisible(answer is not None)
        if answer is None:
            self.view.show_pictures([])
            set_tone(self.status, "plain")
            self.status.setText(_HINT)
            return
        e = answer.explanation
        set_tone(self.status, "warning" if answer.warning else "plain")
        place = f"Tile {e.tile.row}, {e.tile.col} is predicted as {e.classes[e.called].title}"
        other = "" if e.class_index == e.called else f"; this explains {e.title}"
        self.status.setText(answer.warning or f"{place}{other}.")
        self.view.show_pictures(explanation_pictures(e))
        self.meaning.setText("\n".join(sentences(e)))
        self._fill_table(e)
        cam = (
            "Grad-CAM shows relative importance within this tile; values cannot be compared "
            f"between tiles; {e.cam_note}."
        )
        self.notes.setText(f"{cam if e.cam is not None else e.cam_note} {e.alone_note}.")

    def _fill_table(self, e: Explanation) -> None:
        columns = [("Probability" if e.alone is None else "With RNN", e.probabilities)]
        if e.alone is not None:
            columns.append(("Without", e.alone.probabilities))
        if e.around is not None:
            columns.append(("In slide", e.around.refined))
        self.table.head("Class", *(name for name, _ in columns))
        for row, tissue_class in enumerate(e.classes):
            title = self.table.add([tissue_class.title, *(f"{v[row]:.3f}" for _, v in columns)])
            title.setIcon(swatch(tissue_class.color))
        self.table.fit()

    def hideEvent(self, event: Any) -> None:
        """Leave clicks on the slide to another page from now on."""
        super().hideEvent(event)
        self.pick.setChecked(False)

    def release(self) -> None:
        """Stop picking and let go of the viewer; calling it again does nothing."""
        self._on_pick(False)
        self.control.release()
