"""How the probabilities are distributed, with the threshold to drag."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPalette, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_liverdx.core.measure import Histogram

__all__ = ["HistogramPlot"]

_MARGIN = {"left": 8, "right": 8, "top": 18, "bottom": 20}
_LOWEST, _HIGHEST = 0.01, 0.99
_STEPS = {Qt.Key.Key_Left: -0.01, Qt.Key.Key_Right: 0.01}


class HistogramPlot(QWidget):
    """Bars by probability; the line is the threshold, moved by mouse or arrow keys.

    Heights are square roots of the counts, so that the few map pixels between two peaks stay
    visible.

    Signals: ``threshold_moved(float)``.
    """

    threshold_moved = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._histogram: Histogram | None = None
        self._color = QColor("#4aa3df")
        self.threshold = 0.5
        self._dragging = False
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(130)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Histogram of probabilities")
        self.setToolTip("Drag the line, or use the arrow keys, to move the threshold")

    def sizeHint(self) -> QSize:
        """Return room for legible bars."""
        return QSize(320, 130)

    def show_histogram(self, histogram: Histogram | None, color: str, threshold: float) -> None:
        """Draw a class's probabilities in its color, and its threshold."""
        self._histogram, self._color, self.threshold = histogram, QColor(color), threshold
        self.setCursor(
            Qt.CursorShape.ArrowCursor if histogram is None else Qt.CursorShape.SplitHCursor
        )
        self.setAccessibleDescription(self.describe())
        self.update()

    def describe(self) -> str:
        """Describe the histogram in words."""
        if self._histogram is None or not self._histogram.total:
            return "Nothing was analyzed yet"
        above = self._histogram.counts[self._histogram.edges[:-1] >= self.threshold - 1e-9].sum()
        share = 100 * above / self._histogram.total
        return f"About {share:.0f} % of the map pixels reach the threshold {self.threshold:.2f}"

    @property
    def area(self) -> QRectF:
        """Where the bars are drawn."""
        width = self.width() - _MARGIN["left"] - _MARGIN["right"]
        height = self.height() - _MARGIN["top"] - _MARGIN["bottom"]
        return QRectF(_MARGIN["left"], _MARGIN["top"], width, height)

    def x_of(self, probability: float) -> float:
        """Return where a probability lies, in pixels from the left."""
        return self.area.left() + probability * self.area.width()

    # -- drawing --

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw bars, axis and threshold."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ink = self.palette().color(QPalette.ColorRole.WindowText)
        area = self.area
        self._draw_axis(painter, area, ink)
        if self._histogram is None or not self._histogram.total:
            painter.setPen(self.palette().color(QPalette.ColorRole.PlaceholderText))
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter, "Nothing analyzed yet")
            painter.end()
            return
        self._draw_bars(painter, area, self._histogram)
        self._draw_threshold(painter, area, ink)
        painter.end()

    def _draw_axis(self, painter: QPainter, area: QRectF, ink: QColor) -> None:
        faint = QColor(ink)
        faint.setAlpha(70)
        painter.setPen(QPen(faint, 1))
        painter.drawLine(area.bottomLeft(), area.bottomRight())
        painter.setPen(ink)
        for value in (0.0, 0.25, 0.5, 0.75, 1.0):
            x = self.x_of(value)
            text = f"{value:g}"
            width = painter.fontMetrics().horizontalAdvance(text)
            left = min(max(x - width / 2, 0), self.width() - width)
            painter.drawText(QPointF(left, self.height() - 5), text)

    def _draw_bars(self, painter: QPainter, area: QRectF, histogram: Histogram) -> None:
        heights = np.sqrt(histogram.counts)
        heights = heights / heights.max() * (area.height() - 2)
        faint = QColor(self._color)
        faint.setAlpha(90)
        painter.setPen(Qt.PenStyle.NoPen)
        edges = histogram.edges
        for height, low, high in zip(heights, edges[:-1], edges[1:], strict=True):
            # A bar that the threshold cuts is drawn in both colors.
            for start, end, color in (
                (low, min(high, self.threshold), faint),
                (max(low, self.threshold), high, self._color),
            ):
                if end > start and height > 0:
                    left, right = self.x_of(start), self.x_of(end)
                    painter.setBrush(color)
                    gap = 1.0 if end == high else 0.0
                    top = area.bottom() - height
                    painter.drawRect(QRectF(left, top, max(0.5, right - left - gap), height))

    def _draw_threshold(self, painter: QPainter, area: QRectF, ink: QColor) -> None:
        x = self.x_of(self.threshold)
        painter.setPen(QPen(ink, 3.0 if self.hasFocus() else 2.0))
        painter.drawLine(QPointF(x, area.top() - 2), QPointF(x, area.bottom() + 2))
        text = f"{self.threshold:.2f}"
        width = painter.fontMetrics().horizontalAdvance(text)
        left = min(max(x - width / 2, 0), self.width() - width)
        painter.drawText(QPointF(left, area.top() - 5), text)

    # -- moving the threshold --

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take the threshold to the cursor."""
        self._dragging = True
        self._move_to(event.position().x())
        event.accept()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Drag the threshold."""
        if self._dragging:
            self._move_to(event.position().x())
            event.accept()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let go of the threshold."""
        self._dragging = False

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move by a hundredth with the arrow keys."""
        step = _STEPS.get(Qt.Key(event.key()))
        if step is None:
            super().keyPressEvent(event)
            return
        self._move(self.threshold + step)
        event.accept()

    def _move_to(self, x: float) -> None:
        self._move((x - self.area.left()) / max(1.0, self.area.width()))

    def _move(self, value: float) -> None:
        if self._histogram is None:
            return
        value = round(min(_HIGHEST, max(_LOWEST, value)), 2)
        if value != self.threshold:
            self.threshold = value
            self.update()
            self.threshold_moved.emit(value)
