"""Small tables of figures in the dock."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

__all__ = ["PlainTable"]


class PlainTable(QTableWidget):
    """A table to read, as tall as its rows, without a frame of its own.

    Parameters
    ----------
    *headings : str
        Of the columns; all but the first hold numbers and stand to the right.
    """

    def __init__(self, *headings: str) -> None:
        super().__init__()
        self.verticalHeader().hide()
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setShowGrid(False)
        self.head(*headings)
        self.fit()

    def head(self, *headings: str) -> None:
        """Take other columns; the rows go."""
        self.setRowCount(0)
        self.setColumnCount(len(headings))
        self.setHorizontalHeaderLabels(list(headings))
        header = self.horizontalHeader()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in range(1, len(headings)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)

    def explain(self, column: int, tip: str) -> None:
        """Say what a column holds when the pointer rests on its heading."""
        heading = self.horizontalHeaderItem(column)
        if heading is not None:
            heading.setToolTip(tip)

    def fill(self, rows: Sequence[Sequence[str]]) -> None:
        """Show these rows and no others."""
        with QSignalBlocker(self):
            self.setRowCount(0)
            for values in rows:
                self.add(values)
        self.fit()

    def add(self, values: Sequence[str]) -> QTableWidgetItem:
        """Add a row; its first item."""
        row = self.rowCount()
        self.insertRow(row)
        items = [QTableWidgetItem(value) for value in values]
        for column, item in enumerate(items):
            if column:
                right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                item.setTextAlignment(right)
            self.setItem(row, column, item)
        return items[0]

    def fit(self) -> None:
        """Become as tall as the rows."""
        height = self.horizontalHeader().sizeHint().height() + 4
        self.setFixedHeight(height + sum(self.rowHeight(r) for r in range(self.rowCount())))
