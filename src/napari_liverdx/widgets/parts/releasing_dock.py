"""Docks that stop what they do when they leave their window."""

from __future__ import annotations

from qtpy.QtCore import QEvent
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QWidget

__all__ = ["ReleasableDock"]


class ReleasableDock(QWidget):
    """A dock's content that is released when it is closed or taken out of its window."""

    def release(self) -> None:
        """Stop what runs and let go of the viewer; calling it again does nothing."""

    def event(self, event: QEvent) -> bool:
        """Let go when napari takes the dock out of its window."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.release()
        return bool(super().event(event))

    def closeEvent(self, event: QCloseEvent) -> None:
        """Stop what runs before the window goes."""
        self.release()
        super().closeEvent(event)
