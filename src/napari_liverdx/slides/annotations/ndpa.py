"""Annotations of Hamamatsu's NDP.view, NDPA."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.core.errors import DataError
from napari_liverdx.core.geometry import ellipse_corners
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.slides.annotations.base import (
    NO_AREA,
    Annotations,
    Gathering,
    UnusableObjectError,
    corner_number,
    ring_of,
)
from napari_liverdx.slides.slide import Slide

__all__ = ["GlassFrame", "ndpa_regions"]

_OPEN = ("linearmeasure", "pin", "pointer", "arrow")


@dataclass(frozen=True, slots=True)
class GlassFrame:
    """Where a slide's pixels lie on the glass.

    Attributes
    ----------
    width, height : int
        Level-0 pixels.
    mpp : Mpp
        Level-0 resolution.
    center_nm : tuple of float
        From the center of the glass to that of the picture, nm, (x, y).
    """

    width: int
    height: int
    mpp: Mpp
    center_nm: tuple[float, float]

    @classmethod
    def of(cls, slide: Slide) -> Self:
        """Return that of an open slide.

        Raises
        ------
        DataError
            If the slide states no resolution, or not where it lies on the glass.
        """
        if slide.mpp is None:
            raise DataError(f"{slide.path}: the slide states no resolution; give its µm/px")
        if slide.info.center_nm is None:
            raise DataError(
                f"{slide.path}: the slide does not say where on the glass it lies, as an NDPI file "
                "does; read the annotation with the NDPI file"
            )
        level = slide.levels[0]
        return cls(level.width, level.height, slide.mpp, slide.info.center_nm)

    def pixels(self, corners: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the level-0 pixels of places on the glass, nm from its center, shape (n, 2)."""
        nm_per_pixel = np.array([self.mpp.x, self.mpp.y]) * 1000
        middle = np.array([self.width, self.height]) / 2
        return np.asarray((corners - self.center_nm) / nm_per_pixel + middle)


def ndpa_regions(root: Element, path: Path, frame: GlassFrame | None) -> Annotations:
    """Return the regions of ``<annotations>``, whose places are in nm from the glass's center.

    The class is the title. Closed freehand outlines, rectangles and circles; open lines, pins and
    measurements are left out and counted.

    Parameters
    ----------
    root : Element
        Root of the file.
    path : Path
        Named in errors.
    frame : GlassFrame or None
        Of the slide; without one, places stay in nm.

    Raises
    ------
    DataError
        If the places are in another unit.
    """
    gathering = Gathering()
    for view in root.iter("ndpviewstate"):
        unit = (view.findtext("coordformat") or "nanometers").strip().lower()
        if unit != "nanometers":
            raise DataError(f"{path}: places in {unit}, not in nanometers; save it in NDP.view 2")
        for annotation in view.iter("annotation"):
            with gathering.one_object():
                corners = _corners(annotation)
                ring = ring_of(corners if frame is None else frame.pixels(corners))
                gathering.add((view.findtext("title") or "").strip(), ring)
    return replace(gathering.found, unit="px" if frame else "nm")


def _corners(annotation: Element) -> NDArray[np.float64]:
    kind = annotation.get("type", "").strip().lower()
    is_open = (annotation.findtext("closed") or "1").strip() == "0"
    if kind in _OPEN or (is_open and kind != "circle"):
        raise UnusableObjectError(NO_AREA)
    if kind == "circle":
        x, y, radius = (corner_number(annotation.findtext(k)) for k in ("x", "y", "radius"))
        box = [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)]
        return ellipse_corners(np.array(box) * radius + (x, y))
    points = [
        (corner_number(p.findtext("x")), corner_number(p.findtext("y")))
        for p in annotation.iterfind("pointlist/point")
    ]
    return np.array(points, np.float64).reshape(-1, 2)
