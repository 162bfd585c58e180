"""Layers to draw regions on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Shapes

from napari_liverdx.viewer.layers.slide_source import bare

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["drawing_layer"]


def drawing_layer(viewer: ViewerModel, slide_layer: Image, name: str) -> Shapes:
    """The Shapes layer called ``name``, made if need be, active and ready to draw on.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer.
    slide_layer : Image
        The slide, for unit and line width.
    name : str
        Of the layer.
    """
    if name not in viewer.layers:
        corner = np.asarray(slide_layer.extent.world)[:, -2:]
        shapes = Shapes(
            name=name,
            ndim=2,
            units=tuple(slide_layer.units)[-2:],
            edge_color="#1f6feb",
            face_color="transparent",
            edge_width=float((corner[1] - corner[0]).max()) / 300,
        )
        viewer.add_layer(shapes)
    layer: Shapes = bare(viewer.layers[name])
    layer.mode = "add_polygon_lasso"
    viewer.layers.selection.active = layer
    return layer
