"""Where the camera looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image

from napari_liverdx.core.geometry import Rect

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["camera_of", "canvas_size", "fly_to", "look_at", "place_of"]


def camera_of(viewer: ViewerModel) -> Any:
    """Return the camera; it moved to the scene in napari 0.9."""
    return getattr(viewer, "scene", viewer).camera


def canvas_size(viewer: ViewerModel) -> tuple[float, float]:
    """Return the canvas's height and width in screen pixels; public since napari 0.9."""
    size = viewer.canvas.size if hasattr(viewer, "canvas") else viewer._canvas_size
    height, width = size
    return float(height), float(width)


def place_of(layer: Image, rect: Rect) -> np.ndarray:
    """Return the world corners of a rectangle of level-0 pixels, shape (4, 2), as (y, x)."""
    # A data coordinate is a pixel's center, a rectangle's corner is a pixel's edge.
    above = ((rect.y, rect.x), (rect.y, rect.right))
    corners = (*above, (rect.bottom, rect.right), (rect.bottom, rect.x))
    return np.array([layer.data_to_world(np.subtract(c, 0.5))[-2:] for c in corners])


def fly_to(viewer: ViewerModel, layer: Image, rect: Rect, *, margin: float = 3.0) -> None:
    """Look at a rectangle of a slide.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer.
    layer : Image
        The slide's layer.
    rect : Rect
        Level-0 pixels.
    margin : float
        How many times the rectangle's size the canvas shows.
    """
    corners = place_of(layer, rect)
    extent = np.maximum(np.ptp(corners, axis=0), 1e-9)
    camera = camera_of(viewer)
    camera.center = (*camera.center[:-2], *corners.mean(axis=0))
    camera.zoom = float(np.min(np.array(canvas_size(viewer)) / extent)) / margin


def look_at(viewer: ViewerModel, layer: Image, x: float, y: float) -> None:
    """Bring a place of a slide (level-0 pixels) into the middle of the canvas."""
    camera = camera_of(viewer)
    camera.center = (*camera.center[:-2], *layer.data_to_world((y - 0.5, x - 0.5))[-2:])
