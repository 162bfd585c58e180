"""What is tissue, what is left out, and the brushes to change it."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QGridLayout, QHBoxLayout, QLabel, QPushButton, QWidget

from napari_liverdx.core.tissue import ARTIFACTS, TissueLabel, TissueMap
from napari_liverdx.viewer.layers.tissue import TISSUE_COLORS
from napari_liverdx.widgets.parts.panel import Panel, quiet_label, swatch

__all__ = ["TissuePanel"]

_TIPS = {
    TissueLabel.PEN: "Ink of a marker: blue, green, black or red",
    TissueLabel.FOLD: "Tissue folds",
    TissueLabel.BLUR: "Regions out of focus on a slide that is sharp elsewhere",
}


class TissuePanel(Panel):
    """Areas of tissue and artifacts, which of them count, and editing.

    Signals: ``shown(bool)``, ``edit_toggled(bool)``, ``brush_chosen(TissueLabel)``,
    ``reset_requested()``, ``kept(frozenset of TissueLabel)``.
    """

    shown = Signal(bool)
    edit_toggled = Signal(bool)
    brush_chosen = Signal(object)
    reset_requested = Signal()
    kept = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Tissue", parent)
        self.areas: dict[TissueLabel, QLabel] = {}
        self.excluded: dict[TissueLabel, QCheckBox] = {}
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(2)
        grid.setColumnStretch(1, 1)
        for row, label in enumerate(TISSUE_COLORS):
            self._add_row(grid, row, label)
        self.body.addLayout(grid)
        self._add_buttons()
        self.note = quiet_label()
        self.body.addWidget(self.note)
        self.show_map(None, None)

    def _add_row(self, grid: QGridLayout, row: int, label: TissueLabel) -> None:
        icon = QLabel()
        icon.setPixmap(swatch(TISSUE_COLORS[label]).pixmap(12, 12))
        title = QLabel(label.title)
        title.setToolTip(_TIPS.get(label, "What is analyzed"))
        area = self.areas[label] = QLabel("–")
        area.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        for col, widget in enumerate((icon, title, area)):
            grid.addWidget(widget, row, col)
        if label in ARTIFACTS:
            box = self.excluded[label] = QCheckBox("exclude")
            box.setChecked(True)
            box.setToolTip(f"Exclude: {title.toolTip().lower()}")
            box.toggled.connect(self._say_kept)
            grid.addWidget(box, row, 3)

    def _add_buttons(self) -> None:
        self.show_box = QCheckBox("Show")
        self.show_box.setToolTip("Show on the slide what is tissue and what is left out")
        self.edit_button = _button("Edit", "Paint on the tissue layer; Ctrl+Z takes back")
        self.brush_button = _button("Brush in", "Paint tissue that was missed or left out")
        self.erase_button = _button("Erase", "Paint out what is not to be analyzed")
        self.reset_button = _button("Reset", "Back to what was found")
        for button in (self.edit_button, self.brush_button, self.erase_button):
            button.setCheckable(True)
        # Clicks and not toggles: the buttons also follow the layer.
        self.show_box.clicked.connect(self.shown)
        self.edit_button.clicked.connect(self.edit_toggled)
        self.brush_button.clicked.connect(lambda: self.brush_chosen.emit(TissueLabel.TISSUE))
        self.erase_button.clicked.connect(lambda: self.brush_chosen.emit(TissueLabel.GLASS))
        self.reset_button.clicked.connect(self.reset_requested)
        row = QHBoxLayout()
        row.setSpacing(4)
        row.addWidget(self.show_box)
        row.addStretch(1)
        for button in (self.edit_button, self.brush_button, self.erase_button, self.reset_button):
            row.addWidget(button)
        self.body.addLayout(row)

    def _say_kept(self) -> None:
        self.kept.emit(frozenset(k for k, box in self.excluded.items() if not box.isChecked()))

    def show_map(self, tissue: TissueMap | None, um2_per_px: float | None) -> None:
        """Show the areas.

        Parameters
        ----------
        tissue : TissueMap or None
            None while it is being detected, or without a slide.
        um2_per_px : float or None
            Area of a level-0 pixel in µm²; None while the resolution is unknown.
        """
        for label, text in self.areas.items():
            text.setText("–" if tissue is None else _area(tissue, label, um2_per_px))
        for widget in (self.show_box, self.edit_button, self.brush_button, self.erase_button):
            widget.setEnabled(tissue is not None)
        edited = tissue is not None and tissue.edited
        self.reset_button.setEnabled(edited)
        self.note.setText("Edited by hand; Analyze uses it as it is now" if edited else "")
        self.note.setVisible(edited)

    def show_layer(self, visible: bool, brush: TissueLabel | None) -> None:
        """Follow the tissue layer: whether it is seen, and what its brush paints, if anything."""
        self.show_box.setChecked(visible)
        self.edit_button.setChecked(brush is not None)
        self.brush_button.setChecked(brush == TissueLabel.TISSUE)
        self.erase_button.setChecked(brush == TissueLabel.GLASS)


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    return button


def _area(tissue: TissueMap, label: TissueLabel, um2_per_px: float | None) -> str:
    pixels = tissue.area_px(label)
    if not pixels:
        return "none"
    if um2_per_px is None:
        rows, cols = tissue.labels.shape
        return (
            f"{100 * pixels / (rows * cols * tissue.scale_x * tissue.scale_y):.1f} % of the slide"
        )
    return f"{pixels * um2_per_px / 1e6:.2f} mm²"
