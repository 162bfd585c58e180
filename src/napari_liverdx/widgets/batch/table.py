"""The table of a batch: drop slides on it, sort it, copy from it."""

from __future__ import annotations

import math
from typing import Any

from qtpy.QtCore import QItemSelectionModel, QModelIndex, QRectF, QSortFilterProxyModel, Qt, Signal
from qtpy.QtGui import (
    QColor,
    QDragEnterEvent,
    QDragMoveEvent,
    QDropEvent,
    QGuiApplication,
    QKeyEvent,
    QKeySequence,
    QPainter,
    QPaintEvent,
)
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from napari_liverdx.widgets.batch.model import (
    COPY_ROLE,
    MPP_COLUMN,
    PROGRESS_ROLE,
    SORT_ROLE,
    STATE_COLUMN,
    AnyIndex,
    BatchModel,
    paths_of,
    rows_as_text,
)

__all__ = ["BatchTable"]

_HINT = "Drop slides, a folder\nor a list of slides here"
_NARROW, _WIDEST = 56, 94
_SLIDE, _STATE, _REASON = 112, 74, 320
_TRACK, _BAR = QColor(128, 128, 128, 70), QColor("#3b82d6")


class BatchTable(QTableView):
    """Slides with their states and findings.

    Signals: ``open_requested(int)`` for a row of the model, ``remove_requested()``,
    ``paths_dropped(list)`` of `Path`, ``row_chosen()``.

    Parameters
    ----------
    model : BatchModel
        The rows.
    parent : QWidget, optional
        Qt parent.
    """

    open_requested = Signal(int)
    remove_requested = Signal()
    paths_dropped = Signal(list)
    row_chosen = Signal()

    def __init__(self, model: BatchModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows = model
        self._sorted = _Sorted(self)
        self._sorted.setSourceModel(model)
        # Rows that jump while a run goes on cannot be read.
        self._sorted.setDynamicSortFilter(False)
        self.setModel(self._sorted)
        self._delegate = _StateDelegate(self)
        self.setItemDelegateForColumn(STATE_COLUMN, self._delegate)
        self._set_look()
        self.setAcceptDrops(True)
        self.setDragDropMode(QAbstractItemView.DragDropMode.DropOnly)
        self.doubleClicked.connect(self._on_double_click)
        self.selectionModel().selectionChanged.connect(lambda *_: self.row_chosen.emit())
        model.modelReset.connect(self.fit_columns)
        self.fit_columns()

    def _set_look(self) -> None:
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setWordWrap(False)
        self.setShowGrid(False)
        self.setMinimumHeight(170)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        triggers = QAbstractItemView.EditTrigger
        self.setEditTriggers(triggers.DoubleClicked | triggers.EditKeyPressed)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(24)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        # In the order of the list until a header is clicked.
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        header.setSortIndicatorClearable(True)
        self.setSortingEnabled(True)
        self.setAccessibleName("Slides of the batch")

    def fit_columns(self) -> None:
        """Give each column a width that suits its title."""
        metrics = self.horizontalHeader().fontMetrics()
        for column in range(self.rows.columnCount()):
            title = str(self.rows.headerData(column, Qt.Orientation.Horizontal))
            wide = max(metrics.horizontalAdvance(line) for line in title.split("\n")) + 18
            self.setColumnWidth(column, min(max(_NARROW, wide), _WIDEST))
        self.setColumnWidth(0, _SLIDE)
        self.setColumnWidth(STATE_COLUMN, _STATE)
        self.setColumnWidth(self.rows.columnCount() - 1, _REASON)

    # -- rows --

    def chosen_rows(self) -> list[int]:
        """Return the rows of the model with a selected cell, in their order."""
        chosen = self.selectionModel().selectedIndexes()
        return sorted({self._sorted.mapToSource(i).row() for i in chosen})

    def choose(self, row: int) -> None:
        """Select a row of the model."""
        index = self._sorted.mapFromSource(self.rows.index(row, 0))
        one = QItemSelectionModel.SelectionFlag.ClearAndSelect
        self.selectionModel().setCurrentIndex(index, one)
        self.scrollTo(index)

    def copied(self) -> str:
        """Return the selected fields, separated by tabs; with titles where whole columns are."""
        chosen = self.selectionModel().selectedIndexes()
        rows = sorted({i.row() for i in chosen})
        columns = sorted({i.column() for i in chosen})
        picked = {(i.row(), i.column()): str(i.data(COPY_ROLE) or "") for i in chosen}
        cells = [[picked.get((r, c), "") for c in columns] for r in rows]
        if len(rows) == self.rows.rowCount() and len(picked) == len(rows) * len(columns):
            across = Qt.Orientation.Horizontal
            cells.insert(0, [str(self.rows.headerData(c, across)) for c in columns])
        return rows_as_text(cells)

    def _on_double_click(self, index: QModelIndex) -> None:
        if index.column() != MPP_COLUMN:
            self.open_requested.emit(self._sorted.mapToSource(index).row())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Copy with Ctrl+C, open the result with Enter, take slides out with Delete."""
        if event.matches(QKeySequence.StandardKey.Copy):
            QGuiApplication.clipboard().setText(self.copied())
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            if rows := self.chosen_rows():
                self.open_requested.emit(rows[0])
        elif event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self.remove_requested.emit()
        else:
            super().keyPressEvent(event)

    # -- drops --

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take files and folders."""
        self._judge(event)

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:
        """Take files and folders."""
        self._judge(event)

    def _judge(self, event: Any) -> None:
        if event.mimeData().hasUrls() and not self.rows.slides.locked:
            event.acceptProposedAction()
        else:
            event.ignore()

    def dropEvent(self, event: QDropEvent) -> None:
        """Report and export what was dropped."""
        self._judge(event)
        if event.isAccepted():
            self.paths_dropped.emit(paths_of(event.mimeData().urls()))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Say what to do while the table is empty."""
        super().paintEvent(event)
        if self.rows.rowCount():
            return
        painter = QPainter(self.viewport())
        painter.setPen(QColor(128, 128, 128))
        painter.drawText(self.viewport().rect(), Qt.AlignmentFlag.AlignCenter, _HINT)
        painter.end()


class _Sorted(QSortFilterProxyModel):
    """Sorts by values; those that are missing stay below in both directions."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setSortRole(SORT_ROLE)

    def lessThan(self, left: AnyIndex, right: AnyIndex) -> bool:
        a, b = (self.sourceModel().data(i, SORT_ROLE) for i in (left, right))
        first, second = (isinstance(v, float) and math.isnan(v) for v in (a, b))
        if first or second:
            descending = self.sortOrder() == Qt.SortOrder.DescendingOrder
            return first and not second if descending else second and not first
        return bool(a < b)


class _StateDelegate(QStyledItemDelegate):
    """A state in words, or a small bar while a slide is at work."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: AnyIndex) -> None:
        super().paint(painter, option, index)
        share = index.data(PROGRESS_ROLE)
        if share is None:
            return
        rect = QRectF(option.rect)
        track = QRectF(rect.left() + 6, rect.bottom() - 5, rect.width() - 12, 3)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(_TRACK)
        painter.drawRoundedRect(track, 1.5, 1.5)
        track.setWidth(max(3.0, track.width() * float(share)))
        painter.setBrush(_BAR)
        painter.drawRoundedRect(track, 1.5, 1.5)
        painter.restore()
