"""How the probability layers look: shown or not, how strong, in which colors."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QLabel, QSlider, QWidget

from napari_liverdx.results.view_state import ViewState
from napari_liverdx.viewer.layers.base import COLORMAPS

__all__ = ["DisplayPanel"]

_TITLES = {"": "Class color"}


class DisplayPanel(QWidget):
    """One row: overlay on or off, opacity, colormap.

    Signals: ``shown(bool)``, ``opacity_chosen(float)``, ``colormap_chosen(str)``.
    """

    shown = Signal(bool)
    opacity_chosen = Signal(float)
    colormap_chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.show_box = QCheckBox("Overlay")
        self.show_box.setToolTip("Show the probability layers; key H")
        self.show_box.toggled.connect(self.shown)
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.opacity.setRange(5, 100)
        self.opacity.setToolTip("Opacity of the probability layers")
        self.opacity.setAccessibleName("Opacity")
        self.opacity.valueChanged.connect(lambda value: self.opacity_chosen.emit(value / 100))
        self.colormap = QComboBox()
        self.colormap.setToolTip(
            "The class' color, or a perceptually uniform map that is read the same with every "
            "kind of color vision"
        )
        for name in COLORMAPS:
            self.colormap.addItem(_TITLES.get(name, name.capitalize()), name)
        self.colormap.activated.connect(
            lambda index: self.colormap_chosen.emit(str(self.colormap.itemData(index)))
        )
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.show_box)
        row.addWidget(QLabel("Opacity"))
        row.addWidget(self.opacity, 1)
        row.addWidget(self.colormap)

    def show_view(self, view: ViewState) -> None:
        """Show what holds now, without a signal."""
        with QSignalBlocker(self.show_box), QSignalBlocker(self.opacity):
            self.show_box.setChecked(view.visible)
            self.opacity.setValue(round(100 * view.opacity))
        self.colormap.setCurrentIndex(max(0, self.colormap.findData(view.colormap)))
