"""The little pictures of an explained tile, with captions and their scales."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QHelpEvent, QImage, QPainter, QPaintEvent, QPalette, QPixmap, QResizeEvent
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_liverdx.inference.explain_sheet import Picture, Scale, scales_of

__all__ = ["TileView", "qimage"]

_GAP, _CAPTION, _BAR = 10, 20, 10
_WIDEST = 260


def qimage(pixels: NDArray[np.uint8]) -> QImage:
    """Copy a picture for Qt; ``pixels`` are RGB, shape (h, w, 3)."""
    kept = np.ascontiguousarray(pixels)
    height, width = kept.shape[:2]
    return QImage(kept.data, width, height, 3 * width, QImage.Format.Format_RGB888).copy()


class TileView(QWidget):
    """Pictures in two columns; what their colors mean stands after the last one."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._pictures: list[Picture] = []
        self._shown: list[QPixmap] = []
        self._scales: list[Scale] = []
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.setVisible(False)

    def show_pictures(self, pictures: Sequence[Picture]) -> None:
        """Show these; none hides the view."""
        self._pictures = list(pictures)
        self._shown = [QPixmap.fromImage(qimage(p.pixels)) for p in pictures]
        self._scales = scales_of(pictures)
        self.setVisible(bool(pictures))
        self.setAccessibleDescription("; ".join(f"{p.caption}: {p.about}" for p in pictures))
        self.setFixedHeight(self._height(self.width()))
        self.update()

    def sizeHint(self) -> QSize:
        """Return room for two pictures."""
        return QSize(320, self._height(320))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep pictures square."""
        super().resizeEvent(event)
        self.setFixedHeight(self._height(self.width()))

    def _height(self, width: int) -> int:
        rows = -(-(len(self._pictures) + bool(self._scales)) // 2)
        return int(rows * (self._side(width) + _CAPTION + _GAP))

    def _side(self, width: int) -> int:
        return max(40, min(_WIDEST, (width - _GAP) // 2))

    def place(self, position: int) -> QRectF:
        """Return where picture ``position`` stands; the scales take the place after the last."""
        side = self._side(self.width())
        row, col = divmod(position, 2)
        return QRectF(col * (side + _GAP), row * (side + _CAPTION + _GAP), side, side)

    def event(self, event: QEvent) -> bool:
        """Say what a picture shows when the pointer rests on it."""
        if isinstance(event, QHelpEvent):
            under = [
                p.about
                for n, p in enumerate(self._pictures)
                if self.place(n).contains(QPointF(event.pos()))
            ]
            tip = f"<p>{escape(under[0])}</p>" if under else ""
            QToolTip.showText(event.globalPos(), tip, self)
            return True
        return bool(super().event(event))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw pictures, captions and scales in the colors of the window."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        ink = self.palette().color(QPalette.ColorRole.WindowText)
        painter.setPen(ink)
        for n, (picture, shown) in enumerate(zip(self._pictures, self._shown, strict=True)):
            box = self.place(n)
            painter.drawPixmap(box, shown, QRectF(shown.rect()))
            under = QRectF(box.left(), box.bottom() + 2, box.width(), _CAPTION - 2)
            self._write(painter, under, picture.caption, Qt.AlignmentFlag.AlignLeft)
        if self._scales:
            self._draw_scales(painter, self.place(len(self._pictures)))
        painter.end()

    def _draw_scales(self, painter: QPainter, box: QRectF) -> None:
        line = painter.fontMetrics().height()
        step = 2 * line + _BAR + 12
        for n, scale in enumerate(self._scales):
            top = box.top() + n * step
            label = QRectF(box.left(), top, box.width(), line)
            self._write(painter, label, scale.label, Qt.AlignmentFlag.AlignLeft)
            bar = QRectF(box.left(), top + line + 2, box.width(), _BAR)
            painter.drawImage(bar, qimage(scale.bar()))
            ends = QRectF(box.left(), bar.bottom() + 1, box.width(), line)
            self._write(painter, ends, scale.low, Qt.AlignmentFlag.AlignLeft)
            self._write(painter, ends, scale.high, Qt.AlignmentFlag.AlignRight)

    @staticmethod
    def _write(painter: QPainter, box: QRectF, text: str, side: Qt.AlignmentFlag) -> None:
        short = painter.fontMetrics().elidedText(
            text, Qt.TextElideMode.ElideRight, int(box.width())
        )
        painter.drawText(box, side | Qt.AlignmentFlag.AlignVCenter, short)
