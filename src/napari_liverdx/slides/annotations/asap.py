"""Annotations of ASAP, XML."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element

from napari_liverdx.slides.annotations.base import (
    NO_AREA,
    Annotations,
    Gathering,
    UnusableObjectError,
    corner_number,
    ring_of,
)

__all__ = ["asap_regions"]

_OPEN = ("dot", "pointset", "measurement")
_NUMBERED = re.compile(r"annotation\s*\d*", re.IGNORECASE)


def asap_regions(root: Element) -> Annotations:
    """Return the regions of ``<ASAP_Annotations>``, level-0 pixels.

    The class is the annotation's group, else its name unless that is a number that ASAP gave it.
    Polygons, rectangles and splines, these through straight lines between their corners; dots and
    measurements are left out and counted.

    Parameters
    ----------
    root : Element
        Root of the file.
    """
    gathering = Gathering()
    for annotation in root.iter("Annotation"):
        with gathering.one_object():
            if annotation.get("Type", "").strip().lower() in _OPEN:
                raise UnusableObjectError(NO_AREA)
            corners = [
                (
                    corner_number(c.get("Order") or number),
                    corner_number(c.get("X")),
                    corner_number(c.get("Y")),
                )
                for number, c in enumerate(annotation.iter("Coordinate"))
            ]
            ring = ring_of([(x, y) for _, x, y in sorted(corners, key=lambda c: c[0])])
            gathering.add(_class_of(annotation), ring)
    return gathering.found


def _class_of(annotation: Element) -> str:
    group = annotation.get("PartOfGroup", "").strip()
    if group and group.lower() != "none":
        return group
    name = annotation.get("Name", "").strip()
    return "" if _NUMBERED.fullmatch(name) else name
