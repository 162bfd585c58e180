"""The whole slide in small, with the findings on it and the part that the canvas shows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QImage, QMouseEvent, QPainter, QPaintEvent, QPen, QPixmap
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_liverdx.core.geometry import Rect

__all__ = ["Minimap"]

_HEIGHT = 125


class Minimap(QWidget):
    """A picture of the slide; a click or drag says where to look.

    Signals: ``asked(float, float)`` with x and y in level-0 pixels.
    """

    asked = Signal(float, float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._picture: QPixmap | None = None
        self._size = (1.0, 1.0)
        self._view: NDArray[np.float64] | None = None
        self._dragging = False
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(_HEIGHT)
        self.setCursor(Qt.CursorShape.CrossCursor)
        self.setToolTip("The whole slide; click or drag to look there")
        self.setAccessibleName("Overview of the slide")

    def sizeHint(self) -> QSize:
        """Return room for a picture."""
        return QSize(320, _HEIGHT)

    def show_picture(self, rgb: NDArray[np.uint8] | None, size: tuple[int, int] = (1, 1)) -> None:
        """Show a picture of the slide.

        Parameters
        ----------
        rgb : ndarray of uint8, shape (rows, columns, 3), or None
            None empties it.
        size : tuple of int
            Width and height of the slide in level-0 pixels.
        """
        if rgb is None:
            self._picture = None
        else:
            data = np.ascontiguousarray(rgb)
            rows, cols = data.shape[:2]
            image = QImage(data.data, cols, rows, 3 * cols, QImage.Format.Format_RGB888)
            self._picture = QPixmap.fromImage(image.copy())
        self._size = (float(size[0]), float(size[1]))
        self.update()

    def show_view(self, corners: NDArray[np.float64] | None) -> None:
        """Outline what the canvas shows: corners (x, y) in level-0 pixels, shape (4, 2)."""
        self._view = corners
        self.update()

    @property
    def is_empty(self) -> bool:
        """Whether there is no picture."""
        return self._picture is None

    @property
    def area(self) -> QRectF:
        """Where the picture is drawn."""
        width, height = self._size
        factor = min(self.width() / width, self.height() / height)
        w, h = factor * width, factor * height
        return QRectF((self.width() - w) / 2, (self.height() - h) / 2, w, h)

    def point_of(self, x: float, y: float) -> QPointF:
        """Return the place in the widget of a place on the slide (level-0 pixels)."""
        area = self.area
        across, down = x / self._size[0], y / self._size[1]
        return QPointF(area.left() + across * area.width(), area.top() + down * area.height())

    @property
    def view_rect(self) -> Rect | None:
        """The smallest rectangle around what the canvas shows, level-0 pixels."""
        if self._view is None:
            return None
        (x0, y0), (x1, y1) = self._view.min(axis=0), self._view.max(axis=0)
        return Rect(float(x0), float(y0), float(x1 - x0), float(y1 - y0))

    # -- events --

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw picture and outline."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        if self._picture is None:
            painter.setPen(self.palette().placeholderText().color())
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, "No slide open")
            painter.end()
            return
        area = self.area
        painter.drawPixmap(area, self._picture, QRectF(self._picture.rect()))
        if self._view is not None:
            painter.setClipRect(area.adjusted(-2, -2, 2, 2))
            corners = [self.point_of(x, y) for x, y in self._view]
            box = QRectF(corners[0], corners[2]).normalized()
            # Never so small that it cannot be seen, never outside the image.
            box = box.united(QRectF(box.center() - QPointF(4, 4), QSize(8, 8).toSizeF()))
            box = box.intersected(area.adjusted(1, 1, -1, -1))
            for color, width in ((QColor(255, 255, 255, 220), 4.0), (QColor("#1f3a93"), 2.0)):
                painter.setPen(QPen(color, width))
                painter.drawRect(box)
        painter.end()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Look there."""
        self._dragging = True
        self._ask(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Look along while the button is held."""
        if self._dragging:
            self._ask(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Stay there."""
        self._dragging = False

    def _ask(self, event: QMouseEvent) -> None:
        area = self.area
        if self._picture is None or area.isEmpty():
            return
        place = event.position()
        across = min(1.0, max(0.0, (place.x() - area.left()) / area.width()))
        down = min(1.0, max(0.0, (place.y() - area.top()) / area.height()))
        self.asked.emit(across * self._size[0], down * self._size[1])
        event.accept()
