"""What 0.1.0 kept of annotated slides: a file for the shapes, one for the tiles of each result.

Their names begin with the slide's: a slide under two names had files under both. They are read and
never written: the first change of a slide is kept in its one file of today, with all that was here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_liverdx._files import parse_json
from napari_liverdx.core.errors import DataError
from napari_liverdx.core.geometry import Region
from napari_liverdx.slides.annotations.geojson import read_geojson
from napari_liverdx.slides.text.plain import is_file
from napari_liverdx.training.interactive.annotation_record import (
    AnnotationRecord,
    CorrectedTile,
    damaged,
)

__all__ = ["has_v010_name", "read_v010"]

_SHAPES, _TILES = ".shapes.geojson", ".tiles.geojson"


@dataclass(frozen=True, slots=True, eq=False)
class _File:
    key: str
    path: Path
    mpp: tuple[float, float] | None
    shapes: tuple[Region, ...]
    tiles: tuple[CorrectedTile, ...]


def has_v010_name(file: Path) -> bool:
    """Return whether a file is named as 0.1.0 named them."""
    return file.name.endswith((_SHAPES, _TILES))


def read_v010(files: list[Path], problems: list[str] | None = None) -> dict[str, AnnotationRecord]:
    """Read files of 0.1.0, by the slide's fingerprint; what had several names is together.

    Parameters
    ----------
    files : list of Path
        In the order in which they count.
    problems : list of str, optional
        Takes in what is wrong with files that cannot be read; they are left out.

    Raises
    ------
    DataError
        If a file is damaged and ``problems`` was not given.
    """
    found: dict[str, list[_File]] = {}
    for file in files:
        try:
            read = _read(file)
        except DataError as error:
            if problems is None:
                raise
            problems.append(str(error))
            continue
        found.setdefault(read.key.rpartition(".")[2], []).append(read)
    return {fingerprint: _joined(fingerprint, parts) for fingerprint, parts in found.items()}


def _joined(fingerprint: str, parts: list[_File]) -> AnnotationRecord:
    first = next((part for part in parts if is_file(part.path)), parts[0])
    return AnnotationRecord(
        fingerprint,
        first.key.rpartition(".")[0],
        first.path,
        first.mpp,
        tuple(shape for part in parts for shape in part.shapes),
        copies=tuple(tile for part in parts for tile in part.tiles),
    )


def _read(file: Path) -> _File:
    try:
        about = parse_json(file.read_text(encoding="utf-8"))["liverdx"]
        key, path, size = str(about["key"]), Path(about["slide"]), about["mpp"]
        mpp = None if size is None else (float(size[0]), float(size[1]))
        at = tuple(str(a) for a in about.get("at", ()))
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise DataError(damaged(file, error)) from error
    regions = read_geojson(file).classified.regions
    if file.name.endswith(_SHAPES):
        return _File(key, path, mpp, regions, ())
    if len(at) != len(regions):
        at = ("",) * len(regions)
    result = file.name.removeprefix(f"{key}.").removesuffix(_TILES)
    tiles = (CorrectedTile(r, a, result) for r, a in zip(regions, at, strict=True))
    return _File(key, path, mpp, (), tuple(tiles))
