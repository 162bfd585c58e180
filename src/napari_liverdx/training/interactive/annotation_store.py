"""What a person taught on slides, kept as GeoJSON that QuPath reads."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from glob import escape
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from napari_liverdx.core.errors import DataError, storage_errors
from napari_liverdx.core.geometry import Region
from napari_liverdx.slides.annotations import read_geojson
from napari_liverdx.slides.slide import Slide

__all__ = ["AnnotationFolder", "SlideAnnotations", "fingerprint_of", "rectangle"]

# A fingerprint of pixels without a file takes a while.
_KEYS: WeakKeyDictionary[Slide, str] = WeakKeyDictionary()
_SHAPES, _TILES = ".shapes.geojson", ".tiles.geojson"


@dataclass(frozen=True, slots=True, eq=False)
class SlideAnnotations:
    """What was taught on one slide.

    Attributes
    ----------
    key : str
        What its files begin with: the name and the start of the fingerprint.
    path : Path
        Where the slide was; if it had several names, one that is still there.
    mpp : (float, float) or None
        Level-0 resolution in µm/px, (x, y); None where it was not known.
    shapes : tuple of Region
        Drawn regions, each of a class.
    tiles : tuple of Region
        Tiles whose class a person said, as rectangles.
    """

    key: str
    path: Path
    mpp: tuple[float, float] | None
    shapes: tuple[Region, ...] = ()
    tiles: tuple[Region, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing was taught."""
        return not (self.shapes or self.tiles)

    @property
    def fingerprint(self) -> str:
        """Start of the slide's fingerprint: the same slide has it under any name."""
        return fingerprint_of(self.key)


@dataclass(frozen=True, slots=True, eq=False)
class _File:
    """What one file holds."""

    key: str
    path: Path
    mpp: tuple[float, float] | None
    regions: tuple[Region, ...]
    at: tuple[str, ...]
    has_shapes: bool


