"""The page that compares two models, or two thresholds, on a slide."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QSlider,
    QVBoxLayout,
    QWidget,
)
from superqt import QLabeledDoubleSlider

from napari_liverdx.session.compare import Comparison
from napari_liverdx.viewer.layers.result import ResultLayers
from napari_liverdx.viewer.layers.swipe import A_COLOR, B_COLOR, BOTH_COLOR
from napari_liverdx.widgets.main.page import Tab
from napari_liverdx.widgets.pages.compare_controller import CompareController, Mode
from napari_liverdx.widgets.parts.panel import Panel, quiet_label, swatch

if TYPE_CHECKING:
    from napari_liverdx.widgets.main.controller import DockController

__all__ = ["ComparePage"]

_TIPS = {
    Mode.OFF: "Show the results as they are",
    Mode.SWIPE: "A left of a line, B right of it; drag the line on the slide",
    Mode.DIFFERENCE: "Where only A counts, only B, and both",
    Mode.SECOND: "A second canvas with B that moves with the first",
}


class _SideBox(QWidget):
    """Result, class and threshold of one side."""

    def __init__(self, letter: str, color: str) -> None:
        super().__init__()
        self.result, self.name = QComboBox(), QComboBox()
        self.result.setToolTip(f"Result shown as {letter}")
        self.name.setToolTip(f"Class compared as {letter}")
        for box in (self.result, self.name):
            box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.threshold = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        self.threshold.setRange(0.01, 0.99)
        self.threshold.setSingleStep(0.01)  # type: ignore[arg-type]  # superqt's stub is Qt's
        self.threshold.setDecimals(2)
        self.threshold.setToolTip(f"Threshold of {letter}")
        icon = QLabel()
        icon.setPixmap(swatch(color, 14).pixmap(14, 14))
        head = QHBoxLayout()
        head.addWidget(icon)
        head.addWidget(QLabel(letter))
        head.addWidget(self.result, 3)
        head.addWidget(self.name, 2)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 4)
        column.setSpacing(4)
        column.addLayout(head)
        column.addWidget(self.threshold)


class ComparePage(Tab):
    """Two sides, how they are shown, and where they agree."""

    key = "compare"
    title = "Compare"
    tip = "Two models or two thresholds on this slide: swipe, differences, second canvas"

    def __init__(self, controller: DockController) -> None:
        super().__init__(controller)
        self.control = CompareController(controller)
        self.boxes = (_SideBox("A", A_COLOR), _SideBox("B", B_COLOR))
        self.fill(self._build_sides(), self._build_figures())
        self._connect()
        self._list_results()

    # -- the look --

    def _build_sides(self) -> Panel:
        panel = Panel("What to compare")
        for box in self.boxes:
            panel.body.addWidget(box)
        self.modes = QButtonGroup(self)
        row = QHBoxLayout()
        row.setSpacing(2)
        self.buttons: dict[Mode, QPushButton] = {}
        for mode in Mode:
            button = QPushButton(mode.title)
            button.setCheckable(True)
            button.setToolTip(_TIPS[mode])
            self.modes.addButton(button)
            self.buttons[mode] = button
            row.addWidget(button)
        self.buttons[Mode.OFF].setChecked(True)
        self.position = QSlider(Qt.Orientation.Horizontal)
        self.position.setRange(0, 1000)
        self.position.setValue(500)
        self.position.setToolTip("Where the line stands")
        self.position.setAccessibleName("Place of the line")
        panel.body.addLayout(row)
        panel.body.addWidget(self.position)
        return panel

    def _build_figures(self) -> Panel:
        panel = Panel("Where they agree")
        grid = QGridLayout()
        grid.setVerticalSpacing(4)
        self.figures: dict[str, QLabel] = {}
        rows = (
            ("a", "A", A_COLOR),
            ("b", "B", B_COLOR),
            ("difference", "B minus A", None),
            ("both", "Both", BOTH_COLOR),
            ("only_a", "Only A", A_COLOR),
            ("only_b", "Only B", B_COLOR),
            ("dice", "Overlap (Dice)", None),
            ("tiles", "Tiles predicted differently", None),
        )
        for row, (key, title, color) in enumerate(rows):
            if color is not None:
                icon = QLabel()
                icon.setPixmap(swatch(color).pixmap(12, 12))
                grid.addWidget(icon, row, 0)
            grid.addWidget(QLabel(title), row, 1)
            value = self.figures[key] = QLabel("–")
            value.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            grid.addWidget(value, row, 2)
        grid.setColumnStretch(1, 1)
        panel.body.addLayout(grid)
        self.hint = quiet_label()
        panel.body.addWidget(self.hint)
        return panel

    def _connect(self) -> None:
        control = self.control
        for side, box in enumerate(self.boxes):
            box.result.activated.connect(partial(self._choose_result, side))
            box.name.activated.connect(partial(self._choose_class, side))
            box.threshold.valueChanged.connect(partial(control.set_threshold, side))
        for mode, button in self.buttons.items():
            button.clicked.connect(partial(self._choose_mode, mode))
        self.position.valueChanged.connect(lambda value: control.swipe_to(value / 1000))
        control.compared.connect(self._on_compared)
        control.swiped.connect(lambda at: self.position.setValue(round(1000 * at)))
        control.ended.connect(self._on_ended)
        self.controller.findings.changed.connect(self._list_results)

    # -- intentions --

    def _choose_result(self, side: int, index: int) -> None:
        results = self.boxes[side].result.itemData(index)
        self._list_classes(side, results)
        self._take(side)

    def _choose_class(self, side: int, index: int) -> None:
        results = self.boxes[side].result.currentData()
        name = str(self.boxes[side].name.itemData(index))
        if results is not None:
            self._show_threshold(side, results.settings.threshold(name))
        self._take(side)

    def _take(self, side: int) -> None:
        box = self.boxes[side]
        self.control.choose(side, box.result.currentData(), str(box.name.currentData() or ""))

    def _choose_mode(self, mode: Mode) -> None:
        with QSignalBlocker(self.position):
            self.position.setValue(500)
        self.control.show(mode)
        self._show_mode()

    # -- what changed --

    def _list_results(self) -> None:
        found = self.control.results()
        if self.control.mode is not Mode.OFF:
            self.control.show(Mode.OFF)
        listed = self.boxes[0].result.count()
        shown = [box.result.currentData() for box in self.boxes]
        # One result at two thresholds gives way when there is a second to compare with.
        keep = shown[0] is not shown[1] or len(found) <= listed
        for side, box in enumerate(self.boxes):
            before = shown[side]
            box.result.clear()
            for results in found:
                box.result.addItem(results.title, results)
            if keep and before in found:
                box.result.setCurrentIndex(found.index(before))
            elif found:
                # The two newest; the same one twice compares two thresholds.
                box.result.setCurrentIndex(max(0, len(found) - 2 + side))
            chosen = box.result.currentData()
            if chosen is not before or not found:
                self._list_classes(side, chosen)
            self.control.take(side, chosen, str(box.name.currentData() or ""))
        self.control.update()
        few = "Analyze a slide first" if not found else ""
        if len(found) == 1:
            few = "One result: A and B can have two thresholds. Run another model to compare models"
        self.hint.setText(few)
        for button in self.buttons.values():
            button.setEnabled(bool(found))
        self._show_mode()

    def _list_classes(self, side: int, results: ResultLayers | None) -> None:
        box = self.boxes[side]
        box.name.clear()
        if results is None:
            return
        scheme = results.store.manifest.scheme
        for i in scheme.pathological:
            box.name.addItem(scheme[i].title, scheme[i].name)
        name = str(box.name.currentData() or "")
        self._show_threshold(side, results.settings.threshold(name))

    def _show_threshold(self, side: int, value: float) -> None:
        self.control.thresholds[side] = value
        with QSignalBlocker(self.boxes[side].threshold):
            self.boxes[side].threshold.setValue(value)

    def _on_ended(self) -> None:
        self._show_mode()
        self.control.update()

    def _show_mode(self) -> None:
        self.buttons[self.control.mode].setChecked(True)
        self.position.setEnabled(self.control.mode is Mode.SWIPE)

    def _on_compared(self, found: Comparison | None) -> None:
        if found is None:
            for label in self.figures.values():
                label.setText("–")
            return
        values = {
            "a": _area(found.a_mm2, found.tissue_mm2),
            "b": _area(found.b_mm2, found.tissue_mm2),
            "difference": f"{found.b_mm2 - found.a_mm2:+.3f} mm²",
            "both": _area(found.both_mm2, found.tissue_mm2),
            "only_a": _area(found.only_a_mm2, found.tissue_mm2),
            "only_b": _area(found.only_b_mm2, found.tissue_mm2),
            "dice": "–" if found.dice != found.dice else f"{found.dice:.3f}",
            "tiles": (
                "–"
                if found.changed_tiles is None
                else f"{found.changed_tiles:,} of {found.tiles:,}"
            ),
        }
        for key, text in values.items():
            self.figures[key].setText(text)

    def release(self) -> None:
        """Take away what is drawn; calling it again does nothing."""
        self.control.close()
        # Items hold their results, and those their slide's file; the boxes may be gone already.
        with suppress(RuntimeError):
            for box in self.boxes:
                box.result.clear()


def _area(mm2: float, tissue_mm2: float) -> str:
    share = f"  {100 * mm2 / tissue_mm2:.1f} %" if tissue_mm2 else ""
    return f"{mm2:.3f} mm²{share}"
