"""GeoJSON, as QuPath and others write it: RFC 7946, but in level-0 pixels."""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.core.errors import DataError
from napari_liverdx.slides.annotations.base import (
    BROKEN,
    NO_AREA,
    Annotations,
    Gathering,
    UnusableObjectError,
    corner_number,
    ring_of,
)
from napari_liverdx.slides.text.encoding import decode_text
from napari_liverdx.slides.text.plain import read_plain

__all__ = ["ANNOTATION_BYTES", "geojson_regions", "read_geojson"]

ANNOTATION_BYTES = 256 << 20
"""Longest annotation file that is read, unpacked."""

_MOST_LISTS, _MOST_VALUES = 12_000_000, 25_000_000
"""Brackets and commas: what they hold takes 1 GB of memory, if it all stands in one object."""

_REMEDY = "export it again, in QuPath with File > Export objects as GeoJSON"
_BLANK = re.compile("[ \t\n\r\x1e]*")
_CLASS_KEYS = ("classification", "class", "class_name", "label")


def read_geojson(path: Path) -> Annotations:
    """Read the objects QuPath exports as GeoJSON (RFC 7946, but in level-0 pixels).

    A FeatureCollection, a list of features, one feature, or one after another; Polygon and
    MultiPolygon with holes; the class is ``properties.classification.name``. (0, 0) is the
    upper-left corner of the first pixel, as in QuPath.

    An object without class or area, or with corners that are no places, is left out and counted;
    so is a hole without an area. A ring that crosses itself stays as it is: inside is where a ray
    crosses it an odd number of times.

    Raises
    ------
    DataError
        If the file cannot be read or is no GeoJSON.
    """
    content = read_plain(path, "the annotation", ANNOTATION_BYTES, _REMEDY)
    return geojson_regions(content, path)


def geojson_regions(content: bytes, path: Path) -> Annotations:
    """Return what a file holds whose bytes are read; see `read_geojson`."""
    lists = content.count(b"[") + content.count(b"{")
    if lists > _MOST_LISTS or content.count(b",") > _MOST_VALUES:
        raise DataError(
            f"{path}: more than {_MOST_LISTS:,} corners; export annotations without detections, "
            "or in several files"
        )
    gathering, known = Gathering(), False
    try:
        text = decode_text(content)
        del content
        for feature in _features(text):
            known |= isinstance(feature, dict) and ("geometry" in feature or "type" in feature)
            with gathering.one_object():
                _add(gathering, feature)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not GeoJSON ({error}); {_REMEDY}") from error
    found = gathering.found
    if found.skipped and not known:
        raise DataError(f"{path}: not GeoJSON (it holds no feature); {_REMEDY}")
    return found


def _features(text: str) -> Iterator[Any]:
    """Yield the features of a file one at a time, so that the others take no memory."""
    decoder, at = json.JSONDecoder(parse_int=float), _after_blank(text, 0)
    if at == len(text):
        raise ValueError("it is empty")
    while at < len(text):
        if text[at] == "[":
            at = yield from _elements(decoder, text, at)
        elif text[at] == "{":
            at = yield from _collection(decoder, text, at)
        else:
            raise ValueError("neither a FeatureCollection nor a list of features")
        at = _after_blank(text, at)


def _collection(decoder: json.JSONDecoder, text: str, at: int) -> Generator[Any, None, int]:
    """Yield the members of ``features``, or the object itself; return where it ends."""
    members: dict[str, Any] = {}
    at = _after_blank(text, at + 1)
    while text[at : at + 1] != "}":
        key, at = decoder.raw_decode(text, at)
        at = _after_blank(text, at)
        if not isinstance(key, str) or text[at : at + 1] != ":":
            raise json.JSONDecodeError("a name and a colon are missing", text, at)
        at = _after_blank(text, at + 1)
        if key == "features" and text[at : at + 1] == "[":
            at = yield from _elements(decoder, text, at)
            members[key] = None
        else:
            members[key], at = _decoded(decoder, text, at)
        at = _after_comma(text, at, "}")
    if "geometry" in members:
        yield members
    elif "coordinates" in members or "geometries" in members:
        yield {"geometry": members}
    elif "features" not in members or members["features"] is not None:
        raise ValueError("neither a FeatureCollection nor a list of features")
    return at + 1