class AnnotationFolder:
    """Keeps what was taught: a file for the shapes of a slide, one for the tiles of each result.

    Parameters
    ----------
    folder : Path
        Made when something is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def key(self, slide: Slide) -> str:
        """What the files of a slide begin with.

        Raises
        ------
        SlideReadError
            If the file is gone.
        """
        if slide not in _KEYS:
            _KEYS[slide] = f"{slide.name}.{slide.fingerprint()[:8]}"
        return _KEYS[slide]

    def knows(self, slide: Slide) -> bool:
        """Whether something may have been kept of a slide; of a file, under any name.

        Raises
        ------
        SlideReadError
            If the file is gone.
        """
        if not slide.path.is_file():
            # Their fingerprint takes a while.
            return any(self.folder.glob(f"{escape(slide.name)}.*.geojson"))
        if not self.folder.is_dir():
            return False
        return any(self.folder.glob(f"*.{fingerprint_of(self.key(slide))}.*.geojson"))

    def keep(
        self,
        slide: Slide,
        regions: Sequence[Region],
        *,
        result: str = "",
        at: Sequence[str] = (),
    ) -> None:
        """Write the shapes of a slide, or the tiles of one result; without any the file goes.

        Parameters
        ----------
        slide : Slide
            The slide.
        regions : sequence of Region
            Instead of those kept before.
        result : str
            Name of the result whose tiles these are; empty for shapes.
        at : sequence of str
            When the class of each tile was said, ISO 8601, UTC.

        Raises
        ------
        StorageFullError
            If the disk is full.
        ResultError
            If it cannot be written.
        """
        key = self.key(slide)
        file = self.folder / (f"{key}.{result}{_TILES}" if result else f"{key}{_SHAPES}")
        about = {
            "key": key,
            "slide": str(slide.path.absolute()),
            "mpp": None if slide.mpp is None else [slide.mpp.x, slide.mpp.y],
            "at": list(at),
        }
        content = {
            "type": "FeatureCollection",
            "features": [_feature(r, "tile" if result else "annotation") for r in regions],
            "liverdx": about,
        }
        with storage_errors(file, "what was drawn stays in the viewer"):
            moved = [] if result else self._moved(key)
            if not regions:
                for old in (file, *moved):
                    old.unlink(missing_ok=True)
                return
            self.folder.mkdir(parents=True, exist_ok=True)
            partial = file.with_name(file.name + ".partial")
            partial.write_text(json.dumps(content), encoding="utf-8")
            os.replace(partial, file)
            for old in moved:
                old.unlink(missing_ok=True)

    def _moved(self, key: str) -> list[Path]:
        """Files of shapes of a slide that has another name now; none once it has its own."""
        if (self.folder / f"{key}{_SHAPES}").exists():
            return []
        files = sorted(self.folder.glob(f"*.{fingerprint_of(key)}{_SHAPES}"))
        return [f for f in files if (read := _sound(f)) is not None and not read.path.exists()]

    def of(self, slide: Slide) -> SlideAnnotations:
        """What was taught on a slide; of shapes those drawn under its name, or a name it had.

        Raises
        ------
        DataError
            If the file of its shapes is damaged; it is left as it is.
        SlideReadError
            If the slide is gone.
        """
        key = self.key(slide)
        mpp = None if slide.mpp is None else (slide.mpp.x, slide.mpp.y)
        own = self.folder / f"{key}{_SHAPES}"
        files = [_read(f) for f in (*([own] if own.exists() else []), *self._moved(key))]
        for file in sorted(self.folder.glob(f"*.{fingerprint_of(key)}.*{_TILES}")):
            tiles = _sound(file)
            if tiles is not None and fingerprint_of(tiles.key) == fingerprint_of(key):
                files.append(tiles)
        if not files:
            return SlideAnnotations(key, slide.path, mpp)
        return replace(_together(files), key=key, path=slide.path)

    def all(self, damaged: list[str] | None = None) -> list[SlideAnnotations]:
        """What was taught on any slide, whether it is still there or not.

        A slide that was taught under several names is one slide.

        Parameters
        ----------
        damaged : list of str, optional
            Takes in what is wrong with files that cannot be read; they are left out.

        Raises
        ------
        DataError
            If a file is damaged and ``damaged`` was not given; it is left as it is.
        """
        found: dict[str, list[_File]] = {}
        for file in sorted(self.folder.glob("*.geojson")):
            try:
                read = _read(file)
            except DataError as error:
                if damaged is None:
                    raise
                damaged.append(str(error))
                continue
            found.setdefault(fingerprint_of(read.key), []).append(read)
        return [_together(files) for files in found.values()]


def fingerprint_of(key: str) -> str:
    """Start of the fingerprint of the slide whose files begin with ``key``."""
    return key.rpartition(".")[2]


def _together(files: Sequence[_File]) -> SlideAnnotations:
    """What the files of one slide hold."""
    first = next((f for f in files if f.path.exists()), files[0])
    shapes = tuple(r for f in files if f.has_shapes for r in f.regions)
    called = [
        (at, r) for f in files if not f.has_shapes for at, r in zip(f.at, f.regions, strict=True)
    ]
    return SlideAnnotations(first.key, first.path, first.mpp, shapes, _newest(called))


def _newest(called: Sequence[tuple[str, Region]]) -> tuple[Region, ...]:
    """Each place once, with what was said of it last."""
    order = sorted(range(len(called)), key=lambda i: (called[i][0], i), reverse=True)
    corners = [called[i][1].bounds for i in order]
    box = np.array([(b.x, b.y, b.right, b.bottom) for b in corners], np.float64).reshape(-1, 4)
    taken: list[int] = []
    for n in range(len(order)):
        if not (np.abs(box[taken] - box[n]) < 1).all(axis=1).any():
            taken.append(n)
    return tuple(called[i][1] for i in sorted(order[n] for n in taken))


def _feature(region: Region, kind: str) -> dict[str, Any]:
    rings = [[*ring.round(3).tolist(), ring[0].round(3).tolist()] for ring in region.rings]
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": rings},
        "properties": {"objectType": kind, "classification": {"name": region.name}},
    }


def _read(file: Path) -> _File:
    """One file.

    Raises
    ------
    DataError
        If it is damaged.
    """
    try:
        about = json.loads(file.read_text(encoding="utf-8"))["liverdx"]
        key, path, size = str(about["key"]), Path(about["slide"]), about["mpp"]
        mpp = None if size is None else (float(size[0]), float(size[1]))
        at = tuple(str(a) for a in about.get("at", ()))
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise DataError(
            f"{file}: does not say of which slide it is ({error}); it is damaged or was not "
            "written by this program, move it away"
        ) from error
    regions = read_geojson(file).regions
    if len(at) != len(regions):
        at = ("",) * len(regions)
    return _File(key, path, mpp, regions, at, file.name.endswith(_SHAPES))


def _sound(file: Path) -> _File | None:
    try:
        return _read(file)
    except DataError:
        return None


def rectangle(name: str, x: float, y: float, width: float, height: float) -> Region:
    """A rectangle of a class, level-0 pixels."""
    corners = ((x, y), (x + width, y), (x + width, y + height), (x, y + height))
    return Region(name, (np.array(corners, np.float64),))
