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

from napari_liverdx.core.errors import DataError
from napari_liverdx.core.region import Region
from napari_liverdx.io.annotations import read_geojson
from napari_liverdx.io.slide import Slide
from napari_liverdx.io.storage import storage_errors

__all__ = ["Taught", "TaughtFolder", "rectangle"]

# A fingerprint of pixels without a file takes a while.
_KEYS: WeakKeyDictionary[Slide, str] = WeakKeyDictionary()
_SHAPES, _TILES = ".shapes.geojson", ".tiles.geojson"


@dataclass(frozen=True, slots=True, eq=False)
class Taught:
    """What was taught on one slide.

    Attributes
    ----------
    key : str
        Tells slides apart: the name and the start of the fingerprint.
    path : Path
        Where the slide was.
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


class TaughtFolder:
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
        """Whether something may have been kept of a slide; looks at names alone."""
        return any(self.folder.glob(f"{escape(slide.name)}.*.geojson"))

    def keep(self, slide: Slide, regions: Sequence[Region], *, result: str = "") -> None:
        """Write the shapes of a slide, or the tiles of one result; without any the file goes.

        Parameters
        ----------
        slide : Slide
            The slide.
        regions : sequence of Region
            Instead of those kept before.
        result : str
            Name of the result whose tiles these are; empty for shapes.

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
        }
        content = {
            "type": "FeatureCollection",
            "features": [_feature(r, "tile" if result else "annotation") for r in regions],
            "liverdx": about,
        }
        with storage_errors(file, "what was drawn stays in the viewer"):
            if not regions:
                file.unlink(missing_ok=True)
                return
            self.folder.mkdir(parents=True, exist_ok=True)
            partial = file.with_name(file.name + ".partial")
            partial.write_text(json.dumps(content), encoding="utf-8")
            os.replace(partial, file)

    def of(self, slide: Slide) -> Taught:
        """What was taught on a slide.

        Raises
        ------
        DataError
            If a file is damaged; it is left as it is.
        """
        key = self.key(slide)
        mpp = None if slide.mpp is None else (slide.mpp.x, slide.mpp.y)
        return next((t for t in self.all() if t.key == key), Taught(key, slide.path, mpp))

    def all(self) -> list[Taught]:
        """What was taught on any slide, whether it is still there or not.

        Raises
        ------
        DataError
            If a file is damaged; it is left as it is.
        """
        found: dict[str, Taught] = {}
        for file in sorted(self.folder.glob("*.geojson")):
            about, regions = _about(file), read_geojson(file).regions
            size = None if about["mpp"] is None else (about["mpp"][0], about["mpp"][1])
            key = str(about["key"])
            known = found.setdefault(key, Taught(key, Path(about["slide"]), size))
            if file.name.endswith(_SHAPES):
                found[key] = replace(known, shapes=known.shapes + regions)
            elif file.name.endswith(_TILES):
                found[key] = replace(known, tiles=known.tiles + regions)
        return list(found.values())


def _feature(region: Region, kind: str) -> dict[str, Any]:
    rings = [[*ring.round(3).tolist(), ring[0].round(3).tolist()] for ring in region.rings]
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": rings},
        "properties": {"objectType": kind, "classification": {"name": region.name}},
    }


def _about(file: Path) -> dict[str, Any]:
    try:
        about = json.loads(file.read_text(encoding="utf-8"))["liverdx"]
        if not {"key", "slide", "mpp"} <= set(about):
            raise KeyError("key, slide, mpp")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{file}: does not say of which slide it is ({error}); it was not written by this "
            "program, move it away"
        ) from error
    return dict(about)


def rectangle(name: str, x: float, y: float, width: float, height: float) -> Region:
    """A rectangle of a class, level-0 pixels."""
    corners = ((x, y), (x + width, y), (x + width, y + height), (x, y + height))
    return Region(name, (np.array(corners, np.float64),))
