"""GeoJSON and napari tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def box(x: float, y: float, width: float, height: float) -> list[list[float]]:
    """A closed GeoJSON ring."""
    return [[x, y], [x + width, y], [x + width, y + height], [x, y + height], [x, y]]


def feature(name: str | None, kind: str, coordinates: Any) -> dict[str, Any]:
    """A feature as QuPath writes it."""
    properties: dict[str, Any] = {"objectType": "annotation"}
    if name is not None:
        properties["classification"] = {"name": name, "color": [200, 0, 0]}
    geometry = {"type": kind, "coordinates": coordinates}
    return {"type": "Feature", "id": "x", "geometry": geometry, "properties": properties}


def collection(*features: dict[str, Any]) -> str:
    return json.dumps({"type": "FeatureCollection", "features": list(features)})


def shapes_csv(path: Path, *shapes: tuple[str, list[tuple[float, float]]]) -> None:
    """The table that napari 0.9 writes for a Shapes layer."""
    lines = ["index,shape-type,vertex-index,axis-0,axis-1"]
    for index, (kind, corners) in enumerate(shapes):
        lines += [f"{index},{kind},{v},{y},{x}" for v, (y, x) in enumerate(corners)]
    path.write_text("\n".join(lines) + "\n")
