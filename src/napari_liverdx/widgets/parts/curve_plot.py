"""Live training curves."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPalette, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_liverdx.training.config import EpochResult

__all__ = ["CurvePlot"]

_MARGIN = {"left": 44, "right": 10, "top": 24, "bottom": 22}
# Okabe & Ito 2008, lightened a little so that both are read on dark and on light grounds.
_TRAIN, _VAL = QColor("#4aa3df"), QColor("#e8804a")


class CurvePlot(QWidget):
    """One or two quantities by epoch, drawn in the colors of the window.

    Parameters
    ----------
    title : str
        Above the plot.
    fields : sequence of (str, str)
        Attribute of `EpochResult` and its name in the legend; two at most.
    bounds : (float, float), optional
        Of the vertical axis; fitted to the values otherwise.
    """

    def __init__(
        self,
        title: str,
        fields: Sequence[tuple[str, str]],
        bounds: tuple[float, float] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.title, self.fields, self.bounds = title, tuple(fields), bounds
        self.epochs: list[EpochResult] = []
        self.total = 1
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMinimumHeight(150)

    def sizeHint(self) -> QSize:
        """Return room for a legible plot."""
        return QSize(320, 150)

    def show_epochs(self, epochs: Sequence[EpochResult], total: int) -> None:
        """Draw these epochs on an axis of ``total``."""
        self.epochs, self.total = list(epochs), max(1, total)
        self.setAccessibleDescription(self.describe())
        self.update()

    def describe(self) -> str:
        """Describe the last epoch in words."""
        if not self.epochs:
            return f"{self.title}: no epoch yet"
        last = self.epochs[-1]
        values = ", ".join(f"{name} {getattr(last, field):.3f}" for field, name in self.fields)
        return f"{self.title}, epoch {last.epoch}: {values}"

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw axes, legend and lines."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ink = self.palette().color(QPalette.ColorRole.WindowText)
        faint = QColor(ink)
        faint.setAlpha(60)
        area = QRectF(
            _MARGIN["left"],
            _MARGIN["top"],
            self.width() - _MARGIN["left"] - _MARGIN["right"],
            self.height() - _MARGIN["top"] - _MARGIN["bottom"],
        )
        low, high = self._bounds()
        self._draw_axes(painter, area, low, high, ink, faint)
        self._draw_kept(painter, area, faint)
        for (field, _), color in zip(self.fields, self._colors(), strict=False):
            self._draw_line(painter, area, field, color, low, high)
        painter.end()

    def _colors(self) -> tuple[QColor, ...]:
        return (_TRAIN, _VAL) if len(self.fields) > 1 else (_VAL,)

    def _bounds(self) -> tuple[float, float]:
        if self.bounds is not None:
            return self.bounds
        values = [
            v for e in self.epochs for f, _ in self.fields if math.isfinite(v := getattr(e, f))
        ]
        if not values:
            return 0.0, 1.0
        return 0.0, 1.1 * max(values) or 1.0

    def _place(self, area: QRectF, epoch: float, value: float, low: float, high: float) -> QPointF:
        across = (epoch - 1) / max(1, self.total - 1)
        up = (value - low) / (high - low)
        return QPointF(area.left() + across * area.width(), area.bottom() - up * area.height())

    def _draw_axes(
        self,
        painter: QPainter,
        area: QRectF,
        low: float,
        high: float,
        ink: QColor,
        faint: QColor,
    ) -> None:
        painter.setPen(ink)
        painter.drawText(QPointF(4, 15), self.title)
        x = self.width() - _MARGIN["right"]
        if len(self.fields) > 1:
            for (_, name), color in reversed(list(zip(self.fields, self._colors(), strict=True))):
                x -= painter.fontMetrics().horizontalAdvance(name)
                painter.setPen(color)
                painter.drawText(QPointF(x, 15), name)
                x -= 12
        for step in range(3):
            value = low + (high - low) * step / 2
            y = self._place(area, 1, value, low, high).y()
            painter.setPen(QPen(faint, 1))
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            painter.setPen(ink)
            box = QRectF(0, y - 8, area.left() - 6, 16)
            right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            painter.drawText(box, right, f"{value:.2f}")
        painter.drawText(QPointF(area.left(), self.height() - 6), "1")
        end = f"epoch {self.total}"
        width = painter.fontMetrics().horizontalAdvance(end)
        painter.drawText(QPointF(area.right() - width, self.height() - 6), end)

    def _draw_kept(self, painter: QPainter, area: QRectF, faint: QColor) -> None:
        kept = [e.epoch for e in self.epochs if e.best]
        if kept:
            x = self._place(area, kept[-1], 0, 0, 1).x()
            painter.setPen(QPen(faint, 1, Qt.PenStyle.DashLine))
            painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))

    def _draw_line(
        self,
        painter: QPainter,
        area: QRectF,
        field: str,
        color: QColor,
        low: float,
        high: float,
    ) -> None:
        points = [
            self._place(area, e.epoch, value, low, high)
            for e in self.epochs
            if math.isfinite(value := getattr(e, field))
        ]
        painter.setPen(QPen(color, 2))
        painter.drawPolyline(QPolygonF(points))
        painter.setBrush(color)
        for point in points:
            painter.drawEllipse(point, 2.5, 2.5)
        painter.setBrush(Qt.BrushStyle.NoBrush)
