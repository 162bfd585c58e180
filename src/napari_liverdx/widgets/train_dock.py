"""The dock that trains a model, with live curves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QToolButton,
    QWidget,
)

from napari_liverdx.core.errors import LiverDxError
from napari_liverdx.models.zoo import user_model_folder
from napari_liverdx.session.train import (
    BatchDone,
    TrainingRequest,
    TrainingSaved,
    TrainingStarted,
    run_training,
)
from napari_liverdx.training.config import EpochResult
from napari_liverdx.training.recipe import load_recipe, packaged_recipes
from napari_liverdx.widgets.parts.curve_plot import CurvePlot
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
from napari_liverdx.widgets.parts.workers import CancelToken, Workers

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["TrainDock"]

_TICK_MS = 200
_RECIPES = "Recipes (*.toml *.yaml *.yml);;All files (*)"
_MODELS = "Models (*.safetensors)"


class TrainDock(ReleasableDock):
    """Choose a recipe and labelled data, train, watch the curves, keep the model.

    Parameters
    ----------
    napari_viewer : napari.components.ViewerModel
        napari hands its viewer in under this name.
    """

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.stop = CancelToken()
        self.workers = Workers(QtHost(self), self.stop)
        self.epochs: list[EpochResult] = []
        self.saved: TrainingSaved | None = None
        self._total = 1
        self._batches: list[BatchDone] = []
        self._closed = False
        self._clock = QTimer(self)
        self._clock.setInterval(_TICK_MS)
        self._clock.timeout.connect(self._show_batches)
        self._build()
        self.destroyed.connect(self.stop.throw)
        self._choose_recipe(self.chosen_recipe)
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
        self.recipe.activated.connect(lambda _: self._choose_recipe(self.chosen_recipe))
        self.data = QLineEdit()
        self.data.setPlaceholderText("Folder, or CSV file, with labelled data")
        self.data.textChanged.connect(self._update_buttons)
        self.out = QLineEdit()
        self.out.textChanged.connect(self._update_buttons)
        self.most_epochs = QSpinBox()
        self.most_epochs.setRange(1, 10_000)
        self.most_epochs.setToolTip("Training stops earlier when it no longer gets better")
        self.allow = QCheckBox("Train although the data leak")
        self.allow.setToolTip(
            "Pictures or patients on both sides of a split make every figure too good"
        )
        self.about = quiet_label()
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Recipe", _with_button(self.recipe, "Use a recipe file", self._ask_recipe))
        form.addRow("Data", _with_button(self.data, "Choose a folder", self._ask_data))
        form.addRow("Model file", _with_button(self.out, "Choose a file", self._ask_out))
        form.addRow("Epochs", self.most_epochs)
        panel.body.addWidget(self.about)
        panel.body.addLayout(form)
        panel.body.addWidget(self.allow)
        return panel

    def _build_course(self) -> Panel:
        panel = Panel("Training")
        self.start_button = QPushButton("Train")
        self.start_button.clicked.connect(self.start)
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("Whole epochs are kept; Train goes on from them")
        self.cancel_button.clicked.connect(self.cancel)
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
        panel.body.addLayout(row)
        panel.body.addWidget(self.bar)
        panel.body.addWidget(self.message)
        panel.body.addWidget(self.loss)
        panel.body.addWidget(self.accuracy)
        panel.body.addWidget(self.findings)
        return panel

    # -- choices --

    def _ask_recipe(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Use a recipe file", "", _RECIPES)
        if path:
            self.use_recipe(path)

    def use_recipe(self, name_or_path: str) -> None:
        """Choose a recipe by name or path; one that is not valid is said and not taken."""
        if self._choose_recipe(name_or_path):
            if self.recipe.findData(name_or_path) < 0:
                self.recipe.addItem(Path(name_or_path).name, name_or_path)
            self.recipe.setCurrentIndex(self.recipe.findData(name_or_path))
            self.recipe.setToolTip(name_or_path)

    @property
    def chosen_recipe(self) -> str:
        """Name or path of the chosen recipe."""
        return str(self.recipe.currentData())

    def _choose_recipe(self, name: str) -> bool:
        try:
            recipe = load_recipe(name)
        except LiverDxError as error:
            show_error(str(error))
            return False
        card = recipe.model_card()
        classes = ", ".join(c.title for c in card.classes)
        self.about.setText(f"<b>{card.title}</b>: {card.summary}<br>{classes}")
        self.most_epochs.setValue(recipe.train.epochs)
        self.out.setText(str(_free_file(f"my-{card.name}")))
        return True

    def _ask_data(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Folder with labelled data", self.data.text())
        if path:
            self.data.setText(path)

    def _ask_out(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Model file", self.out.text(), _MODELS)
        if path:
            self.out.setText(str(Path(path).with_suffix(".safetensors")))

    # -- the run --

    @property
    def is_busy(self) -> bool:
        """Whether a training is under way."""
        return self.workers.are_busy

    def start(self) -> None:
        """Train with what is chosen."""
        request = TrainingRequest(
            self.chosen_recipe,
            Path(self.data.text()).expanduser(),
            Path(self.out.text()).expanduser(),
            self.most_epochs.value(),
            self.allow.isChecked(),
        )
        self.epochs, self.saved, self._batches = [], None, []
        self.findings.setText("")
        self._say("Reading and checking the data …")
        self.bar.setRange(0, 0)
        self._show_curves()
        self._clock.start()
        work = run_training(request, self.stop.renew(), self._batches)
        self.workers.start(work, self._received, self._failed, self._ended)
        self._update_buttons()

    def cancel(self) -> None:
        """End the training after the batch under way."""
        self.stop.throw()
        self._say("Stopping …")
        self.cancel_button.setEnabled(False)

    def _received(self, event: Any) -> None:
        if self._closed:
            return
        if isinstance(event, TrainingStarted):
            self._total = event.epochs
            self.bar.setRange(0, 1000)
            sizes = f"{event.train} samples to learn from, {event.val} to validate on"
            self._say(f"{sizes}; {event.device}")
            warnings = [f.message for f in event.report.findings if f.severity != "note"]
            self.findings.setText("\n".join(warnings))
            set_tone(self.findings, "warning")
        elif isinstance(event, EpochResult):
            self.epochs.append(event)
            self._show_curves()
            kept = "kept" if event.best else "not better"
            self._say(
                f"Epoch {event.epoch} of {self._total}: balanced accuracy "
                f"{event.val_balanced_accuracy:.3f}, {kept}"
            )
        elif isinstance(event, TrainingSaved):
            self.saved = event
            # The next training must not overwrite this one.
            self.out.setText(str(_free_file(event.path.name.removesuffix(".safetensors"))))

    def _failed(self, text: str) -> None:
        if self._closed:
            return
        self._idle()
        self._say(text, "error")
        show_error(text)

    def _ended(self) -> None:
        if self._closed:
            return
        self._idle()
        if self.saved is None:
            whole = (
                f"{len(self.epochs)} whole epochs are kept" if self.epochs else "Nothing is kept"
            )
            self._say(f"Stopped. {whole}; Train goes on from there.")
            return
        best = max((e for e in self.epochs if e.best), key=lambda e: e.epoch)
        self._say(
            f"Saved {self.saved.path.name}: epoch {best.epoch}, balanced accuracy "
            f"{best.val_balanced_accuracy:.3f} on the samples that chose the epoch. That is too "
            "good by a little: evaluate on others before you believe it."
        )
        show_info(f"The model is saved as {self.saved.path}")

    def _idle(self) -> None:
        self._clock.stop()
        self.bar.setVisible(False)
        QTimer.singleShot(0, self._update_buttons)

    def _show_batches(self) -> None:
        if self._batches and self.bar.maximum():
            batch = self._batches[-1]
            done = len(self.epochs) + batch.step / batch.steps
            self.bar.setValue(int(1000 * min(1.0, done / self._total)))

    def _show_curves(self) -> None:
        for plot in (self.loss, self.accuracy):
            plot.show_epochs(self.epochs, self._total if self.epochs else self.most_epochs.value())

    def _say(self, text: str, tone: str = "plain") -> None:
        self.message.setText(text)
        set_tone(self.message, tone)

    def _update_buttons(self) -> None:
        if self._closed:
            return
        busy = self.is_busy
        ready = bool(self.data.text().strip()) and bool(self.out.text().strip())
        self.start_button.setEnabled(ready and not busy)
        self.start_button.setToolTip("" if ready else "Choose labelled data first")
        self.cancel_button.setEnabled(busy)
        self.bar.setVisible(busy)
        for widget in (self.recipe, self.data, self.out, self.most_epochs, self.allow):
            widget.setEnabled(not busy)
        if busy:
            QTimer.singleShot(_TICK_MS, self._while_busy)

    def _while_busy(self) -> None:
        # The worker leaves a moment after its last message; the buttons follow it.
        if not self._closed and not self.is_busy:
            self._update_buttons()
        elif not self._closed:
            QTimer.singleShot(_TICK_MS, self._while_busy)

    # -- leaving --

    def release(self) -> None:
        """Stop the training; calling it again does nothing."""
        self._closed = True
        self._clock.stop()
        self.stop.throw()


def _free_file(name: str) -> Path:
    """A model file that is not there yet, so that no earlier model is lost."""
    folder = user_model_folder()
    path, number = folder / f"{name}.safetensors", 2
    while path.exists():
        path, number = folder / f"{name}-{number}.safetensors", number + 1
    return path


def _with_button(widget: QWidget, tip: str, clicked: Any) -> QHBoxLayout:
    button = QToolButton()
    button.setText("…")
    button.setToolTip(tip)
    button.clicked.connect(clicked)
    row = QHBoxLayout()
    row.addWidget(widget, 1)
    row.addWidget(button)
    return row
