"""Thresholds and what they measure."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt import QLabeledDoubleSlider

from napari_liverdx.core.classes import ClassScheme
from napari_liverdx.core.measure import ClassMeasure
from napari_liverdx.widgets.main.display_panel import DisplayPanel
from napari_liverdx.widgets.main.measure_table import class_color
from napari_liverdx.widgets.parts.panel import Panel, quiet_label, swatch
from napari_liverdx.widgets.parts.table import PlainTable

__all__ = ["FindingsPanel"]

_LOWEST, _HIGHEST = 0.01, 0.99


class FindingsPanel(Panel):
    """A slider per pathological class and a table of areas.

    Signals: ``threshold_moved(str, float)``, ``error_rate_chosen(float)`` (0 is off),
    ``report_requested()``, ``result_chosen(int)`` (position in the list), ``open_requested()``.
    """

    threshold_moved = Signal(str, float)
    error_rate_chosen = Signal(float)
    report_requested = Signal()
    result_chosen = Signal(int)
    open_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Findings", parent)
        self.sliders: dict[str, QLabeledDoubleSlider] = {}
        self.body.addLayout(self._build_choice())
        self.look = DisplayPanel()
        self._rows = QVBoxLayout()
        self.body.addLayout(self._rows)
        self.error_rate = QDoubleSpinBox()
        self.error_rate.setRange(0, 0.5)
        self.error_rate.setSingleStep(0.05)
        self.error_rate.setDecimals(2)
        self.error_rate.setSpecialValueText("off")
        self.error_rate.setKeyboardTracking(False)
        self.error_rate.valueChanged.connect(self.error_rate_chosen)
        sure = QHBoxLayout()
        sure.addWidget(QLabel("Uncertain at error rate α"), 1)
        sure.addWidget(self.error_rate)
        self.body.addLayout(sure)
        self.body.addWidget(self.look)
        self.allow_error_rate(False)

        self.table = PlainTable("Class", "mm²", "% tissue", "Mean p")
        self.body.addWidget(self.table)

        self.hover = quiet_label("Point at a tile to read its probabilities")
        self.body.addWidget(self.hover)
        self.report_button = QPushButton("Save report")
        self.report_button.setToolTip("Write an HTML page and a CSV table beside the result")
        self.report_button.clicked.connect(self.report_requested)
        self.report_button.setEnabled(False)
        self.body.addWidget(self.report_button)
        self._scheme: ClassScheme | None = None

    def _build_choice(self) -> QHBoxLayout:
        self.result = QComboBox()
        self.result.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.result.setToolTip("Results of this slide in the viewer")
        self.result.setPlaceholderText("No result yet")
        self.result.activated.connect(self.result_chosen)
        self.open_button = QPushButton("Open result…")
        self.open_button.setToolTip("Show a stored result (.liverdx.zarr) as it was left")
        self.open_button.clicked.connect(self.open_requested)
        row = QHBoxLayout()
        row.addWidget(self.result, 1)
        row.addWidget(self.open_button)
        return row

    def set_results(self, titles: Sequence[str], current: int) -> None:
        """List the results of the slide; ``current`` is -1 where none is shown."""
        self.result.clear()
        self.result.addItems(list(titles))
        self.result.setCurrentIndex(current)

    def show_error_rate(self, rate: float | None) -> None:
        """Show the chosen error rate without a signal."""
        with QSignalBlocker(self.error_rate):
            self.error_rate.setValue(rate or 0)

    def set_scheme(self, scheme: ClassScheme | None, thresholds: dict[str, float]) -> None:
        """Make a slider for each pathological class."""
        self._scheme = scheme
        self.sliders.clear()
        while self._rows.count():
            item = self._rows.takeAt(0)
            old = None if item is None else item.widget()
            if old is not None:
                old.hide()
                old.deleteLater()
        if scheme is not None:
            for index in scheme.pathological:
                tissue_class = scheme[index]
                slider = self._slider(tissue_class.name, thresholds)
                title = QLabel(tissue_class.title)
                title.setToolTip("Minimum probability for a map pixel to be counted as this class")
                icon = QLabel()
                icon.setPixmap(swatch(tissue_class.color).pixmap(12, 12))
                line = QWidget()
                row = QHBoxLayout(line)
                row.setContentsMargins(0, 0, 0, 0)
                row.addWidget(icon)
                row.addWidget(title)
                row.addWidget(slider, 1)
                self._rows.addWidget(line)
        self.show_measures(())

    def show_thresholds(self, thresholds: dict[str, float]) -> None:
        """Move the sliders to these, without a signal."""
        for name, slider in self.sliders.items():
            if name in thresholds and slider.value() != thresholds[name]:
                with QSignalBlocker(slider):
                    slider.setValue(thresholds[name])

    def allow_error_rate(self, allowed: bool) -> None:
        """Switch the error rate off, and let it be chosen where the model can promise one."""
        self.show_error_rate(None)
        self.error_rate.setEnabled(allowed)
        self.error_rate.setToolTip(
            "Map pixels whose conformal prediction set holds no class or several are reported as "
            "'Uncertain'"
            if allowed
            else "This model holds no calibration scores"
        )

    def _slider(self, name: str, thresholds: dict[str, float]) -> QLabeledDoubleSlider:
        slider = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        slider.setRange(_LOWEST, _HIGHEST)
        slider.setSingleStep(0.01)  # type: ignore[arg-type]  # superqt's stub is Qt's of whole numbers
        slider.setDecimals(2)
        slider.setValue(thresholds.get(name, 0.5))
        slider.valueChanged.connect(lambda value: self.threshold_moved.emit(name, float(value)))
        self.sliders[name] = slider
        return slider

    def show_measures(self, measures: Sequence[ClassMeasure]) -> None:
        """Fill the table."""
        self.report_button.setEnabled(bool(measures))
        values = [
            (m.title, f"{m.area_mm2:.3f}", _number(m.percent, 1), _number(m.mean_probability, 3))
            for m in measures
        ]
        self.table.fill(values)
        for row, m in enumerate(measures):
            title = self.table.item(row, 0)
            if title is not None and self._scheme is not None:
                title.setIcon(swatch(class_color(m, self._scheme)))


def _number(value: float, digits: int) -> str:
    return "–" if value != value else f"{value:.{digits}f}"
