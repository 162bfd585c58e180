"""The dock that trains a model, with live curves."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
)

from napari_liverdx.models.card import ModelCard
from napari_liverdx.session.train import TrainingRequest
from napari_liverdx.training.recipe import packaged_recipes
from napari_liverdx.widgets.parts.curve_plot import CurvePlot
from napari_liverdx.widgets.parts.form import Form, RowAbove
from napari_liverdx.widgets.parts.notice import NOTICE
from napari_liverdx.widgets.parts.panel import (
    Panel,
    fill_dock,
    quiet_label,
    scroll_column,
    set_tone,
)
from napari_liverdx.widgets.parts.qt_host import QtHost
from napari_liverdx.widgets.parts.releasing_dock import ReleasableDock
from napari_liverdx.widgets.train_controller import TrainController, free_model_file

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["TrainDock"]

_TICK_MS = 200
_RECIPES = "Recipes (*.toml *.yaml *.yml);;All files (*)"
_ROWS: dict[str, dict[str, Any]] = {
    "data": {
        "label": "Data",
        "mode": "d",
        "placeholder": "Folder, or CSV file, with labeled data",
    },
    "out": {
        "label": "Model file",
        "mode": "w",
        "filter": "*.safetensors",
        "tooltip": "Where the model is written",
    },
    "epochs": {
        "label": "Epochs",
        "min": 1,
        "max": 10_000,
        "tooltip": "Training stops earlier when it no longer gets better",
    },
    "allow_leaks": {
        "label": "Train despite data leakage",
        "tooltip": "Images or patients shared between training and test sets inflate all metrics",
    },
}
"""How each setting is asked for."""


class TrainDock(ReleasableDock):
    """Choose a recipe and labeled data, train, watch the curves, keep the model.

    Parameters
    ----------
    napari_viewer : napari.components.ViewerModel
        napari hands its viewer in under this name.
    """

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.controller = TrainController(QtHost(self))
        self._clock = QTimer(self)
        self._clock.setInterval(_TICK_MS)
        self._clock.timeout.connect(self._show_share)
        self._build()
        self._connect()
        self.destroyed.connect(self.controller.stop.throw)
        self.controller.choose_recipe(self.chosen_recipe)
        self._update_buttons()

    # -- the look --

    def _build(self) -> None:
        column = scroll_column((self._build_settings(), self._build_course()))
        fill_dock(self, (column,), NOTICE)

    def _build_settings(self) -> Panel:
        panel = Panel("What to learn")
        self.recipe = QComboBox()
        for name in packaged_recipes():
            self.recipe.addItem(name, name)
        # A long name must not widen the dock beyond its window.
        self.recipe.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.recipe.setMinimumContentsLength(8)
        self.about = quiet_label(rich=True)
        recipe = RowAbove("Recipe", self.recipe, "Use a recipe file", self._ask_recipe)
        self.form = Form(TrainingRequest, recipe, **_ROWS)
        panel.body.addWidget(self.about)
        panel.body.addWidget(self.form.native)
        return panel

    def _build_course(self) -> Panel:
        panel = Panel("Training")
        self.start_button = QPushButton("Train")
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("Whole epochs are kept; Train goes on from them")
        row = QHBoxLayout()
        row.addWidget(self.start_button, 1)
        row.addWidget(self.cancel_button)
        self.bar = QProgressBar()
        self.bar.setVisible(False)
        self.message = quiet_label()
        self.loss = CurvePlot("Loss", [("train_loss", "training"), ("val_loss", "validation")])
        self.accuracy = CurvePlot(
            "Balanced accuracy, validation", [("val_balanced_accuracy", "validation")], (0, 1)
        )
        self.findings = quiet_label()
        set_tone(self.findings, "warning")
        panel.body.addLayout(row)
        for widget in (self.bar, self.message, self.loss, self.accuracy, self.findings):
            panel.body.addWidget(widget)
        return panel

    def _connect(self) -> None:
        control = self.controller
        self.recipe.activated.connect(lambda _: control.choose_recipe(self.chosen_recipe))
        self.form.on_changed(self._update_buttons)
        self.start_button.clicked.connect(self.start)
        self.cancel_button.clicked.connect(self._cancel)
        control.said.connect(self._say)
        control.recipe_chosen.connect(self._on_recipe)
        control.advanced.connect(self._on_advanced)
        control.changed.connect(self._on_changed)

    # -- choices --

    def _ask_recipe(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Use a recipe file", "", _RECIPES)
        if path:
            self.use_recipe(path)

    def use_recipe(self, name_or_path: str) -> None:
        """Choose a recipe by name or path; one that is not valid is said and not taken."""
        if self.controller.choose_recipe(name_or_path) is not None:
            if self.recipe.findData(name_or_path) < 0:
                self.recipe.addItem(Path(name_or_path).name, name_or_path)
            self.recipe.setCurrentIndex(self.recipe.findData(name_or_path))
            self.recipe.setToolTip(name_or_path)

    @property
    def chosen_recipe(self) -> str:
        """Name or path of the chosen recipe."""
        return str(self.recipe.currentData())

    def _on_recipe(self, card: ModelCard, epochs: int) -> None:
        classes = ", ".join(c.title for c in card.classes)
        summary = f"{escape(card.summary)}<br>{escape(classes)}"
        self.about.setText(f"<b>{escape(card.title)}</b>: {summary}")
        self.form["epochs"].value = epochs
        self.form["out"].value = free_model_file(f"my-{card.name}")

    # -- the run --

    @property
    def is_busy(self) -> bool:
        """Whether a training is under way."""
        return self.controller.is_busy

    def start(self) -> None:
        """Train with what is chosen."""
        self.controller.start(self.form.value(recipe=self.chosen_recipe))

    def _cancel(self) -> None:
        self.controller.cancel()
        self.cancel_button.setEnabled(False)

    def _on_changed(self) -> None:
        """Update the clock and the buttons when a training began or ended."""
        if self.is_busy:
            self._clock.start()
        else:
            self._clock.stop()
        self._on_advanced()
        self._update_buttons()

    def _on_advanced(self) -> None:
        control = self.controller
        self.findings.setText("\n".join(control.warnings))
        total = control.total if control.epochs else self.form["epochs"].value
        for plot in (self.loss, self.accuracy):
            plot.show_epochs(control.epochs, total)
        self._show_share()
        saved = control.saved
        if saved is not None and self.form["out"].value == saved.path:
            # The next training must not overwrite this one.
            name = saved.path.name.removesuffix(".safetensors")
            self.form["out"].value = free_model_file(name)

    def _show_share(self) -> None:
        share = self.controller.share
        self.bar.setRange(0, 0 if share is None else 1000)
        self.bar.setValue(0 if share is None else int(1000 * share))

    def _say(self, text: str, tone: str = "plain") -> None:
        self.message.setText(text)
        set_tone(self.message, tone)

    def _update_buttons(self) -> None:
        busy = self.is_busy
        ready = self.form.is_filled()
        self.start_button.setEnabled(ready and not busy)
        self.start_button.setToolTip("" if ready else "Choose labeled data first")
        self.cancel_button.setEnabled(busy)
        self.bar.setVisible(busy)
        for widget in (self.recipe, self.form.native):
            widget.setEnabled(not busy)

    # -- leaving --

    def release(self) -> None:
        """Stop the training; calling it again does nothing."""
        self.controller.close()
        self._clock.stop()