def _elements(decoder: json.JSONDecoder, text: str, at: int) -> Generator[Any, None, int]:
    """Yield the elements of a list; return where it ends."""
    at = _after_blank(text, at + 1)
    while text[at : at + 1] != "]":
        element, at = _decoded(decoder, text, at)
        yield element
        at = _after_comma(text, at, "]")
    return at + 1


def _decoded(decoder: json.JSONDecoder, text: str, at: int) -> tuple[Any, int]:
    value, at = decoder.raw_decode(text, at)
    return value, _after_blank(text, at)


def _after_blank(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return at if found is None else found.end()


def _after_comma(text: str, at: int, end: str) -> int:
    if text[at : at + 1] == end:
        return at
    if text[at : at + 1] != ",":
        raise json.JSONDecodeError("a comma is missing, or the file is cut off", text, at)
    return _after_blank(text, at + 1)


def _add(gathering: Gathering, feature: Any) -> None:
    if not isinstance(feature, dict):
        raise UnusableObjectError("that are no GeoJSON feature")
    polygons = list(_polygons(feature.get("geometry")))
    if not polygons:
        raise UnusableObjectError(NO_AREA)
    name = _class_of(feature)
    reasons: list[UnusableObjectError] = []
    for polygon in polygons:
        try:
            gathering.add(name, *_rings(polygon))
        except UnusableObjectError as reason:
            reasons.append(reason)
    if len(reasons) == len(polygons):
        raise reasons[0]
    for left_out in reasons:
        gathering.leave_out_part(left_out)


def _class_of(feature: dict[str, Any]) -> str:
    properties = feature.get("properties")
    if not isinstance(properties, dict):
        return ""
    for key in _CLASS_KEYS:
        found = properties.get(key)
        if isinstance(found, dict):
            names = found.get("names")
            # QuPath 0.6 lists the parts of a derived class, earlier versions join them.
            joined = ": ".join(map(str, names)) if isinstance(names, list) else None
            found = found.get("name") or joined
        if isinstance(found, str) and found.strip():
            return found.strip()
    return ""


def _polygons(geometry: Any) -> Iterator[Any]:
    """Yield the rings of each polygon; nothing of points and lines."""
    waiting = [geometry]
    while waiting:
        part = waiting.pop()
        if not isinstance(part, dict):
            continue
        kind, corners = part.get("type"), part.get("coordinates")
        if kind == "Polygon":
            yield corners
        elif kind == "MultiPolygon":
            yield from corners if isinstance(corners, list) else [None]
        elif kind == "GeometryCollection" and isinstance(part.get("geometries"), list):
            waiting += reversed(part["geometries"])


def _rings(polygon: Any) -> list[NDArray[np.float64]]:
    """Return the outline and the holes; a hole of fewer than three corners is none."""
    if not isinstance(polygon, list) or not polygon:
        raise UnusableObjectError(NO_AREA)
    outline, *holes = map(_corners, polygon)
    return [
        ring_of(outline),
        *(ring_of(hole) for hole in holes if len(np.unique(hole, axis=0)) > 2),
    ]


def _corners(ring: Any) -> NDArray[np.float64]:
    if ring == []:
        return np.zeros((0, 2))
    try:
        corners = np.asarray(ring, np.float64)[:, :2]
    except (TypeError, ValueError, IndexError, OverflowError):
        corners = np.array([_corner(c) for c in ring] if isinstance(ring, list) else [])
    if corners.ndim != 2 or corners.shape[1] != 2:
        raise UnusableObjectError(BROKEN)
    return corners


def _corner(corner: Any) -> tuple[float, float]:
    if not isinstance(corner, list) or len(corner) < 2:
        raise UnusableObjectError(BROKEN)
    return corner_number(corner[0]), corner_number(corner[1])
