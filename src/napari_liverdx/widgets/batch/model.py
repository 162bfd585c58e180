"""The rows of the batch table, for Qt's views."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt
from qtpy.QtGui import QColor

from napari_liverdx.core.classes import ClassScheme
from napari_liverdx.core.measure import ClassMeasure
from napari_liverdx.reports.cohort import hidden_row
from napari_liverdx.session.batch_slide import SlideState
from napari_liverdx.slides.listing import SlideEntry
from napari_liverdx.widgets.batch.slide_list import BatchItem, SlideList

__all__ = [
    "COPY_ROLE",
    "MPP_COLUMN",
    "PROGRESS_ROLE",
    "SORT_ROLE",
    "STATE_COLUMN",
    "AnyIndex",
    "BatchModel",
]

AnyIndex = QModelIndex | QPersistentModelIndex
"""What Qt asks a model with."""

STATE_COLUMN, MPP_COLUMN = 1, 2
SORT_ROLE = Qt.ItemDataRole.UserRole + 1
PROGRESS_ROLE = Qt.ItemDataRole.UserRole + 2
COPY_ROLE = Qt.ItemDataRole.UserRole + 3
"""The text as it is handed on: without names where they are to be hidden."""

_TONES = {SlideState.FAILED: QColor("#e5484d"), SlideState.STOPPED: QColor("#d98e04")}


@dataclass(frozen=True)
class _Column:
    title: str
    text: Callable[[BatchItem], str]
    value: Callable[[BatchItem], Any]
    tip: str = ""
    is_number: bool = False


class BatchModel(QAbstractTableModel):
    """The slides of a batch for Qt's views; only the resolution can be edited.

    Parameters
    ----------
    slides : SlideList
        What is shown.
    parent : QObject, optional
        Qt parent.
    """

    def __init__(self, slides: SlideList, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.slides = slides
        self._hidden = False
        self._columns = _columns(None)
        slides.inserting.connect(self._on_inserting)
        slides.inserted.connect(self._on_inserted)
        slides.removing.connect(self._on_removing)
        slides.removed.connect(self._on_removed)
        slides.changed.connect(self._on_changed)

    @property
    def items(self) -> list[BatchItem]:
        """The slides in their order."""
        return self.slides.items

    def set_hidden(self, hidden: bool) -> None:
        """Set whether what is copied has codes in place of names; what is shown keeps the names."""
        self._hidden = hidden

    def set_scheme(self, scheme: ClassScheme | None) -> None:
        """Show the pathological classes of another model."""
        self.beginResetModel()
        self._columns = _columns(scheme)
        self.endResetModel()

    # -- what changed --

    def _on_inserting(self, first: int, last: int) -> None:
        self.beginInsertRows(QModelIndex(), first, last)

    def _on_inserted(self) -> None:
        self.endInsertRows()

    def _on_removing(self, position: int) -> None:
        self.beginRemoveRows(QModelIndex(), position, position)

    def _on_removed(self) -> None:
        self.endRemoveRows()

    def _on_changed(self, first: int, last: int) -> None:
        end = self.index(last, self.columnCount() - 1)
        self.dataChanged.emit(self.index(first, 0), end)

    # -- for the view --

    def rowCount(self, parent: AnyIndex = QModelIndex()) -> int:  # noqa: B008
        """Return the number of slides."""
        return 0 if parent.isValid() else len(self.items)

    def columnCount(self, parent: AnyIndex = QModelIndex()) -> int:  # noqa: B008
        """Return the number of columns."""
        return 0 if parent.isValid() else len(self._columns)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return titles of the columns."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        column = self._columns[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return column.title
        if role == Qt.ItemDataRole.ToolTipRole:
            return column.tip or None
        return None

    def data(self, index: AnyIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return one value of a slide in a role."""
        if not index.isValid():
            return None
        item, column = self.items[index.row()], self._columns[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return column.text(item)
        if role == COPY_ROLE:
            return column.text(self._exported(index.row()))
        if role == SORT_ROLE:
            return column.value(item)
        if role == Qt.ItemDataRole.EditRole:
            return column.text(item) if index.column() == MPP_COLUMN else None
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._tip(item, index.column())
        if role == Qt.ItemDataRole.ForegroundRole and index.column() == STATE_COLUMN:
            return _TONES.get(item.step.state)
        if role == Qt.ItemDataRole.TextAlignmentRole and column.is_number:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == PROGRESS_ROLE and index.column() == STATE_COLUMN:
            return item.step.progress if item.step.state is SlideState.RUNNING else None
        return None

    def _exported(self, index: int) -> BatchItem:
        item = self.items[index]
        if not self._hidden:
            return item
        row = hidden_row(item.row, index + 1)
        listed = SlideEntry(Path(row.slide), item.listed.mpp)
        return BatchItem(listed, replace(item.step, row=row), row.slide)

    def _tip(self, item: BatchItem, column: int) -> str:
        if column == 0:
            text = str(item.listed.path)
            return f"{text}\n{item.row.problem}" if item.row.problem else text
        if column == MPP_COLUMN:
            source = f"{item.row.mpp_source}. " if item.row.mpp_source else ""
            return f"{source}Double-click to give the slide's µm per pixel; empty: as the file says"
        if column == STATE_COLUMN:
            return item.step.message
        return item.row.problem or self._columns[column].text(item)

    def flags(self, index: AnyIndex) -> Qt.ItemFlag:
        """Allow editing only of the resolution, and only between runs."""
        flags = super().flags(index)
        if index.isValid() and index.column() == MPP_COLUMN and not self.slides.locked:
            flags |= Qt.ItemFlag.ItemIsEditable
        return flags

    def setData(self, index: AnyIndex, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """Take the resolution a person gives; the slide then waits to be analyzed with it."""
        if role != Qt.ItemDataRole.EditRole or index.column() != MPP_COLUMN:
            return False
        return self.slides.set_mpp(index.row(), str(value))


def _columns(scheme: ClassScheme | None) -> tuple[_Column, ...]:
    classes: list[_Column] = []
    if scheme is not None:
        for index in scheme.pathological:
            classes += _class_columns(scheme[index].name, scheme[index].title)
    return (
        _text("Slide", lambda i: i.name),
        _Column(
            "State",
            _state_text,
            lambda i: (list(SlideState).index(i.step.state), i.step.progress),
        ),
        _Column("µm/px", lambda i: i.mpp_text, lambda i: i.mpp, "Level-0 resolution", True),
        *classes,
        _number("Tissue\nmm²", 2, lambda i: i.row.tissue_mm2, "Tissue that was analyzed"),
        _text(
            "Training data", lambda i: i.row.ood, "Whether the slide resembles the training data"
        ),
        _text("Slide prediction", lambda i: i.row.slide_prediction, "By a slide-level (MIL) model"),
        _number(
            "Failed\ntiles",
            0,
            lambda i: i.row.failed_tiles if i.row.result else math.nan,
            "Tiles that could not be read",
        ),
        _text("µm/px from", lambda i: i.row.mpp_source),
        _number("Seconds", 1, lambda i: i.row.seconds, "Time of the analysis"),
        _text("Folder", lambda i: i.row.folder or i.listed.path.parent.name),
        _text("Reason", lambda i: i.row.problem, "Why the slide failed"),
    )


def _class_columns(name: str, title: str) -> list[_Column]:
    def of(what: Callable[[ClassMeasure], float | None]) -> Callable[[BatchItem], float]:
        def value(item: BatchItem) -> float:
            found = item.row.measure_of(name)
            number = None if found is None else what(found)
            return math.nan if number is None else float(number)

        return value

    largest = of(lambda m: m.largest_focus_mm)
    return [
        _number(f"{title}\n%", 1, of(lambda m: m.percent), "Share of the analyzed tissue"),
        _number(f"{title}\nmm²", 3, of(lambda m: m.area_mm2), "Area with probability ≥ threshold"),
        _number(f"{title}\nfoci", 0, of(lambda m: m.foci), "Connected areas"),
        _number(f"{title}\nlargest mm", 2, largest, "Longest diameter of the largest focus"),
    ]


def _text(title: str, text: Callable[[BatchItem], str], tip: str = "") -> _Column:
    return _Column(title, text, lambda item: text(item).lower(), tip)


def _number(title: str, digits: int, value: Callable[[BatchItem], float], tip: str = "") -> _Column:
    def text(item: BatchItem) -> str:
        number = value(item)
        return "" if math.isnan(number) else f"{number:.{digits}f}"

    return _Column(title, text, value, tip, True)


def _state_text(item: BatchItem) -> str:
    state = item.step.state
    if state is SlideState.RUNNING:
        return f"{100 * item.step.progress:.0f} %"
    return f"{state.value}…" if state is SlideState.DETECTING else state.value


def rows_as_text(subtiles: Sequence[Sequence[str]]) -> str:
    """Join fields by tabs and rows by line ends, as spreadsheets take them."""
    return "\n".join("\t".join(c.replace("\n", " ") for c in row) for row in subtiles)


def paths_of(urls: Iterable[Any]) -> list[Path]:
    """Return local files among dropped addresses."""
    return [Path(u.toLocalFile()) for u in urls if u.isLocalFile()]
