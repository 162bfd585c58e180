"""The dock that analyses many slides and shows the cohort table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QProgressBar, QPushButton

from napari_liverdx.models.card import ModelCard
from napari_liverdx.session.batch_slide import SlideState
from napari_liverdx.slides.listing import TABLE_SUFFIXES
from napari_liverdx.viewer.file_filter import slide_filter
from napari_liverdx.viewer.preferences import Preferences, preferences
from napari_liverdx.widgets.batch.batch_controller import BatchController
from napari_liverdx.widgets.batch.model import BatchModel
from napari_liverdx.widgets.batch.settings import BatchSettings, folder_for_results
from napari_liverdx.widgets.batch.table import BatchTable
from napari_liverdx.widgets.batch_result import open_result, share_place
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

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["BatchDock"]

_MODELS = "Models (*.safetensors);;All files (*)"


class BatchDock(ReleasableDock):
    """List slides, run them all, read the table, open results.

    Parameters
    ----------
    napari_viewer : napari.components.ViewerModel
        napari hands its viewer in under this name.
    """

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self._begin = preferences()
        self.controller = BatchController(QtHost(self), self._begin.device)
        self.model = BatchModel(self.controller.slides, self)
        self._placed = False
        self._build()
        self._connect()
        self.destroyed.connect(self.controller.stop.throw)
        self.choose_model(self._begin.model)
        if self.controller.card is None:
            self.choose_model(Preferences().model)
        self._update_buttons()

    # -- the look --

    def _build(self) -> None:
        self.settings = BatchSettings(self._begin)
        slides = self._build_slides()
        column = scroll_column((slides, self.settings, self._build_course()), grow=slides)
        fill_dock(self, (column,), NOTICE)
        self.setMinimumHeight(300)

    def _build_slides(self) -> Panel:
        panel = Panel("Slides")
        self.add_button = QPushButton("Add slides…")
        self.add_button.setToolTip("Slides, or a list: a CSV table with columns path and mpp")
        self.folder_button = QPushButton("Add folder…")
        self.folder_button.setToolTip("All slides of a folder and of the folders within it")
        self.remove_button = QPushButton("Remove")
        self.remove_button.setToolTip("Take the selected slides off the list; their files stay")
        self.table = BatchTable(self.model)
        self.reason = quiet_label()
        self.open_button = QPushButton("Open result")
        self.open_button.setToolTip("Show the slide with its result in the viewer (Enter)")
        self.save_button = QPushButton("Save table…")
        self.save_button.setToolTip("Save the table as CSV; Ctrl+C copies what is selected")
        panel.body.addLayout(_row(self.add_button, self.folder_button, self.remove_button))
        panel.body.addWidget(self.table, 1)
        panel.body.addWidget(self.reason)
        panel.body.addLayout(_row(self.open_button, self.save_button))
        return panel

    def _build_course(self) -> Panel:
        panel = Panel("Run")
        self.run_button = QPushButton("Run")
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("What is finished is kept; Run goes on from there")
        row = QHBoxLayout()
        row.addWidget(self.run_button, 1)
        row.addWidget(self.cancel_button)
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.bar.setVisible(False)
        self.message = quiet_label()
        panel.body.addLayout(row)
        panel.body.addWidget(self.bar)
        panel.body.addWidget(self.message)
        return panel

    def _connect(self) -> None:
        self.add_button.clicked.connect(self._ask_slides)
        self.folder_button.clicked.connect(self._ask_slide_folder)
        self.remove_button.clicked.connect(self.remove_chosen)
        self.open_button.clicked.connect(self.open_chosen)
        self.save_button.clicked.connect(self._ask_table)
        self.run_button.clicked.connect(self.run)
        self.cancel_button.clicked.connect(self.controller.cancel)
        self.table.open_requested.connect(self.open_row)
        self.table.remove_requested.connect(self.remove_chosen)
        self.table.paths_dropped.connect(self.add_paths)
        self.table.row_chosen.connect(self._show_reason)
        control = self.controller
        control.said.connect(self._say)
        control.changed.connect(self._update_buttons)
        control.advanced.connect(self._on_advanced)
        control.card_chosen.connect(self._on_card)
        control.slides.listed.connect(self._update_buttons)
        self.settings.model_chosen.connect(self.choose_model)
        self.settings.file_requested.connect(self._ask_model)
        self.settings.edited.connect(self._update_buttons)
        self.settings.hide_names.toggled.connect(self.model.set_hidden)
        self.model.set_hidden(self.settings.hide_names.isChecked())

    # -- intentions that need a dialog --

    def _ask_slides(self) -> None:
        offered = slide_filter("Slides and lists", TABLE_SUFFIXES)
        paths, _ = QFileDialog.getOpenFileNames(self, "Add slides", "", offered)
        self.add_paths([Path(p) for p in paths])

    def _ask_slide_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Add a folder of slides")
        if path:
            self.add_paths([Path(path)])

    def _ask_model(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Use a model file", "", _MODELS)
        if path:
            self.choose_model(path)

    def _ask_table(self) -> None:
        folder = self.settings.choices.folder or Path.home()
        start = str(folder / "cohort-table.csv")
        path, _ = QFileDialog.getSaveFileName(self, "Save the table", start, "Tables (*.csv)")
        if path:
            self.save_table(Path(path))

    # -- intentions --

    def add_paths(self, paths: Sequence[Path]) -> None:
        """List slides, the slides of folders, and those of tables; what is none is said."""
        if self.controller.add_paths(paths):
            self.settings.suggest_folder(folder_for_results(self.model.items[0].listed.path))

    def remove_chosen(self) -> None:
        """Take the selected slides off the list."""
        if not self.is_busy:
            self.controller.slides.remove(self.table.chosen_rows())
            self._show_reason()

    def choose_model(self, name: str) -> None:
        """Take a model by name or path; one that cannot be used is said and not taken."""
        self.controller.choose_model(name)
        self.settings.set_models(self.controller.models(), self.controller.model)
        self._update_buttons()

    def _on_card(self, card: ModelCard) -> None:
        self.settings.set_scheme(card.scheme)
        self.model.set_scheme(card.scheme)

    def open_chosen(self) -> None:
        """Show the result of the selected slide."""
        if rows := self.table.chosen_rows():
            self.open_row(rows[0])

    def open_row(self, row: int) -> None:
        """Show the result of a slide in the viewer."""
        item = self.model.items[row]
        path = item.step.result
        if path is None or item.step.state.is_active:
            why = item.row.problem or "it is not analyzed yet"
            self._say(f"{item.name}: there is no result to open; {why}", "warning")
            return
        thresholds = self.settings.chosen_thresholds
        if open_result(self, self.viewer, path, item.listed.path, thresholds):
            self._say(f"{item.name} is shown in the viewer")

    def save_table(self, path: Path) -> None:
        """Write the table as CSV; a failure becomes a notification."""
        self.controller.save_table(path, hide_names=self.settings.hide_names.isChecked())

    # -- the run --

    @property
    def is_busy(self) -> bool:
        """Whether a batch is under way."""
        return self.controller.is_busy

    def run(self) -> None:
        """Analyze all slides of the list; whole results are only measured again."""
        self.bar.setValue(0)
        self.controller.run(self.settings.choices)

    def _on_advanced(self, position: int) -> None:
        self.bar.setValue(int(1000 * self.controller.slides.share))
        if position in self.table.chosen_rows():
            self._show_reason()

    def _say(self, text: str, tone: str = "plain") -> None:
        self.message.setText(text)
        set_tone(self.message, tone)

    def _show_reason(self) -> None:
        rows = self.table.chosen_rows()
        item = self.model.items[rows[0]] if rows and rows[0] < len(self.model.items) else None
        if item is None or item.step.state is SlideState.WAITING:
            self.reason.setText("")
        else:
            self.reason.setText(f"{item.name}: {item.step.message}")
        failed = item is not None and item.step.state is SlideState.FAILED
        set_tone(self.reason, "error" if failed else "plain")
        self.open_button.setEnabled(item is not None and item.has_result)
        self.remove_button.setEnabled(bool(rows) and not self.is_busy)

    def _update_buttons(self) -> None:
        control, busy = self.controller, self.is_busy
        missing = control.blocking_reason(self.settings.choices)
        self.run_button.setEnabled(not missing and not busy)
        self.run_button.setToolTip(missing or "Slides that are done are only measured again")
        self.cancel_button.setEnabled(busy and not control.is_stopping)
        self.bar.setVisible(busy)
        self.save_button.setEnabled(bool(self.model.items))
        for widget in (self.settings, self.add_button, self.folder_button):
            widget.setEnabled(not busy)
        self._show_reason()

    # -- coming and leaving --

    def showEvent(self, event: QShowEvent) -> None:
        """Find a place beside the main dock, once."""
        super().showEvent(event)
        if not self._placed:
            self._placed = True
            QTimer.singleShot(0, self._take_place)

    def _take_place(self) -> None:
        if not self.controller.closed:
            share_place(self)

    def release(self) -> None:
        """Stop the batch; calling it again does nothing."""
        self.controller.close()


def _row(*buttons: QPushButton) -> QHBoxLayout:
    row = QHBoxLayout()
    for button in buttons:
        row.addWidget(button)
    return row
