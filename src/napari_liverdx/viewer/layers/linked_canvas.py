"""A second canvas on the same slide that looks where the first one looks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from napari.components import ViewerModel
from napari.layers import Image
from napari.qt import QtViewer

from napari_liverdx.session.compare import Side
from napari_liverdx.viewer.layers.camera import camera_of
from napari_liverdx.viewer.layers.swipe import B_COLOR, side_layer

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["LinkedCanvas"]

_SHARED = ("name", "rgb", "multiscale", "contrast_limits", "scale", "translate", "units")


class LinkedCanvas:
    """A canvas below the first with the slide and one side's map; both move together.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer whose window gets the canvas.
    reference : Image
        The slide's layer in it.
    side : Side
        What the second canvas shows.
    title : str
        Of the second canvas.
    closed : callable
        Called when the person closes the second canvas.
    """

    def __init__(
        self,
        viewer: Viewer,
        reference: Image,
        side: Side,
        title: str,
        closed: Callable[[], None],
    ) -> None:
        self._viewer, self._closed = viewer, closed
        self._busy = False
        self.model = ViewerModel(title=title)
        canvas = QtViewer(self.model)
        canvas.setMinimumHeight(200)
        # The arrays are shared, not the layer: a layer belongs to one viewer.
        shown = {name: getattr(reference, name) for name in _SHARED}
        self.model.add_layer(Image(reference.data, **shown))
        self.layer = side_layer(side, reference, "B", B_COLOR)
        self.model.add_layer(self.layer)
        self.dock = viewer.window.add_dock_widget(canvas, name=title, area="bottom")
        self._cameras: tuple[Any, ...] = (camera_of(viewer), camera_of(self.model))
        self._copy(*self._cameras)
        for camera in self._cameras:
            camera.events.center.connect(self._follow)
            camera.events.zoom.connect(self._follow)
        self.dock.destroyed.connect(self._on_destroyed)

    def set_threshold(self, value: float) -> None:
        """Draw only probabilities from ``value`` on."""
        self.layer.contrast_limits = (min(value, 0.999), 1.0)

    def _follow(self, event: Any) -> None:
        if self._busy or not self._cameras:
            return
        first, second = self._cameras
        self._copy(*((second, first) if event.source is second else (first, second)))

    def _copy(self, source: Any, target: Any) -> None:
        self._busy = True
        try:
            target.center = tuple(source.center)
            target.zoom = source.zoom
        finally:
            self._busy = False

    def _release(self) -> None:
        for camera in self._cameras:
            camera.events.center.disconnect(self._follow)
            camera.events.zoom.disconnect(self._follow)
        self._cameras = ()
        self.model.layers.clear()

    def _on_destroyed(self) -> None:
        if self._cameras:
            self._release()
            self._closed()

    def close(self) -> None:
        """Take the canvas away; calling it again does nothing."""
        if not self._cameras:
            return
        self._release()
        # The window, and the canvas with it, may be gone already.
        with suppress(RuntimeError, LookupError):
            self.dock.destroyOnClose()
