"""A page of the dock."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_liverdx.widgets.parts.panel import scroll_column

if TYPE_CHECKING:
    from napari_liverdx.widgets.main.controller import DockController

__all__ = ["Tab"]


class Tab(QWidget):
    """Panels below each other that scroll; it shows state and emits intentions.

    Parameters
    ----------
    controller : DockController
        The dock's logic: viewer, slide, shown result, workers.

    Attributes
    ----------
    key : str
        By which it is asked for.
    title : str
        On the tab.
    tip : str
        What it is for.
    """

    key: ClassVar[str] = ""
    title: ClassVar[str] = ""
    tip: ClassVar[str] = ""

    def __init__(self, controller: DockController) -> None:
        super().__init__()
        self.controller = controller

    def fill(self, *panels: QWidget, grow: QWidget | None = None) -> None:
        """Put panels below each other; ``grow`` takes the room that is left."""
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._column = scroll_column(panels, grow)
        layout.addWidget(self._column)

    def reveal(self, part: QWidget) -> None:
        """Scroll so that a part of the page is seen."""
        self._column.ensureWidgetVisible(part, 0, 8)

    def release(self) -> None:
        """Stop what runs and let go of the viewer; calling it again does nothing."""
