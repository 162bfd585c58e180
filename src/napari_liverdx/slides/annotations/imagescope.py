"""Annotations of Aperio ImageScope, XML; HALO writes nearly the same."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.core.geometry import Region, ellipse_corners
from napari_liverdx.slides.annotations.base import (
    NO_AREA,
    Annotations,
    Gathering,
    UnusableObjectError,
    corner_number,
    ring_of,
)

__all__ = ["imagescope_regions"]

_RECTANGLE, _ELLIPSE = ("1", "rectangle"), ("2", "ellipse")
_OPEN = ("3", "4", "5", "arrow", "ruler", "pin", "polyline")
"""Kinds of regions, by number in ImageScope and by name in HALO."""


def imagescope_regions(root: Element) -> Annotations:
    """Return the regions of ``<Annotations>``, level-0 pixels.

    The class is the annotation layer's name, else its description, else the region's text, else
    the layer's color as ``#rrggbb``. A region whose ``NegativeROA`` is 1 is cut out of those of
    its layer that it overlaps; one that overlaps none is left out and counted.

    Parameters
    ----------
    root : Element
        Root of the file.
    """
    gathering = Gathering()
    for layer in root.iter("Annotation"):
        own, cut = Gathering(), []
        for region in layer.iter("Region"):
            with gathering.one_object():
                ring = _ring(region)
                if region.get("NegativeROA", "").strip().lower() in ("1", "true"):
                    cut.append(ring)
                else:
                    own.add(_class_of(layer, region), ring)
        regions = list(own.regions)
        for hole in cut:
            with gathering.one_object():
                _cut_out(regions, hole)
        gathering.regions += regions
    return gathering.found


def _cut_out(regions: list[Region], hole: NDArray[np.float64]) -> None:
    bounds = Region("", (hole,)).bounds
    met = [i for i, r in enumerate(regions) if not r.bounds.intersection(bounds).is_empty]
    if not met:
        raise UnusableObjectError("to cut out of no region")
    for i in met:
        regions[i] = Region(regions[i].name, (*regions[i].rings, hole))


def _class_of(layer: Element, region: Element) -> str:
    for name in (
        layer.get("Name", ""),
        _described(layer),
        region.get("Text", ""),
        _described(region),
        _color(layer.get("LineColor", "")),
    ):
        if name.strip():
            return name.strip()
    return ""


def _described(element: Element) -> str:
    found = (a.get("Value", "") for a in element.iterfind("Attributes/Attribute"))
    return next((value for value in found if value.strip()), "")


def _color(text: str) -> str:
    """Return ``#rrggbb`` of a Windows color, whose lowest byte is red."""
    try:
        value = int(text)
    except ValueError:
        return ""
    return f"#{value & 255:02x}{value >> 8 & 255:02x}{value >> 16 & 255:02x}"


def _ring(region: Element) -> NDArray[np.float64]:
    kind = region.get("Type", "0").strip().lower()
    if kind in _OPEN:
        raise UnusableObjectError(NO_AREA)
    corners = [
        (corner_number(v.get("X")), corner_number(v.get("Y")))
        for v in region.iterfind("Vertices/*")
    ]
    if kind in _ELLIPSE and len(corners) > 1:
        return ring_of(ellipse_corners(_box(corners)))
    if kind in _RECTANGLE and len(corners) == 2:
        return ring_of(_box(corners))
    return ring_of(corners)


def _box(corners: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
    (x0, y0), (x1, y1) = np.min(corners, axis=0), np.max(corners, axis=0)
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
