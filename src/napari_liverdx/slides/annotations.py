"""Regions that people drew on slides, as QuPath and napari save them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.core.errors import DataError
from napari_liverdx.core.geometry import Region, ellipse_corners
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.slides.csv_table import read_table

__all__ = ["Annotations", "Units", "read_geojson", "read_shapes_csv"]

Units = Literal["px", "um"]

_CLOSED_SHAPES = {"polygon", "rectangle", "ellipse"}
_OPEN_SHAPES = {"path", "line"}


@dataclass(frozen=True, slots=True, eq=False)
class Annotations:
    """What an annotation file holds.

    Attributes
    ----------
    regions : tuple of Region
    skipped : int
        Objects that enclose no area (points, lines) or have no class.
    """

    regions: tuple[Region, ...]
    skipped: int = 0


def read_geojson(path: Path) -> Annotations:
    """Read the objects QuPath exports as GeoJSON (RFC 7946, but in level-0 pixels).

    A FeatureCollection, a list of features or one feature; Polygon and MultiPolygon with holes;
    the class is ``properties.classification.name``. (0, 0) is the upper-left corner of the first
    pixel, as in QuPath.

    Raises
    ------
    DataError
        If the file cannot be read, is no GeoJSON, or a polygon is broken.
    """
    try:
        content = json.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise DataError(f"{path}: the annotation cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path}: not GeoJSON ({error}); export it again, in QuPath with File > Export objects "
            "as GeoJSON"
        ) from error
    regions: list[Region] = []
    skipped = 0
    for number, feature in enumerate(_features(content, path)):
        where = f"{path}: object {number + 1}"
        if not isinstance(feature, dict):
            raise DataError(f"{where}: not a GeoJSON feature")
        name = _class_of(feature)
        polygons = _polygons(feature.get("geometry"), where)
        if not name or not polygons:
            skipped += 1
            continue
        for polygon in polygons:
            if not isinstance(polygon, list) or not polygon:
                raise DataError(f"{where}: a polygon has no corners; draw it again")
            regions.append(Region(name, tuple(_ring(ring, where) for ring in polygon)))
    return Annotations(tuple(regions), skipped)


def _features(content: Any, path: Path) -> list[Any]:
    if isinstance(content, dict) and content.get("type") == "Feature":
        return [content]
    features = content.get("features") if isinstance(content, dict) else content
    if not isinstance(features, list):
        raise DataError(
            f"{path}: neither a FeatureCollection nor a list of features; export it again, in "
            "QuPath with File > Export objects as GeoJSON"
        )
    return features


def _class_of(feature: dict[str, Any]) -> str:
    properties = feature.get("properties")
    found = properties.get("classification") if isinstance(properties, dict) else None
    if isinstance(found, dict):
        names = found.get("names")
        # QuPath 0.6 lists the parts of a derived class, earlier versions join them.
        found = found.get("name") or (": ".join(map(str, names)) if names else None)
    return found.strip() if isinstance(found, str) else ""


def _polygons(geometry: Any, where: str) -> list[Any]:
    if not isinstance(geometry, dict):
        return []
    kind, corners = geometry.get("type"), geometry.get("coordinates")
    if kind not in ("Polygon", "MultiPolygon"):
        return []
    if not isinstance(corners, list):
        raise DataError(f"{where}: a {kind} without coordinates")
    return [corners] if kind == "Polygon" else corners


def _ring(corners: Any, where: str) -> NDArray[np.float64]:
    try:
        ring = np.array([(float(c[0]), float(c[1])) for c in corners], np.float64)
    except (TypeError, ValueError, IndexError, KeyError, OverflowError) as error:
        raise DataError(f"{where}: a corner is not a pair of numbers ({error})") from error
    return _checked(ring, where)


def _checked(ring: NDArray[np.float64], where: str) -> NDArray[np.float64]:
    # Beyond this no slide reaches, and products of coordinates would overflow.
    if not np.all(np.abs(ring) < 1e9):
        raise DataError(f"{where}: a corner lies at no place on a slide")
    if len(ring) > 1 and np.array_equal(ring[0], ring[-1]):
        ring = ring[:-1]
    if len(ring) < 3:
        raise DataError(f"{where}: an outline has fewer than three corners; draw it again")
    return ring


def read_shapes_csv(
    path: Path, name: str, *, units: Units = "px", mpp: Mpp | None = None
) -> Annotations:
    """Read a Shapes layer as napari saves it: index, shape-type, vertex-index, axis-0, axis-1.

    napari writes the layer's own coordinates, before its scale, and neither class nor unit; in
    them (0, 0) is the center of the first pixel. Of more than two axes the last two count.

    Parameters
    ----------
    path : Path
        CSV file.
    name : str
        Class of all its shapes.
    units : {"px", "um"}
        Level-0 pixels, as in a layer drawn with the slide's scale, or µm, as in a layer of scale
        1 over a slide shown in µm.
    mpp : Mpp, optional
        Level-0 resolution; needed for µm.

    Raises
    ------
    DataError
        If the file cannot be read or is no such table.
    """
    columns = ("index", "shape-type", "vertex-index", "axis-0", "axis-1")
    rows = read_table(path, columns)
    if units == "um" and mpp is None:
        raise DataError(f"{path}: shapes in µm need the resolution of the slide")
    axes = [c for c in rows[0] if c.startswith("axis-")][-2:]
    shapes: dict[int, tuple[str, list[tuple[int, float, float]]]] = {}
    for line, row in enumerate(rows, 2):
        try:
            index, vertex = int(row["index"]), int(row["vertex-index"])
            y, x = (float(row[a]) for a in axes)
        except (ValueError, KeyError) as error:
            raise DataError(
                f"{path}, line {line}: not a corner of a napari shape ({error})"
            ) from error
        kind = row["shape-type"]
        if kind not in _CLOSED_SHAPES | _OPEN_SHAPES:
            raise DataError(f"{path}, line {line}: shape-type {kind!r} is unknown")
        shapes.setdefault(index, (kind, []))[1].append((vertex, x, y))
    size = (mpp.x, mpp.y) if units == "um" and mpp is not None else (1.0, 1.0)
    regions = tuple(_regions_of_shapes(shapes, name, size, path))
    return Annotations(regions, len(shapes) - len(regions))


def _regions_of_shapes(
    shapes: dict[int, tuple[str, list[tuple[int, float, float]]]],
    name: str,
    size: tuple[float, float],
    path: Path,
) -> Iterator[Region]:
    for index, (kind, corners) in shapes.items():
        if kind in _OPEN_SHAPES:
            continue
        where = f"{path}: shape {index}"
        # The center of napari's first pixel is (0.5, 0.5) from its corner.
        ring = np.array([c[1:] for c in sorted(corners)]) / size + 0.5
        if kind == "ellipse":
            ring = _ellipse(ring, where)
        yield Region(name, (_checked(ring, where),))


def _ellipse(box: NDArray[np.float64], where: str) -> NDArray[np.float64]:
    if len(box) != 4:
        raise DataError(f"{where}: an ellipse has the four corners of its box, not {len(box)}")
    return ellipse_corners(box)
