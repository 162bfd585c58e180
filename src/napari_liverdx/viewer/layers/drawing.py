"""Layers to draw regions on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Shapes

from napari_liverdx.viewer.layers.base import SLIDE_ID_KEY, on_slide, slide_id
from napari_liverdx.viewer.layers.slide_source import bare

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["DRAWING_KEY", "drawing_layer", "find_drawing"]

DRAWING_KEY = "liverdx_drawing"
"""Metadata of a layer to draw regions on: what they are for."""


def find_drawing(viewer: ViewerModel, use: str, slide_layer: Image | None = None) -> Shapes | None:
    """Return the layer of regions for a use, whatever its name; None if there is none.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer.
    use : str
        What the regions are for.
    slide_layer : Image, optional
        Only regions of this slide.
    """
    wanted: dict[str, Any] = {DRAWING_KEY: use}
    if slide_layer is not None:
        wanted[SLIDE_ID_KEY] = slide_id(slide_layer)
    for layer in map(bare, viewer.layers):
        if isinstance(layer, Shapes) and wanted.items() <= _plain(layer).items():
            return layer
    return None


def _plain(layer: Shapes) -> dict[str, Any]:
    return {key: layer.metadata.get(key) for key in (DRAWING_KEY, SLIDE_ID_KEY)}


def drawing_layer(
    viewer: ViewerModel, slide_layer: Image, name: str, use: str, *, of_slide: bool = False
) -> Shapes:
    """Return a Shapes layer to draw regions on, made if need be, active and ready.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer.
    slide_layer : Image
        The slide, for unit and line width.
    name : str
        Of a new layer.
    use : str
        What the regions are for.
    of_slide : bool
        Whether each slide has regions of its own.
    """
    layer = find_drawing(viewer, use, slide_layer if of_slide else None)
    if layer is None:
        corner = np.asarray(slide_layer.extent.world)[:, -2:]
        layer = Shapes(
            name=name,
            ndim=2,
            units=tuple(slide_layer.units)[-2:],
            edge_color="#1f6feb",
            face_color="transparent",
            edge_width=float((corner[1] - corner[0]).max()) / 300,
            metadata={DRAWING_KEY: use, **(on_slide(slide_layer) if of_slide else {})},
        )
        viewer.add_layer(layer)
    layer.mode = "add_polygon_lasso"
    viewer.layers.selection.active = layer
    return layer
