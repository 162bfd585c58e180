"""Thumbnails of tiles with their predicted class and what was decided."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QModelIndex, QPersistentModelIndex, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QImage, QKeyEvent, QPainter, QPainterPath, QPen, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QListWidget,
    QListWidgetItem,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from napari_liverdx.core.grid import TileIndex
from napari_liverdx.results.review_log import Verdict
from napari_liverdx.widgets.pages.review_card import THUMBNAIL, VERDICT_COLORS, Card

__all__ = ["Gallery"]

_PAD = 4
_CAPTION = 18
_CARD, _PICTURE = Qt.ItemDataRole.UserRole, Qt.ItemDataRole.UserRole + 1


class Gallery(QListWidget):
    """Thumbnails side by side; arrow keys move, letters decide.

    Signals: ``chosen(TileIndex)`` when another one becomes current or is clicked again,
    ``key_pressed(str)`` with the letter of a key that the gallery does not use itself.
    """

    chosen = Signal(object)
    key_pressed = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setViewMode(QListWidget.ViewMode.IconMode)
        self.setResizeMode(QListWidget.ResizeMode.Adjust)
        self.setMovement(QListWidget.Movement.Static)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setUniformItemSizes(True)
        self.setSpacing(0)
        self.setItemDelegate(_CardDelegate(self))
        self.setMinimumHeight(2 * _cell().height() + 6)
        self.currentItemChanged.connect(self._on_current)
        self.itemClicked.connect(self._on_clicked)

    # -- content --

    def show_cards(self, cards: Sequence[Card]) -> None:
        """Show these, without pictures yet; the first becomes current without a signal."""
        self.blockSignals(True)
        self.clear()
        for card in cards:
            item = QListWidgetItem(self)
            item.setSizeHint(_cell())
            self._fill(item, card)
        self.blockSignals(False)

    def show_picture(self, tile: TileIndex, rgb: NDArray[np.uint8]) -> None:
        """Give a thumbnail its picture, shape (side, side, 3)."""
        item = self.item_of(tile)
        if item is not None:
            item.setData(_PICTURE, _pixmap(rgb))

    def update_card(self, card: Card) -> None:
        """Show anew what is known of a tile."""
        item = self.item_of(card.tile)
        if item is not None:
            self._fill(item, card)

    def _fill(self, item: QListWidgetItem, card: Card) -> None:
        item.setData(_CARD, card)
        item.setToolTip(card.tip)
        item.setData(Qt.ItemDataRole.AccessibleTextRole, card.tip)

    # -- which --

    @property
    def tiles(self) -> list[TileIndex]:
        """The tiles shown, in order."""
        return [self._card(i).tile for i in range(self.count())]

    @property
    def current_tile(self) -> TileIndex | None:
        """The current one."""
        item = self.currentItem()
        return None if item is None else self._card(self.row(item)).tile

    def card(self, tile: TileIndex) -> Card | None:
        """Return what stands on the thumbnail of a tile."""
        item = self.item_of(tile)
        return None if item is None else item.data(_CARD)

    def has_picture(self, tile: TileIndex) -> bool:
        """Return whether the tile's picture is there."""
        item = self.item_of(tile)
        return item is not None and item.data(_PICTURE) is not None

    def item_of(self, tile: TileIndex) -> QListWidgetItem | None:
        """Return the item of a tile; None if it is not shown."""
        for i in range(self.count()):
            if self._card(i).tile == tile:
                return self.item(i)
        return None

    def choose(self, tile: TileIndex) -> bool:
        """Make a tile current; False if it is not shown."""
        item = self.item_of(tile)
        if item is not None:
            self.setCurrentItem(item)
        return item is not None

    def step(self, by: int) -> bool:
        """Go ``by`` thumbnails on; False at the end."""
        row = self.currentRow() + by
        if not 0 <= row < self.count():
            return False
        self.setCurrentRow(row)
        return True

    def _card(self, row: int) -> Card:
        item = self.item(row)
        assert item is not None
        card: Card = item.data(_CARD)
        return card

    # -- events --

    def _on_current(self, item: QListWidgetItem | None) -> None:
        if item is not None:
            self.chosen.emit(item.data(_CARD).tile)

    def _on_clicked(self, item: QListWidgetItem) -> None:
        # A click on the current one brings the camera back to it.
        self.chosen.emit(item.data(_CARD).tile)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Hand letters on; arrows, Home, End and paging stay."""
        text = event.text().upper()
        plain = event.modifiers() in (
            Qt.KeyboardModifier.NoModifier,
            Qt.KeyboardModifier.ShiftModifier,
        )
        if plain and len(text) == 1 and text.isalnum():
            self.key_pressed.emit(text)
            event.accept()
            return
        super().keyPressEvent(event)


def _cell() -> QSize:
    return QSize(THUMBNAIL + 2 * _PAD, THUMBNAIL + _CAPTION + 2 * _PAD)


def _pixmap(rgb: NDArray[np.uint8]) -> QPixmap:
    data = np.ascontiguousarray(rgb)
    height, width = data.shape[:2]
    image = QImage(data.data, width, height, 3 * width, QImage.Format.Format_RGB888)
    return QPixmap.fromImage(image.copy())


class _CardDelegate(QStyledItemDelegate):
    """Draws a thumbnail: picture, caption, class color, and a mark for the decision."""

    def sizeHint(
        self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> QSize:
        """Return the same size for all."""
        return _cell()

    def paint(
        self,
        painter: QPainter,
        option: QStyleOptionViewItem,
        index: QModelIndex | QPersistentModelIndex,
    ) -> None:
        """Draw one thumbnail."""
        card: Card = index.data(_CARD)
        picture: QPixmap | None = index.data(_PICTURE)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        cell = QRectF(option.rect)
        box = QRectF(cell.left() + _PAD, cell.top() + _PAD, THUMBNAIL, THUMBNAIL)
        clip = QPainterPath()
        clip.addRoundedRect(box, 5, 5)
        painter.save()
        painter.setClipPath(clip)
        if picture is None:
            painter.fillRect(box, QColor(128, 128, 128, 60))
        else:
            painter.drawPixmap(box, picture, QRectF(picture.rect()))
        painter.restore()
        if option.state & QStyle.StateFlag.State_Selected:
            painter.setPen(QPen(option.palette.highlight().color().lighter(140), 3))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(box.adjusted(-1.5, -1.5, 1.5, 1.5), 6, 6)
        self._caption(painter, option, card, box)
        if card.verdict is not None:
            _mark(painter, card.verdict, box)
        painter.restore()

    @staticmethod
    def _caption(painter: QPainter, option: QStyleOptionViewItem, card: Card, box: QRectF) -> None:
        line = QRectF(box.left(), box.bottom() + 1, box.width(), _CAPTION)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(card.color))
        painter.drawRoundedRect(QRectF(line.left() + 1, line.center().y() - 4, 8, 8), 2, 2)
        painter.setPen(option.palette.text().color())
        text = line.adjusted(14, 0, 0, 0)
        short = painter.fontMetrics().elidedText(
            card.caption, Qt.TextElideMode.ElideRight, int(text.width())
        )
        painter.drawText(text, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, short)


def _mark(painter: QPainter, verdict: Verdict, box: QRectF) -> None:
    """Draw a round badge: a tick for accepted, a cross for rejected, distinct by shape too."""
    badge = QRectF(box.right() - 23, box.top() + 3, 20, 20)
    painter.setPen(QPen(QColor("white"), 1.5))
    painter.setBrush(QColor(VERDICT_COLORS[verdict]))
    painter.drawEllipse(badge)
    painter.setPen(QPen(QColor("white"), 2.2, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
    x, y = badge.center().x(), badge.center().y()
    if verdict is Verdict.ACCEPTED:
        path = QPainterPath()
        path.moveTo(x - 4.5, y)
        path.lineTo(x - 1.2, y + 3.5)
        path.lineTo(x + 4.8, y - 3.8)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawPath(path)
    else:
        painter.drawLine(int(x - 4), int(y - 4), int(x + 4), int(y + 4))
        painter.drawLine(int(x - 4), int(y + 4), int(x + 4), int(y - 4))
