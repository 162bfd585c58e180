"""With which model, at which thresholds and where to a batch runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QSizePolicy,
    QToolButton,
    QWidget,
)

from napari_liverdx.core.classes import ClassScheme
from napari_liverdx.core.resolution import MPP_RANGE
from napari_liverdx.models.card import ModelCard
from napari_liverdx.viewer.preferences import Preferences
from napari_liverdx.widgets.batch.batch_controller import BatchChoices
from napari_liverdx.widgets.parts.panel import Panel

__all__ = ["BatchSettings", "folder_for_results"]


class BatchSettings(Panel):
    """Model, folder of results, resolution, names and thresholds for all slides.

    Signals: ``model_chosen(str)``, ``file_requested()``, ``folder_requested()``, ``edited()``.

    Parameters
    ----------
    begin : Preferences
        With what folder, threshold and names it begins.
    parent : QWidget, optional
        Qt parent.
    """

    model_chosen = Signal(str)
    file_requested = Signal()
    folder_requested = Signal()
    edited = Signal()

    def __init__(self, begin: Preferences, parent: QWidget | None = None) -> None:
        super().__init__("Analysis", parent)
        self._threshold = begin.threshold
        self.thresholds: dict[str, QDoubleSpinBox] = {}
        self.choice = QComboBox()
        self.choice.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.choice.activated.connect(
            lambda index: self.model_chosen.emit(str(self.choice.itemData(index)))
        )
        self.file_button = _button("Use a model file (.safetensors)")
        self.file_button.clicked.connect(self.file_requested)
        self.folder = QLineEdit(begin.results_folder)
        self.folder.setPlaceholderText("Where results and the table go")
        self.folder.textChanged.connect(self.edited)
        self.folder_button = _button("Choose a folder")
        self.folder_button.clicked.connect(self.folder_requested)
        self.mpp = QDoubleSpinBox()
        self.mpp.setRange(0, MPP_RANGE[1])
        self.mpp.setDecimals(4)
        self.mpp.setSingleStep(0.05)
        self.mpp.setSuffix(" µm/px")
        self.mpp.setSpecialValueText("as the slides state")
        self.mpp.setToolTip(
            "For slides that state no resolution, which fail otherwise: about 0.25 for a 40x "
            "scan, 0.5 for 20x. A single slide gets its own in the table"
        )
        self.hide_names = QCheckBox("Pseudonymize")
        self.hide_names.setToolTip(
            "In reports, their file names, the saved table and copied rows; results keep names"
        )
        self.hide_names.setChecked(begin.hide_names)
        self._form = QFormLayout()
        self._form.setContentsMargins(0, 0, 0, 0)
        self._form.setVerticalSpacing(4)
        self._form.addRow("Model", _line(self.choice, self.file_button))
        self._form.addRow("Results", _line(self.folder, self.folder_button))
        self._form.addRow("µm/px", self.mpp)
        self._form.addRow("Names", self.hide_names)
        self.body.addLayout(self._form)
        self._fixed_rows = self._form.rowCount()

    def set_models(self, cards: Mapping[str, ModelCard], current: str) -> None:
        """List models by title."""
        self.choice.clear()
        for name, card in cards.items():
            self.choice.addItem(card.title, name)
        self.choice.setCurrentIndex(max(0, self.choice.findData(current)))

    def set_scheme(self, scheme: ClassScheme) -> None:
        """Ask for a threshold for each pathological class."""
        self.thresholds.clear()
        while self._form.rowCount() > self._fixed_rows:
            self._form.removeRow(self._fixed_rows)
        for index in scheme.pathological:
            box = QDoubleSpinBox()
            box.setRange(0.01, 0.99)
            box.setSingleStep(0.05)
            box.setDecimals(2)
            box.setValue(self._threshold)
            box.setToolTip(
                "Minimum probability for a map pixel to be counted as this class; "
                "Run again measures with it"
            )
            title = QLabel(scheme[index].title)
            title.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
            title.setToolTip(scheme[index].title)
            line = QWidget()
            row = QHBoxLayout(line)
            row.setContentsMargins(0, 0, 0, 0)
            row.addWidget(title, 1)
            row.addWidget(box)
            self._form.addRow("Threshold", line)
            self.thresholds[scheme[index].name] = box

    @property
    def choices(self) -> BatchChoices:
        """What is chosen for all slides."""
        return BatchChoices(
            self.chosen_folder, self.chosen_mpp, self.chosen_thresholds, self.hide_names.isChecked()
        )

    @property
    def chosen_thresholds(self) -> dict[str, float]:
        """Minimum probability for a map pixel to be counted, per pathological class."""
        return {name: box.value() for name, box in self.thresholds.items()}

    @property
    def chosen_mpp(self) -> float | None:
        """Resolution of slides that state none."""
        return self.mpp.value() or None

    @property
    def chosen_folder(self) -> Path | None:
        """Where results go."""
        text = self.folder.text().strip()
        return Path(text).expanduser() if text else None


def folder_for_results(slide: Path) -> Path:
    """Where results of a slide go unless a person chooses otherwise."""
    base = slide.parent if os.access(slide.parent, os.W_OK) else Path.home()
    return base / "liverdx-results"


def _button(tip: str) -> QToolButton:
    button = QToolButton()
    button.setText("…")
    button.setToolTip(tip)
    return button


def _line(widget: QWidget, button: QToolButton) -> QHBoxLayout:
    row = QHBoxLayout()
    row.addWidget(widget, 1)
    row.addWidget(button)
    return row
