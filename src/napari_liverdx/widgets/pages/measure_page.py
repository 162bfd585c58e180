"""The page with measurements and what is handed on."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Shapes
from napari.utils.notifications import show_error
from qtpy.QtCore import QTimer
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QMenu,
    QPushButton,
    QSizePolicy,
)

from napari_liverdx.core.errors import LiverDxError
from napari_liverdx.exports.registry import EXPORTS, export_path
from napari_liverdx.reports.measurements import (
    measurement_table,
    measurement_text,
    write_measurements,
)
from napari_liverdx.results.measurement_map import MapKind
from napari_liverdx.viewer.layers.base import name_events
from napari_liverdx.viewer.layers.drawing import drawing_layer
from napari_liverdx.viewer.layers.review import REVIEW_KEY
from napari_liverdx.viewer.layers.slide_source import bare, named_regions
from napari_liverdx.widgets.main.measure_table import MeasureTable
from napari_liverdx.widgets.main.page import Tab
from napari_liverdx.widgets.parts.choice_box import ChoiceBox
from napari_liverdx.widgets.parts.histogram_plot import HistogramPlot
from napari_liverdx.widgets.parts.panel import Panel, halt, quiet_label, swatch

if TYPE_CHECKING:
    from napari_liverdx.widgets.main.controller import DockController

__all__ = ["MeasurePage"]

_NONE = "None"
_LATER_MS = 150


class MeasurePage(Tab):
    """Histogram with its threshold, areas and foci, drawn regions, reports and exports."""

    key = "measure"
    title = "Measure"
    tip = "Areas, foci and histograms, of the slide and of drawn regions; reports and exports"

    def __init__(self, controller: DockController) -> None:
        super().__init__(controller)
        self._watched: Shapes | None = None
        self._drawn: list[Shapes] = []
        self._measured: Image | None = None
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(_LATER_MS)
        self._later.timeout.connect(self._measure_regions)
        self.fill(self._build_histogram(), self._build_table(), self._build_export())
        self._connect()
        self._list_regions()
        self._on_result()

    # -- the look --

    def _build_histogram(self) -> Panel:
        panel = Panel("Probabilities")
        self.shown_class = QComboBox()
        self.shown_class.setToolTip("Class whose probabilities are shown")
        self.shown_class.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.plot = HistogramPlot()
        panel.body.addWidget(self.shown_class)
        panel.body.addWidget(self.plot)
        return panel

    def _build_table(self) -> Panel:
        panel = Panel("Measurements")
        self.map_kind = ChoiceBox(MapKind)
        self.map_kind.setToolTip(
            "Map pixels: the fine map. Tiles: each tile's own probabilities. Averaged: the mean "
            "of all "
            "tiles over a place, where tiles overlap"
        )
        self.regions = QComboBox()
        self.regions.setToolTip("A Shapes layer whose closed shapes are measured one by one")
        self.draw = QPushButton("Draw")
        self.draw.setToolTip("Add a Shapes layer and draw regions to measure")
        row = QHBoxLayout()
        row.addWidget(self.regions, 1)
        row.addWidget(self.draw)
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setVerticalSpacing(4)
        form.addRow("Measure", self.map_kind)
        form.addRow("Regions", row)
        self.table = MeasureTable()
        self.copy = QPushButton("Copy")
        self.copy.setToolTip("Copy the table for a spreadsheet")
        self.save = QPushButton("Save CSV…")
        buttons = QHBoxLayout()
        buttons.addWidget(self.copy)
        buttons.addWidget(self.save)
        panel.body.addLayout(form)
        panel.body.addWidget(self.table)
        panel.body.addLayout(buttons)
        return panel

    def _build_export(self) -> Panel:
        panel = Panel("Report and export")
        self.report = QPushButton("Save report")
        self.report.setToolTip("An HTML page, a PDF and tables beside the result")
        self.export = QPushButton("Export")
        menu = QMenu(self.export)
        self.exports = {
            name: menu.addAction(f"{e.title}…", partial(self._ask_export, name))
            for name, e in EXPORTS.items()
        }
        self.export.setMenu(menu)
        row = QHBoxLayout()
        row.addWidget(self.report)
        row.addWidget(self.export)
        self.hide_name = QCheckBox("Pseudonymize slide name")
        self.hide_name.setToolTip(
            "File names can contain patient names; they are replaced by an 8-digit code"
        )
        self.said = quiet_label()
        panel.body.addLayout(row)
        panel.body.addWidget(self.hide_name)
        panel.body.addWidget(self.said)
        return panel

    def _connect(self) -> None:
        findings = self.controller.findings
        findings.changed.connect(self._on_result)
        findings.filled.connect(self._show)
        findings.viewed.connect(self._show_basis)
        self.shown_class.activated.connect(self._show)
        self.plot.threshold_moved.connect(self._on_threshold)
        self.map_kind.chosen.connect(findings.set_map_kind)
        self.regions.activated.connect(self._choose_regions)
        self.draw.clicked.connect(self._draw)
        self.copy.clicked.connect(self._copy)
        self.save.clicked.connect(self._ask_table)
        self.report.clicked.connect(self._save_report)
        state = self.controller.state
        self.hide_name.toggled.connect(self._choose_names)
        state.events.hide_names.connect(self._show_names)
        for event in name_events(self.controller.viewer):
            event.connect(self._list_regions)

    # -- what changed --

    def _on_result(self) -> None:
        results = self.controller.findings.results
        reference = None if results is None else results.reference
        if reference is not self._measured:
            # Regions belong to the slide they were drawn on.
            self._measured = reference
            self.regions.setCurrentIndex(0)
            self._watch(None)
        self.shown_class.clear()
        if results is not None:
            scheme = results.store.manifest.scheme
            for i in scheme.pathological:
                c = scheme[i]
                self.shown_class.addItem(swatch(c.color), c.title, c.name)
        for widget in (self.copy, self.save, self.report, self.export, self.shown_class):
            widget.setEnabled(results is not None)
        self._show_basis()
        self._show()

    def _show_basis(self) -> None:
        self.map_kind.show_choice(self.controller.findings.map_kind)

    def _show(self) -> None:
        findings = self.controller.findings
        results, found = findings.results, findings.found
        scheme = None if results is None else results.store.manifest.scheme
        self.table.show_findings(found, scheme)
        name = str(self.shown_class.currentData() or "")
        if found is None or scheme is None or name not in found.histograms:
            self.plot.show_histogram(None, "#4aa3df", 0.5)
            return
        threshold = self.controller.state.settings.threshold(name)
        color = scheme[scheme.index(name)].color
        self.plot.show_histogram(found.histograms[name], color, threshold)

    def _on_threshold(self, value: float) -> None:
        name = self.shown_class.currentData()
        if name:
            self.controller.findings.set_threshold(str(name), value)

    # -- regions --

    def _list_regions(self, event: Any = None) -> None:
        layers = [bare(layer) for layer in self.controller.viewer.layers]
        self._drawn = [
            layer
            for layer in layers
            if isinstance(layer, Shapes) and REVIEW_KEY not in layer.metadata
        ]
        self.regions.clear()
        self.regions.addItem(_NONE, None)
        for layer in self._drawn:
            self.regions.addItem(layer.name, layer.name)
        if self._watched in self._drawn:
            self.regions.setCurrentIndex(self._drawn.index(self._watched) + 1)
        elif self._watched is not None:
            self._watch(None)

    def _choose_regions(self, index: int) -> None:
        self._watch(self._drawn[index - 1] if index > 0 else None)

    def _draw(self) -> None:
        slide_layer = self.controller.layer
        if slide_layer is None:
            return
        name = f"Regions to measure · {slide_layer.name}"
        viewer = self.controller.viewer
        layer = drawing_layer(viewer, slide_layer, name, "measure", of_slide=True)
        self._list_regions()
        self.regions.setCurrentIndex(self._drawn.index(layer) + 1)
        self._watch(layer)

    def _watch(self, layer: Shapes | None) -> None:
        if self._watched is not None:
            self._watched.events.data.disconnect(self._on_shapes)
            self._watched.events.features.disconnect(self._on_shapes)
        self._watched = layer
        if layer is not None:
            layer.events.data.connect(self._on_shapes)
            layer.events.features.connect(self._on_shapes)
        self._measure_regions()

    def _on_shapes(self, event: Any = None) -> None:
        self._later.start()

    def _measure_regions(self) -> None:
        layer, slide_layer = self._watched, self.controller.layer
        known = layer is not None and slide_layer is not None
        regions = named_regions(layer, slide_layer) if known else []
        self.controller.findings.set_regions(regions)

    # -- handing on --

    def _choose_names(self, hide: bool) -> None:
        self.controller.state.hide_names = hide

    def _show_names(self, hide: bool) -> None:
        self.hide_name.setChecked(hide)

    def _copy(self) -> None:
        found = self.controller.findings.found
        clipboard = QGuiApplication.clipboard()
        if found is not None and clipboard is not None:
            rows = measurement_table(found)
            clipboard.setText(measurement_text(rows))
            self.said.setText("The table is on the clipboard")

    def _ask_table(self) -> None:
        results, found = self.controller.findings.results, self.controller.findings.found
        if results is None or found is None:
            return
        start = str(self.controller.findings.beside("measurements.csv"))
        path, _ = QFileDialog.getSaveFileName(self, "Save the table", start, "Tables (*.csv *.tsv)")
        if path:
            self.save_table(Path(path))

    def save_table(self, path: Path) -> None:
        """Write the table; what stands in the way is told."""
        found = self.controller.findings.found
        if found is None:
            return
        try:
            write_measurements(path, found)
        except LiverDxError as error:
            show_error(str(error))
            return
        self.said.setText(f"Saved {path.name}")

    def _save_report(self) -> None:
        self.said.setText("Writing the report …")
        hide = self.controller.state.hide_names
        slide = self.controller.slide
        self.controller.findings.save_report(slide, hide_name=hide, said=self.said.setText)

    def _ask_export(self, name: str) -> None:
        results = self.controller.findings.results
        if results is None:
            return
        folder = results.store.path.parent
        hide = self.controller.state.hide_names
        start = str(export_path(results.store, name, folder, hide_name=hide))
        path, _ = QFileDialog.getSaveFileName(self, EXPORTS[name].title, start)
        if path:
            self.export_to(name, Path(path))

    def export_to(self, name: str, path: Path) -> None:
        """Write an export in the background."""
        self.said.setText(f"Writing {path.name} …")
        self.controller.findings.export(
            name,
            path,
            self.controller.slide,
            hide_name=self.controller.state.hide_names,
            said=self.said.setText,
        )

    def release(self) -> None:
        """Let go of the layers; calling it again does nothing."""
        halt(self._later)
        if self._watched is not None:
            self._watched.events.data.disconnect(self._on_shapes)
            self._watched.events.features.disconnect(self._on_shapes)
            self._watched = None
        self._measured, self._drawn = None, []
        for event in name_events(self.controller.viewer):
            event.disconnect(self._list_regions)
