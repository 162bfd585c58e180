"""Shapes layers as napari saves them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from napari_liverdx.core.errors import DataError
from napari_liverdx.core.geometry import ellipse_corners
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.slides.annotations.base import (
    BROKEN,
    NO_AREA,
    Annotations,
    Gathering,
    Units,
    UnusableObjectError,
    corner_number,
    ring_of,
)
from napari_liverdx.slides.csv_table import Row, read_table

__all__ = ["read_shapes_csv"]

_CLOSED = {"polygon", "rectangle", "ellipse"}
_COLUMNS = ("index", "shape-type", "vertex-index", "axis-0", "axis-1")


def read_shapes_csv(
    path: Path, name: str, *, units: Units = "px", mpp: Mpp | None = None
) -> Annotations:
    """Read a Shapes layer as napari saves it: index, shape-type, vertex-index, axis-0, axis-1.

    napari writes the layer's own coordinates, before its scale, and neither class nor unit; in
    them (0, 0) is the center of the first pixel. Of more than two axes the last two count. Paths,
    lines and broken shapes are left out and counted.

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
    rows = read_table(path, _COLUMNS)
    if units == "um" and mpp is None:
        raise DataError(f"{path}: shapes in µm need the resolution of the slide")
    axes = [c for c in rows[0] if c.startswith("axis-")][-2:]
    size = (mpp.x, mpp.y) if units == "um" and mpp is not None else (1.0, 1.0)
    shapes: dict[str, list[Row]] = {}
    for row in rows:
        shapes.setdefault(row["index"], []).append(row)
    gathering = Gathering()
    for corners in shapes.values():
        with gathering.one_object():
            _add(gathering, name, corners, axes, size)
    return gathering.found


def _add(
    gathering: Gathering,
    name: str,
    rows: Iterable[Row],
    axes: list[str],
    size: tuple[float, float],
) -> None:
    first, *_ = rows
    kind = first["shape-type"].lower()
    if kind not in _CLOSED:
        raise UnusableObjectError(NO_AREA)
    corners = sorted(
        (corner_number(row["vertex-index"]), *(corner_number(row[a]) for a in reversed(axes)))
        for row in rows
    )
    # The center of napari's first pixel is (0.5, 0.5) from its corner.
    ring = np.array(corners)[:, 1:] / size + 0.5
    if kind == "ellipse":
        if len(ring) != 4:
            raise UnusableObjectError(BROKEN)
        ring = ellipse_corners(ring)
    gathering.add(name, ring_of(ring))
