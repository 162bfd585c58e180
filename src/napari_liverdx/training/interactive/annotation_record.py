"""One file that keeps what a person annotated on one slide: GeoJSON that QuPath reads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_liverdx._files import atomic_write, parse_json
from napari_liverdx.core.errors import DataError, storage_errors
from napari_liverdx.core.geometry import Region
from napari_liverdx.slides.annotations.geojson import read_geojson

__all__ = [
    "AnnotationRecord",
    "CorrectedTile",
    "damaged",
    "read_record",
    "rectangle",
    "write_record",
]

_FORMAT = 2
"""0.1.0 kept several files of a slide, without a number; see `annotations_v010`."""


@dataclass(frozen=True, slots=True, eq=False)
class CorrectedTile:
    """A tile whose class a person said.

    Attributes
    ----------
    region : Region
        The tile as a rectangle of that class.
    at : str
        When, ISO 8601, UTC; empty where that is not known.
    result : str
        Name of the result it was said in, without its ending.
    """

    region: Region
    at: str
    result: str


@dataclass(frozen=True, slots=True, eq=False)
class AnnotationRecord:
    """What is kept of a slide.

    Attributes
    ----------
    fingerprint : str
        Start of the slide's fingerprint.
    name : str
        What the slide was called last.
    path : Path
        Where it was last.
    mpp : (float, float) or None
        Level-0 resolution in µm/px, (x, y); None where it was not known.
    shapes : tuple of Region
        Drawn regions, each of a class.
    reviews : tuple of Path
        Results in whose reviews tiles of the slide are corrected; the reviews hold them.
    copies : tuple of CorrectedTile
        Corrections that 0.1.0 copied; they count where their result is none of ``reviews``.
    """

    fingerprint: str
    name: str
    path: Path
    mpp: tuple[float, float] | None
    shapes: tuple[Region, ...] = ()
    reviews: tuple[Path, ...] = ()
    copies: tuple[CorrectedTile, ...] = ()


def write_record(file: Path, record: AnnotationRecord) -> None:
    """Write a record; the file appears whole or not at all.

    Raises
    ------
    StorageFullError
        If the disk is full.
    ResultError
        If it cannot be written.
    """
    features = [_feature(r, "annotation") for r in record.shapes]
    features += [_feature(c.region, "tile") for c in record.copies]
    about = {
        "format": _FORMAT,
        "fingerprint": record.fingerprint,
        "name": record.name,
        "slide": str(record.path),
        "mpp": record.mpp,
        "reviews": [str(path) for path in record.reviews],
        "copies": [{"at": c.at, "result": c.result} for c in record.copies],
    }
    content = {"type": "FeatureCollection", "features": features, "liverdx": about}
    with (
        storage_errors(file, "what was drawn stays in the viewer"),
        atomic_write(file, make_folder=True) as partial,
    ):
        partial.write_text(json.dumps(content), encoding="utf-8")


def read_record(file: Path) -> AnnotationRecord:
    """Read a record.

    Raises
    ------
    DataError
        If it is damaged; the file is left as it is.
    """
    try:
        about = parse_json(file.read_text(encoding="utf-8"))["liverdx"]
        copies = [(str(c["at"]), str(c["result"])) for c in about["copies"]]
        size = about["mpp"]
        record = AnnotationRecord(
            str(about["fingerprint"]),
            str(about["name"]),
            Path(about["slide"]),
            None if size is None else (float(size[0]), float(size[1])),
            reviews=tuple(Path(path) for path in about["reviews"]),
        )
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise DataError(damaged(file, error)) from error
    found = read_geojson(file).classified
    regions = found.regions
    # Copies are the last objects; where one is left out, it is not known which text is whose.
    if len(regions) < len(copies) or (copies and found.skipped):
        raise DataError(damaged(file, f"{len(copies)} tiles, {len(regions)} outlines"))
    shapes, tiles = regions[: len(regions) - len(copies)], regions[len(regions) - len(copies) :]
    return AnnotationRecord(
        record.fingerprint,
        record.name,
        record.path,
        record.mpp,
        shapes,
        record.reviews,
        tuple(CorrectedTile(t, *told) for t, told in zip(tiles, copies, strict=True)),
    )


def damaged(file: Path, why: object) -> str:
    """Return the message about an annotation file that cannot be read."""
    return (
        f"{file}: does not say of which slide it is ({why}); it is damaged or was not written by "
        "this program, move it away"
    )


def _feature(region: Region, kind: str) -> dict[str, Any]:
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [_closed(r) for r in region.rings]},
        "properties": {"objectType": kind, "classification": {"name": region.name}},
    }


def _closed(ring: NDArray[np.float64]) -> list[list[float]]:
    return [*ring.round(3).tolist(), ring[0].round(3).tolist()]


def rectangle(name: str, x: float, y: float, width: float, height: float) -> Region:
    """Return a rectangle of a class, level-0 pixels."""
    corners = ((x, y), (x + width, y), (x + width, y + height), (x, y + height))
    return Region(name, (np.array(corners, np.float64),))
