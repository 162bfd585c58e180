"""Two probability maps over one slide, left and right of a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Shapes
from napari.utils.colormaps import Colormap, DirectLabelColormap
from numpy.typing import NDArray

from napari_liverdx.core.colormaps import rgb
from napari_liverdx.results.view_state import ViewState
from napari_liverdx.session.compare import BOTH, ONLY_A, ONLY_B, Comparison, Side
from napari_liverdx.viewer.layers.base import on_slide, placement, probability_layer
from napari_liverdx.viewer.layers.camera import camera_of, canvas_size

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = [
    "A_COLOR",
    "BOTH_COLOR",
    "B_COLOR",
    "COMPARE_KEY",
    "Swipe",
    "difference_layer",
    "side_layer",
]

COMPARE_KEY = "liverdx_compare"
A_COLOR, B_COLOR, BOTH_COLOR = "#e69f00", "#56b4e9", "#009e73"
"""Okabe & Ito 2008: told apart with every kind of color vision."""


def side_layer(side: Side, reference: Image, letter: str, color: str) -> Image:
    """Build the map of one side in the side's color, with pixels of its own."""
    index = side.store.manifest.scheme.index(side.class_name)
    layer = probability_layer(side.store, index, reference, side.threshold, ViewState(opacity=0.65))
    layer.data = layer.data.copy()
    layer.colormap = _side_colormap(color)
    layer.name = f"{letter} · {reference.name}"
    layer.metadata = on_slide(reference, **{COMPARE_KEY: letter})
    return layer


def _side_colormap(color: str) -> Colormap:
    side = rgb(color)
    return Colormap(
        [[*side, 0.4], [*side, 1.0]],
        name=f"liverdx side {color}",
        low_color=(0, 0, 0, 0),
        nan_color=(0, 0, 0, 0),
    )


def difference_layer(comparison: Comparison, a: Side, reference: Image) -> Labels:
    """Build a layer of where only A, only B and both count."""
    layer = Labels(
        comparison.where,
        name=f"A and B · {reference.name}",
        opacity=0.6,
        metadata=on_slide(reference, **{COMPARE_KEY: "difference"}),
        **placement(reference, a.store.origin, a.store.subtile_size),
    )
    nothing = (0, 0, 0, 0)
    colors = {None: nothing, 0: nothing, BOTH: BOTH_COLOR, ONLY_A: A_COLOR, ONLY_B: B_COLOR}
    layer.colormap = DirectLabelColormap(color_dict=colors)
    layer.editable = False
    return layer


class Swipe:
    """A left of a line, B right of it; the line is moved by `move` or dragged on the canvas.

    The line keeps its place on the screen while the camera moves.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer.
    reference : Image
        The slide's layer.
    a, b : Side
        What is compared.
    moved : callable
        Told the new position, 0 (left) to 1 (right) of the canvas, when the line was dragged.
    """

    def __init__(self, viewer: ViewerModel, reference: Image, a: Side, b: Side, moved: Any) -> None:
        self._viewer, self._reference, self._moved = viewer, reference, moved
        self.layers = (
            side_layer(a, reference, "A", A_COLOR),
            side_layer(b, reference, "B", B_COLOR),
        )
        self._whole: tuple[NDArray[np.float32], ...] = tuple(
            np.array(layer.data) for layer in self.layers
        )
        self._places = tuple(
            np.array([layer.data_to_world((0, c))[-1] for c in range(whole.shape[1])])
            for layer, whole in zip(self.layers, self._whole, strict=True)
        )
        self.position = 0.5
        self.line = Shapes(
            [self._line()],
            shape_type="line",
            edge_color="#1b1b3a",
            name=f"Swipe · {reference.name}",
            units=tuple(reference.units)[-2:],
            metadata=on_slide(reference, **{COMPARE_KEY: "line"}),
        )
        for layer in self.layers:
            viewer.add_layer(layer)
        viewer.add_layer(self.line)
        self.line.editable = False
        viewer.layers.selection.active = reference
        viewer.mouse_drag_callbacks.append(self._drag)
        self._camera = camera_of(viewer)
        self._camera.events.center.connect(self._follow)
        self._camera.events.zoom.connect(self._follow)
        self._follow()

    def _view(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return upper left and lower right of what the canvas shows, world coordinates (y, x)."""
        camera = camera_of(self._viewer)
        half = np.asarray(canvas_size(self._viewer)) / camera.zoom / 2
        center = np.asarray(camera.center[-2:])
        return center - half, center + half

    def _line(self) -> NDArray[np.float64]:
        (top, left), (bottom, right) = self._view()
        x = left + self.position * (right - left)
        return np.array([[top, x], [bottom, x]])

    def move(self, position: float) -> None:
        """Put the line at a share of the canvas' width."""
        self.position = min(1.0, max(0.0, position))
        self._follow()

    def _follow(self, event: Any = None) -> None:
        line = self._line()
        self.line.data = [line]
        # Three screen pixels wide at every zoom.
        self.line.edge_width = [3 / camera_of(self._viewer).zoom]
        parts = zip(self.layers, self._whole, self._places, (True, False), strict=True)
        for layer, whole, places, left in parts:
            shown = places < line[0, 1] if left else places >= line[0, 1]
            layer.data[...] = np.where(shown[None, :], whole, np.nan)
            layer.refresh()

    def set_threshold(self, letter: str, value: float) -> None:
        """Move the threshold of A or B."""
        layer = self.layers["AB".index(letter)]
        layer.contrast_limits = (min(value, 0.999), 1.0)

    def _drag(self, viewer: Any, event: Any) -> Any:
        near = abs(event.position[-1] - self._line()[0, 1])
        # Ten screen pixels to either side.
        if near * camera_of(self._viewer).zoom > 10:
            return
        yield
        while event.type == "mouse_move":
            event.handled = True
            (_, left), (_, right) = self._view()
            self._moved((event.position[-1] - left) / (right - left))
            yield

    def remove(self) -> None:
        """Take layers and callback away; calling it again does nothing."""
        if self._drag in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._drag)
            self._camera.events.center.disconnect(self._follow)
            self._camera.events.zoom.disconnect(self._follow)
        for layer in (*self.layers, self.line):
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
