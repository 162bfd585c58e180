"""Measurements as a table to read and to copy."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from napari_liverdx.core.classes import ClassScheme
from napari_liverdx.core.measure import ClassMeasure
from napari_liverdx.core.uncertain import NOT_SURE, NOT_SURE_COLOUR
from napari_liverdx.session.measuring import Findings
from napari_liverdx.widgets.parts import swatch

__all__ = ["MeasureTable"]

_COLUMNS = ("Class", "mm²", "%", "Foci", "Ø mm")
_TIPS = (
    "",
    "Area that counts at the threshold",
    "Share of the analysed tissue, in a region of the tissue in it",
    "Connected foci; cells that touch at a corner belong together",
    "Longest diameter of the largest focus",
)


class MeasureTable(QTableWidget):
    """The whole slide, then each region, class by class."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(_COLUMNS), parent)
        self.setHorizontalHeaderLabels(list(_COLUMNS))
        for column, tip in enumerate(_TIPS):
            item = self.horizontalHeaderItem(column)
            if item is not None:
                item.setToolTip(tip)
        self.verticalHeader().hide()
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setShowGrid(False)
        header = self.horizontalHeader()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in range(1, len(_COLUMNS)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        self._fit()

    def show_findings(self, found: Findings | None, scheme: ClassScheme | None) -> None:
        """Fill the table; None empties it."""
        self.clearSpans()
        self.setRowCount(0)
        if found is not None and scheme is not None:
            self._add_heading(f"Whole area · {found.tissue_mm2:.3f} mm² of tissue")
            self._add_measures(found.measures, scheme)
            for region in found.regions:
                self._add_heading(f"{region.name} · {region.area_mm2:.3f} mm² of tissue")
                self._add_measures(region.measures, scheme)
        self._fit()

    def _add_heading(self, text: str) -> None:
        row = self.rowCount()
        self.insertRow(row)
        item = QTableWidgetItem(text)
        font = item.font()
        font.setBold(True)
        item.setFont(font)
        self.setItem(row, 0, item)
        self.setSpan(row, 0, 1, len(_COLUMNS))

    def _add_measures(self, measures: Sequence[ClassMeasure], scheme: ClassScheme) -> None:
        for m in measures:
            row = self.rowCount()
            self.insertRow(row)
            title = QTableWidgetItem(m.title)
            unsure = m.name == NOT_SURE
            colour = NOT_SURE_COLOUR if unsure else scheme[scheme.index(m.name)].colour
            title.setIcon(swatch(colour))
            title.setToolTip(_tip(m))
            self.setItem(row, 0, title)
            percent = "–" if m.percent != m.percent else f"{m.percent:.1f}"
            foci = "" if m.foci is None else f"{m.foci:,}"
            largest = "" if m.largest_focus_mm is None else f"{m.largest_focus_mm:.2f}"
            for column, text in enumerate((f"{m.area_mm2:.3f}", percent, foci, largest), start=1):
                item = QTableWidgetItem(text)
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.setItem(row, column, item)

    def _fit(self) -> None:
        rows = max(1, self.rowCount())
        height = self.horizontalHeader().sizeHint().height()
        row_height = self.verticalHeader().defaultSectionSize()
        self.setFixedHeight(height + rows * row_height + 4)


def _tip(m: ClassMeasure) -> str:
    if m.threshold is None:
        return f"{m.title}: where it is the most probable"
    mean = "" if m.mean_probability != m.mean_probability else f", mean {m.mean_probability:.3f}"
    return f"{m.title}: probability of at least {m.threshold:.2f}{mean}"
