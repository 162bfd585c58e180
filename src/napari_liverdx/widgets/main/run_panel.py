"""What to analyze, the start, and the progress."""

from __future__ import annotations

import math
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_liverdx.inference.device import DeviceChoice
from napari_liverdx.inference.run import RunProgress
from napari_liverdx.session.state import AnalysisRegion, RunStatus
from napari_liverdx.widgets.parts.choice_box import ChoiceBox
from napari_liverdx.widgets.parts.panel import Panel, quiet_label, set_tone

__all__ = ["RunPanel", "progress_text"]

_OVERLAPS = {"No overlap": 0.0, "29 % overlap, averaged": 2 / 7, "57 % overlap, averaged": 4 / 7}


class RunPanel(Panel):
    """Settings of a run, Analyze, Cancel.

    Signals: ``analyze_requested()``, ``cancel_requested()``, ``draw_requested()``,
    ``folder_requested()``, ``analysis_region_chosen(AnalysisRegion)``, ``overlap_chosen(float)``.

    Attributes
    ----------
    foot : QWidget
        Buttons, progress and message; the dock puts them where they never scroll away.
    """

    analyze_requested = Signal()
    cancel_requested = Signal()
    draw_requested = Signal()
    folder_requested = Signal()
    analysis_region_chosen = Signal(object)
    overlap_chosen = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Analysis", parent)
        self.analysis_region = ChoiceBox(AnalysisRegion)
        self.analysis_region.chosen.connect(self.analysis_region_chosen)
        self.draw_button = QPushButton("Draw")
        self.draw_button.setToolTip("Add a Shapes layer and draw the regions to analyze")
        self.draw_button.clicked.connect(self.draw_requested)
        area = QHBoxLayout()
        area.addWidget(self.analysis_region, 1)
        area.addWidget(self.draw_button)

        self.overlap = QComboBox()
        self.overlap.addItems(list(_OVERLAPS))
        self.overlap.setToolTip("Overlapping tiles are averaged: smoother and slower")
        self.overlap.textActivated.connect(lambda text: self.overlap_chosen.emit(_OVERLAPS[text]))

        self.folder = quiet_label("–")
        self.folder_button = QToolButton()
        self.folder_button.setText("…")
        self.folder_button.setToolTip("Choose the folder for results")
        self.folder_button.clicked.connect(self.folder_requested)
        place = QHBoxLayout()
        place.addWidget(self.folder, 1)
        place.addWidget(self.folder_button)

        self.device = quiet_label("–")
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setVerticalSpacing(4)
        form.addRow("Area", area)
        form.addRow("Tiles", self.overlap)
        form.addRow("Output folder", place)
        form.addRow("Device", self.device)
        self.body.addLayout(form)

        self.analyze_button = QPushButton("Analyze")
        self.analyze_button.setMinimumHeight(34)
        self.analyze_button.setObjectName("liverdx_analyze")
        self.analyze_button.setStyleSheet(
            "#liverdx_analyze:enabled { background: #1f6feb; color: white; font-weight: bold; }"
            "#liverdx_analyze:enabled:hover { background: #388bfd; }"
        )
        self.analyze_button.clicked.connect(self.analyze_requested)
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setMinimumHeight(34)
        self.cancel_button.clicked.connect(self.cancel_requested)
        self.cancel_button.setEnabled(False)
        buttons = QHBoxLayout()
        buttons.addWidget(self.analyze_button, 2)
        buttons.addWidget(self.cancel_button, 1)

        self.bar = QProgressBar()
        self.bar.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        self.message = quiet_label()
        self.foot = QWidget()
        column = QVBoxLayout(self.foot)
        column.setContentsMargins(8, 4, 8, 4)
        column.setSpacing(6)
        column.addLayout(buttons)
        column.addWidget(self.bar)
        column.addWidget(self.message)

    def show_device(self, device: DeviceChoice | None) -> None:
        """Name the device and why it is that one."""
        self.device.setText("–" if device is None else f"{device.name} ({device.reason})")
        slow = device is not None and device.device == "cpu" and device.reason != "selected by user"
        set_tone(self.device, "warning" if slow else "plain")

    def show_folder(self, folder: Path | None) -> None:
        """Show where results go, shortened in the middle."""
        text = "–" if folder is None else str(folder)
        self.folder.setToolTip(text)
        parts = Path(text).parts
        self.folder.setText(text if len(text) <= 34 else str(Path("…", *parts[-2:])))

    def show_status(self, status: RunStatus, blocking_reason: str, message: str) -> None:
        """Enable what makes sense now and tell the user the state."""
        self.analyze_button.setEnabled(not status.is_active and not blocking_reason)
        self.analyze_button.setToolTip(blocking_reason or "Start, or resume a stopped run")
        self.cancel_button.setEnabled(status is RunStatus.RUNNING)
        for widget in (self.analysis_region, self.draw_button, self.overlap, self.folder_button):
            widget.setEnabled(not status.is_active)
        self.message.setText(message or blocking_reason)
        set_tone(self.message, "error" if status is RunStatus.FAILED else "plain")

    def show_progress(self, progress: RunProgress | None) -> None:
        """Move the bar."""
        if progress is None:
            self.bar.setRange(0, 1)
            self.bar.setValue(0)
            return
        self.bar.setRange(0, max(1, progress.total))
        self.bar.setValue(progress.done + progress.failed)


def progress_text(progress: RunProgress) -> str:
    """Return a line like ``412 of 1,203 tiles · 38 tiles/s · 21 s left``, or what holds it up."""
    if progress.stall:
        return progress.stall
    parts = [f"{progress.done + progress.failed:,} of {progress.total:,} tiles"]
    if progress.tiles_per_second:
        parts.append(f"{progress.tiles_per_second:.0f} tiles/s")
    if math.isfinite(progress.eta_seconds):
        parts.append(f"{_duration(progress.eta_seconds)} left")
    if progress.failed:
        parts.append(f"{progress.failed} not readable")
    return " · ".join(parts)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
