"""The slide behind a layer, whoever opened it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pint
from napari.layers import Image, Shapes
from numpy.typing import NDArray

from napari_liverdx.core.errors import LiverDxError, MppError, PlanError
from napari_liverdx.core.geometry import ellipse_corners
from napari_liverdx.core.resolution import Level, Mpp
from napari_liverdx.slides.backend import IN_MEMORY, SlideInfo
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.pixels import to_rgb8
from napari_liverdx.slides.slide import Slide
from napari_liverdx.viewer.layers.base import SLIDE_KEY
from napari_liverdx.viewer.layers.camera import camera_of, canvas_size

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = [
    "bare",
    "is_slide_layer",
    "named_regions",
    "regions_from_shapes",
    "slide_of_layer",
    "visible_region",
]

_BLOCK = 1024


def is_slide_layer(layer: Any) -> bool:
    """Return whether a layer can be analyzed: a two-dimensional RGB image."""
    return isinstance(layer, Image) and layer.rgb and layer.ndim == 2


def bare(layer: Any) -> Any:
    """Return the layer itself, where napari gave a proxy that shows plugins its public names."""
    return getattr(layer, "__wrapped__", layer)


def slide_of_layer(layer: Image) -> Slide:
    """Return the slide a layer shows, opened if need be and kept with the layer.

    A layer of this plugin carries its slide. For a layer of another reader the file is opened
    directly where this plugin reads it and finds the same size, since that is faster; else the
    layer's own arrays are read.

    Raises
    ------
    NotASlideError
        If the layer's pixels are not 8- or 16-bit.
    """
    known = layer.metadata.get(SLIDE_KEY)
    if isinstance(known, Slide):
        return known
    slide = _from_file(layer) or _from_arrays(layer)
    layer.metadata[SLIDE_KEY] = slide
    return slide


def _from_file(layer: Image) -> Slide | None:
    path = layer.source.path
    if path is None or not os.path.exists(path):
        return None
    try:
        slide = open_slide(path)
    except LiverDxError:
        return None
    first = layer.data[0] if layer.multiscale else layer.data
    if (slide.size[1], slide.size[0]) != tuple(first.shape[:2]):
        slide.close()
        return None
    return slide


class _LayerBackend:
    """`SlideBackend` over a layer's arrays."""

    def __init__(self, layer: Image) -> None:
        self._name = layer.name
        self._levels = list(layer.data) if layer.multiscale else [layer.data]
        first = self._levels[0]
        mpp, note = _layer_mpp(layer)
        to_rgb8(np.asarray(first[:1, :1]), layer.name)
        self._info = SlideInfo(
            IN_MEMORY,
            tuple(
                Level.reduced(a.shape[1::-1], first.shape[1::-1], (_BLOCK, _BLOCK))
                for a in self._levels
            ),
            mpp,
            note,
        )

    @property
    def info(self) -> SlideInfo:
        return self._info

    def read_tile(self, level: int, row: int, col: int) -> NDArray[np.uint8]:
        part = self._levels[level][
            row * _BLOCK : (row + 1) * _BLOCK, col * _BLOCK : (col + 1) * _BLOCK
        ]
        return to_rgb8(np.asarray(part), self._name)

    def close(self) -> None:
        self._levels = []


def _from_arrays(layer: Image) -> Slide:
    return Slide(Path(layer.source.path or layer.name), _LayerBackend(layer))


def _layer_mpp(layer: Image) -> tuple[Mpp | None, str]:
    try:
        factors = [float((1 * unit).to("micrometer").magnitude) for unit in layer.units]
    except (pint.DimensionalityError, AttributeError):
        return None, "the layer is in pixels"
    y, x = (f * float(s) for f, s in zip(factors, layer.scale, strict=True))
    try:
        return Mpp(x, y, "layer scale"), ""
    except MppError as error:
        return None, str(error)


def visible_region(viewer: ViewerModel, layer: Image) -> list[NDArray[np.float64]]:
    """Return the part of a slide on the canvas, as one polygon in level-0 pixels (x, y)."""
    camera = camera_of(viewer)
    half = np.asarray(canvas_size(viewer)) / camera.zoom / 2
    center = np.asarray(camera.center[-2:])
    world = [center + half * sign for sign in ((-1, -1), (-1, 1), (1, 1), (1, -1))]
    return [_level0_polygon(layer, world)]


def _level0_polygon(layer: Image, world: Sequence[Any]) -> NDArray[np.float64]:
    data = np.array([layer.world_to_data(point)[-2:] for point in world])
    # A data coordinate is a pixel center, a region's corner is a pixel edge.
    return np.asarray(data[:, ::-1] + 0.5)


def named_regions(shapes: Shapes, slide_layer: Image) -> list[tuple[str, NDArray[np.float64]]]:
    """Return closed shapes with their names, as polygons in level-0 pixels (x, y) of a slide.

    A shape is called by its ``name`` or ``class`` feature, else by its number.
    """
    named = []
    titles = [c for c in ("name", "class") if c in shapes.features]
    for number, (kind, corners) in enumerate(zip(shapes.shape_type, shapes.data, strict=True)):
        if kind in ("line", "path"):
            continue
        outline = (
            ellipse_corners(np.asarray(corners, float))
            if kind == "ellipse"
            else np.asarray(corners)
        )
        world = [shapes.data_to_world(point) for point in outline]
        given = [str(shapes.features[c].iloc[number]) for c in titles]
        name = next((g for g in given if g and g != "nan"), f"Region {number + 1}")
        named.append((name, _level0_polygon(slide_layer, world)))
    return named


def regions_from_shapes(shapes: Shapes, slide_layer: Image) -> list[NDArray[np.float64]]:
    """Return closed shapes as polygons in level-0 pixels (x, y) of a slide.

    Raises
    ------
    PlanError
        If there is no closed shape.
    """
    polygons = [polygon for _, polygon in named_regions(shapes, slide_layer)]
    if not polygons:
        raise PlanError("no closed shape was drawn; draw a rectangle, ellipse or polygon first")
    return polygons
