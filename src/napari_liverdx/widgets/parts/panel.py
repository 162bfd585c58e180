"""Small pieces the panels share."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

__all__ = ["Panel", "fill_dock", "halt", "quiet_label", "scroll_column", "set_tone", "swatch"]


class Panel(QFrame):
    """A titled group of the dock."""

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.body = QVBoxLayout(self)
        self.body.setContentsMargins(0, 2, 0, 8)
        self.body.setSpacing(6)
        heading = QLabel(title)
        font = heading.font()
        font.setBold(True)
        heading.setFont(font)
        self.body.addWidget(heading)


def scroll_column(panels: Sequence[QWidget], grow: QWidget | None = None) -> QScrollArea:
    """Stack panels below each other that scroll when there is too little room.

    Parameters
    ----------
    panels : sequence of QWidget
        From top to bottom.
    grow : QWidget, optional
        The panel that takes the room that is left; empty space does otherwise.
    """
    content = QWidget()
    column = QVBoxLayout(content)
    column.setContentsMargins(8, 8, 8, 8)
    column.setSpacing(4)
    for panel in panels:
        column.addWidget(panel, int(panel is grow))
    if grow is None:
        column.addStretch(1)
    scroll = QScrollArea()
    scroll.setWidgetResizable(True)
    scroll.setFrameShape(QFrame.Shape.NoFrame)
    scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    scroll.setWidget(content)
    return scroll


def fill_dock(
    dock: QWidget, parts: Sequence[QWidget], notice: str, beside: QWidget | None = None
) -> None:
    """Put parts below each other into a dock, the last of them tall, with a notice at its foot.

    Parameters
    ----------
    dock : QWidget
        Has no layout yet.
    parts : sequence of QWidget
        From top to bottom.
    notice : str
        At the foot.
    beside : QWidget, optional
        At the right of the notice.
    """
    footer = QLabel(notice)
    footer.setAlignment(Qt.AlignmentFlag.AlignCenter)
    footer.setEnabled(False)
    foot = QHBoxLayout()
    foot.setContentsMargins(8, 0, 8, 0)
    foot.addWidget(footer, 1)
    if beside is not None:
        foot.addWidget(beside)
    layout = QVBoxLayout(dock)
    layout.setContentsMargins(0, 0, 0, 4)
    for part in parts:
        layout.addWidget(part)
    layout.setStretch(len(parts) - 1, 1)
    layout.addLayout(foot)
    dock.setMinimumWidth(360)


def halt(timer: QTimer) -> None:
    """Stop a timer; it belongs to the window and may be gone with it."""
    with suppress(RuntimeError):
        timer.stop()


def quiet_label(text: str = "", *, rich: bool = False) -> QLabel:
    """Build a label that wraps and can be copied from.

    Parameters
    ----------
    text : str
        What it says first.
    rich : bool
        Whether texts are HTML, in which what comes from files is escaped; plain text otherwise,
        whatever it looks like.
    """
    label = QLabel(text)
    label.setTextFormat(Qt.TextFormat.RichText if rich else Qt.TextFormat.PlainText)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    return label


def set_tone(label: QLabel, tone: str) -> None:
    """Color a label: ``"plain"``, ``"warning"`` or ``"error"``; readable in both themes."""
    colors = {"plain": "", "warning": "color: #d98e04;", "error": "color: #e5484d;"}
    label.setStyleSheet(colors[tone])


def swatch(color: str, size: int = 12) -> QIcon:
    """Draw a rounded square of one color."""
    pixmap = QPixmap(size, size)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setBrush(QColor(color))
    painter.setPen(Qt.PenStyle.NoPen)
    painter.drawRoundedRect(0, 0, size, size, 3, 3)
    painter.end()
    return QIcon(pixmap)
