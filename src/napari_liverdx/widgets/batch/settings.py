"""With which model, at which thresholds and where to a batch runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QSizePolicy,
    QWidget,
)

from napari_liverdx.core.classes import ClassScheme
from napari_liverdx.core.resolution import MPP_RANGE
from napari_liverdx.models.card import ModelCard
from napari_liverdx.viewer.preferences import Preferences
from napari_liverdx.widgets.batch.batch_controller import BatchChoices
from napari_liverdx.widgets.parts.form import Form, RowAbove
from napari_liverdx.widgets.parts.panel import Panel

__all__ = ["BatchSettings", "folder_for_results"]

_ROWS: dict[str, dict[str, Any]] = {
    "folder": {
        "label": "Results",
        "mode": "d",
        "placeholder": "Where results and the table go",
    },
    "mpp": {
        "label": "µm/px",
        "min": 0,
        "max": MPP_RANGE[1],
        "step": 0.05,
        "unset": "as the slides state",
        "tooltip": "For slides that state no resolution, which fail otherwise: about 0.25 for a "
        "40x scan, 0.5 for 20x. A single slide gets its own in the table",
    },
    "hide_names": {
        "label": "Names",
        "text": "Pseudonymize",
        "tooltip": "In reports, their file names, the saved table and copied rows; results keep "
        "names",
    },
    "color_managed": {
        "label": "Colors",
        "text": "Convert to sRGB (ICC)",
        "tooltip": "By each slide's color profile; a slide without one fails. Off, colors are as "
        "they are stored",
    },
}
"""How each setting is asked for."""


class BatchSettings(Panel):
    """Model, folder of results, resolution, names and thresholds for all slides.

    Signals: ``model_chosen(str)``, ``file_requested()``, ``edited()``.

    Parameters
    ----------
    begin : Preferences
        With what folder, threshold and names it begins.
    parent : QWidget, optional
        Qt parent.
    """

    model_chosen = Signal(str)
    file_requested = Signal()
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
        tip = "Use a model file (.safetensors)"
        model = RowAbove("Model", self.choice, tip, self.file_requested.emit)
        self.form = Form(BatchChoices, model, **_ROWS)
        self.folder: QLineEdit = self.form["folder"].line_edit.native
        self.folder.setText(begin.results_folder)
        self.form["folder"].choose_btn.tooltip = "Choose a folder"
        self._suggested = ""
        self.mpp: QDoubleSpinBox = self.form["mpp"].native
        self.mpp.setDecimals(4)
        self.mpp.setSuffix(" µm/px")
        self.hide_names: QCheckBox = self.form["hide_names"].native
        self.hide_names.setChecked(begin.hide_names)
        self.form.on_changed(self.edited.emit)
        self.body.addWidget(self.form.native)

    def set_models(self, cards: Mapping[str, ModelCard], current: str) -> None:
        """List models by title."""
        self.choice.clear()
        for name, card in cards.items():
            self.choice.addItem(card.title, name)
        self.choice.setCurrentIndex(max(0, self.choice.findData(current)))

    def set_scheme(self, scheme: ClassScheme) -> None:
        """Ask for a threshold for each pathological class."""
        self.thresholds.clear()
        rows: list[tuple[str, QWidget]] = []
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
            rows.append(("Threshold", line))
            self.thresholds[scheme[index].name] = box
        self.form.show_below(rows)

    def suggest_folder(self, folder: Path) -> None:
        """Fill in a folder for results unless a person chose one."""
        if self.folder.text() == self._suggested:
            self._suggested = str(folder)
            self.folder.setText(self._suggested)

    @property
    def choices(self) -> BatchChoices:
        """What is chosen for all slides."""
        return self.form.value(thresholds=self.chosen_thresholds)

    @property
    def chosen_thresholds(self) -> dict[str, float]:
        """Minimum probability for a map pixel to be counted, per pathological class."""
        return {name: box.value() for name, box in self.thresholds.items()}


def folder_for_results(slide: Path) -> Path:
    """Where results of a slide go unless a person chooses otherwise."""
    base = slide.parent if os.access(slide.parent, os.W_OK) else Path.home()
    return base / "liverdx-results"
