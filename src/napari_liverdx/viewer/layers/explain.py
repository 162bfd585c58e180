"""What an explanation puts over the slide: an outline of its tile, and its maps on request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Layer, Vectors
from napari.utils.colormaps import Colormap

from napari_liverdx.core.colormaps import CIVIDIS, INFERNO, table_rgb
from napari_liverdx.core.geometry import Rect
from napari_liverdx.inference.explain import Explanation
from napari_liverdx.viewer.layers.base import on_slide, placement
from napari_liverdx.viewer.layers.camera import place_of

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["ExplainLayers"]

_OUTLINE_COLOR = "#ffd60a"
_THIN = 80
"""The outline's width is the tile's side by this."""


class ExplainLayers:
    """Layers over one slide that belong to the explained tile.

    The outline is a Vectors layer, not Shapes, so that nothing takes it for a drawn region.
    Layers are replaced from tile to tile and never become the selected layer.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self.outline: Vectors | None = None
        self.maps: tuple[Image, ...] = ()

    def show_outline(self, rect: Rect, reference: Image) -> None:
        """Outline a tile, and take away the maps of the tile before."""
        self.hide_maps()
        corners = place_of(reference, rect)
        side = float(np.ptp(corners, axis=0).min())
        sides = np.roll(corners, -1, axis=0) - corners
        # Each side reaches on by half the width, so that corners are square.
        reach = sides / np.linalg.norm(sides, axis=1, keepdims=True) * side / _THIN / 2
        data = np.stack([corners - reach, sides + 2 * reach], axis=1)
        if self.outline is not None and self.outline in self._viewer.layers:
            self.outline.data, self.outline.edge_width = data, side / _THIN
            return
        self.outline = Vectors(
            data,
            name=f"Explained tile · {reference.name}",
            edge_color=_OUTLINE_COLOR,
            edge_width=side / _THIN,
            vector_style="line",
            units=tuple(reference.units)[-2:],
            metadata=on_slide(reference),
        )
        self._add(self.outline)

    def show_maps(self, explanation: Explanation, reference: Image) -> None:
        """Lay Grad-CAM and the map pixels over the tile, exactly."""
        self.hide_maps()
        e = explanation
        maps = []
        if e.cam is not None:
            maps.append(_map(f"Grad-CAM · {reference.name}", e.cam, e.rect, reference, INFERNO))
        if e.subtiles is not None:
            subtiles = e.subtiles[e.class_index]
            name = f"Map pixels, {e.title} · {reference.name}"
            maps.append(_map(name, subtiles, e.rect, reference, CIVIDIS))
            # Both lie on the same place: the finer stands in view first.
            maps[-1].visible = len(maps) == 1
        for layer in maps:
            self._add(layer)
        self.maps = tuple(maps)

    def hide_maps(self) -> None:
        """Take the maps away."""
        self._remove(*self.maps)
        self.maps = ()

    def remove(self) -> None:
        """Take everything away."""
        self.hide_maps()
        if self.outline is not None:
            self._remove(self.outline)
        self.outline = None

    def _add(self, layer: Layer) -> None:
        layers = self._viewer.layers
        active = layers.selection.active
        layers.append(layer)
        layers.selection.active = active

    def _remove(self, *gone: Layer) -> None:
        for layer in gone:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)


def _map(name: str, values: Any, rect: Rect, reference: Image, table: str) -> Image:
    rows, cols = values.shape
    return Image(
        values,
        name=name,
        colormap=Colormap(table_rgb(table), name=f"liverdx {name.partition(',')[0]}"),
        contrast_limits=(0, 1),
        interpolation2d="nearest",
        opacity=0.55,
        blending="translucent",
        metadata=on_slide(reference),
        **placement(reference, (rect.x, rect.y), (rect.width / cols, rect.height / rows)),
    )
