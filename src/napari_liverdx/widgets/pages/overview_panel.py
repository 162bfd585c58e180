"""The minimap and what keeps it up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QWidget

from napari_liverdx.session.overview import draw_overview, read_overview
from napari_liverdx.slides.slide import Overview
from napari_liverdx.viewer.layers.camera import camera_of, look_at
from napari_liverdx.viewer.layers.slide_source import visible_region
from napari_liverdx.widgets.parts.minimap import Minimap
from napari_liverdx.widgets.parts.panel import Panel
from napari_liverdx.widgets.parts.workers import once

if TYPE_CHECKING:
    from napari_liverdx.widgets.main.controller import DockController

__all__ = ["OverviewPanel"]


class OverviewPanel(Panel):
    """The whole slide in small with its findings; it follows the canvas and leads it.

    Parameters
    ----------
    control : DockController
        The dock's logic.
    parent : QWidget, optional
        Qt parent.
    """

    def __init__(self, control: DockController, parent: QWidget | None = None) -> None:
        super().__init__("Overview", parent)
        self._control = control
        self._overview: Overview | None = None
        self._of: object = None
        self._reads = 0
        self.map = Minimap()
        self.map.asked.connect(self._look)
        self.body.addWidget(self.map)
        camera = camera_of(control.viewer)
        camera.events.center.connect(self._follow)
        camera.events.zoom.connect(self._follow)
        control.findings.changed.connect(self.draw)
        control.findings.filled.connect(self.draw)
        control.state.slide.events.facts.connect(self._take_slide)
        self._take_slide()

    def _take_slide(self) -> None:
        """Read the picture of a newly chosen slide, in the background."""
        slide = self._control.slide
        if slide is self._of:
            return
        self._of, self._overview = slide, None
        self._reads += 1
        number = self._reads
        self.map.show_picture(None)
        if slide is None:
            return

        def read(overview: Any) -> None:
            if number == self._reads:
                self._overview = overview
                self.draw()

        # What stands in the way of reading is told by the slide panel already.
        self._control.workers.start(once(read_overview, slide), read, lambda _: None)

    def draw(self) -> None:
        """Draw the findings anew."""
        slide, overview = self._control.slide, self._overview
        if slide is None or overview is None:
            return
        found = self._control.findings.found
        self.map.show_picture(draw_overview(overview, found), slide.size)
        self._follow()

    def _follow(self, event: Any = None) -> None:
        layer = self._control.layer
        if layer is not None and not self.map.is_empty:
            self.map.show_view(visible_region(self._control.viewer, layer)[0])

    def _look(self, x: float, y: float) -> None:
        if self._control.layer is not None:
            look_at(self._control.viewer, self._control.layer, x, y)

    def release(self) -> None:
        """Let go of the camera; calling it again does nothing."""
        self._reads += 1
        if self._of is not self:
            self._of = self
            camera = camera_of(self._control.viewer)
            camera.events.center.disconnect(self._follow)
            camera.events.zoom.disconnect(self._follow)
            self._control.state.slide.events.facts.disconnect(self._take_slide)
