"""Tiled TIFF slides: Aperio SVS (JPEG, JPEG 2000), generic pyramids, OME-TIFF.

Stored tiles are read with one positioned read each and decoded by imagecodecs through
tifffile's page decoder, which honors the photometric tag and shared JPEG tables.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_liverdx.core.errors import NotASlideError, SlideReadError, TileReadError
from napari_liverdx.core.resolution import Level, Mpp, is_plausible_mpp
from napari_liverdx.slides.backend import WHITE, SlideInfo, SlideRequest
from napari_liverdx.slides.formats.vendors import is_ndpi, scanner_of_tiff
from napari_liverdx.slides.pixels import to_rgb8

__all__ = ["TIFF_MAGIC", "TiffBackend", "open_tiff", "tiff_mpp"]

_UM_PER = {"µm": 1.0, "μm": 1.0, "um": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6}
_UM_PER_RESOLUTION_UNIT = {2: 25_400.0, 3: 10_000.0, 4: 1000.0, 5: 1.0}
TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@dataclass(frozen=True, slots=True)
class _Plane:
    """A page and the index of its first segment that holds this level's channel."""

    page: Any
    first: int


class TiffBackend:
    """`SlideBackend` for one TIFF file whose levels are stored in tiles."""

    def __init__(self, path: Path, tif: tifffile.TiffFile) -> None:
        self._path = path
        self._tif = tif
        self._lock = threading.Lock()
        self._planes = _levels(tif)
        self._size = int(tif.filehandle.size)
        if not self._planes:
            raise NotASlideError(f"{path}: no tiled RGB image inside")
        self._check_complete()
        first = self._planes[0][0].page
        mpp, note = tiff_mpp(tif)
        sizes = [planes[0].page for planes in self._planes]
        self._info = SlideInfo(
            format=_format_name(tif),
            levels=tuple(
                Level(
                    page.imagewidth,
                    page.imagelength,
                    first.imagewidth / page.imagewidth,
                    first.imagelength / page.imagelength,
                    page.tilewidth,
                    page.tilelength,
                )
                for page in sizes
            ),
            mpp=mpp,
            mpp_note=note,
        )

    @property
    def info(self) -> SlideInfo:
        """What the file says of itself."""
        return self._info

    def _check_complete(self) -> None:
        beyond = total = 0
        for planes in self._planes:
            for plane in {id(p.page): p for p in planes}.values():
                ends = np.add(plane.page.dataoffsets, plane.page.databytecounts, dtype=np.int64)
                beyond += int(np.count_nonzero(ends > self._size))
                total += len(ends)
        if beyond:
            raise _truncated(self._path, f"{beyond} of {total} tiles lie beyond its end")

    def _read_bytes(self, offset: int, size: int) -> bytes:
        handle = self._tif.filehandle
        if hasattr(os, "pread"):
            return os.pread(handle.fileno(), size, offset)
        with self._lock:
            handle.seek(offset)
            return bytes(handle.read(size))

    def read_tile(self, level: int, row: int, col: int) -> NDArray[np.uint8]:
        """Read one stored tile as RGB, shape (h, w, 3)."""
        planes = self._planes[level]
        shape = self._info.levels[level]
        index = row * shape.tile_shape[1] + col
        parts = [self._decode(plane, index, level) for plane in planes]
        array = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)
        return to_rgb8(array, str(self._path))

    def _decode(self, plane: _Plane, index: int, level: int) -> NDArray[Any]:
        page, segment = plane.page, plane.first + index
        offset, size = int(page.dataoffsets[segment]), int(page.databytecounts[segment])
        if size == 0:
            channels = page.samplesperpixel if page.planarconfig == 1 else 1
            blank = np.iinfo(page.dtype).max if page.dtype.kind == "u" else WHITE
            return np.full((page.tilelength, page.tilewidth, channels), blank, page.dtype)
        try:
            data, _, _ = page.decode(
                self._read_bytes(offset, size), segment, jpegtables=page.jpegtables
            )
        # Codecs raise errors of their own making, with no common base but Exception.
        except Exception as error:
            raise self._tile_error(level, index, str(error)) from error
        if data is None:
            raise self._tile_error(level, index, "no data")
        return np.asarray(data[0])

    def _tile_error(self, level: int, index: int, why: str) -> TileReadError:
        row, col = divmod(index, self._info.levels[level].tile_shape[1])
        return TileReadError(
            f"{self._path}: stored tile (row {row}, column {col}) of level {level} is damaged "
            f"({why}); the rest of the slide can still be read"
        )

    def close(self) -> None:
        """Close the file."""
        self._tif.close()


def _is_color_tiles(page: Any) -> bool:
    return bool(
        page.is_tiled
        and page.imagedepth == 1
        and page.samplesperpixel in (1, 3, 4)
        and page.dtype in (np.uint8, np.uint16)
    )


def _levels(tif: tifffile.TiffFile) -> list[list[_Plane]]:
    """Return pages that make up each level, finest first, every level strictly smaller."""
    # Associated images (label, macro, thumbnail) are stored in strips and so are passed over.
    pages: list[Any] = [
        p for p in tif.pages if isinstance(p, tifffile.TiffPage) and _is_color_tiles(p)
    ]
    if not pages:
        return []
    if by_channel := _channel_levels(tif):
        return by_channel
    first = pages[0]
    chains = [first, *(p for p in first.pages or () if _is_color_tiles(p))]
    if len(chains) == 1:
        chains = pages
    levels: list[list[_Plane]] = []
    for page in chains:
        if levels:
            last = levels[-1][0].page
            if page.imagewidth >= last.imagewidth or page.imagelength >= last.imagelength:
                continue
            ratio = (first.imagewidth / page.imagewidth) / (first.imagelength / page.imagelength)
            if abs(math.log(ratio)) > 0.05 or page.dtype != first.dtype:
                continue
        if page.samplesperpixel > 1 and page.planarconfig == 2:
            step = len(page.dataoffsets) // page.samplesperpixel
            levels.append([_Plane(page, k * step) for k in range(page.samplesperpixel)])
        else:
            levels.append([_Plane(page, 0)])
    return levels


def _channel_levels(tif: tifffile.TiffFile) -> list[list[_Plane]]:
    """Return an OME-TIFF's levels that store red, green and blue as pages; empty if not so."""
    series = tif.series[0] if tif.is_ome else None
    if series is None or series.axes != "CYX" or series.shape[0] != 3:
        return []
    return [
        [
            _Plane(page if isinstance(page, tifffile.TiffPage) else page.aspage(), 0)
            for page in pages
        ]
        for pages in ([p for p in level.pages if p is not None] for level in series.levels)
    ]


def _format_name(tif: tifffile.TiffFile) -> str:
    if tif.is_svs:
        return "Aperio SVS"
    if tif.is_ome:
        return "OME-TIFF"
    return "tiled TIFF"


def tiff_mpp(tif: tifffile.TiffFile) -> tuple[Mpp | None, str]:
    """Return a TIFF's level-0 resolution, and a note where it states none that can be true.

    Returns
    -------
    mpp : Mpp or None
    note : str
        Empty if ``mpp`` is given.
    """
    candidates: Sequence[tuple[float, float, str]] = [
        c for c in (_aperio_mpp(tif), _ome_mpp(tif), _resolution_mpp(tif)) if c is not None
    ]
    for x, y, source in candidates:
        if is_plausible_mpp(x) and is_plausible_mpp(y) and 0.5 <= x / y <= 2:
            return Mpp(x, y, source), ""
    if candidates:
        x, _, source = candidates[0]
        return None, f"the file says {x:.4g} µm/px ({source}), which cannot be true"
    return None, "the file states no resolution"


def _aperio_mpp(tif: tifffile.TiffFile) -> tuple[float, float, str] | None:
    if not tif.is_svs:
        return None
    match = re.search(r"\|\s*MPP\s*=\s*([0-9.eE+-]+)", tif.pages.first.description)
    if not match:
        return None
    with contextlib.suppress(ValueError):
        value = float(match.group(1))
        return value, value, "Aperio MPP"
    return None


def _ome_mpp(tif: tifffile.TiffFile) -> tuple[float, float, str] | None:
    if not tif.is_ome or tif.ome_metadata is None:
        return None
    values = []
    for axis in "XY":
        size = re.search(rf'PhysicalSize{axis}="([^"]+)"', tif.ome_metadata)
        unit = re.search(rf'PhysicalSize{axis}Unit="([^"]+)"', tif.ome_metadata)
        factor = _UM_PER.get(unit.group(1) if unit else "µm")
        if size is None or factor is None:
            return None
        try:
            values.append(float(size.group(1)) * factor)
        except ValueError:
            return None
    return values[0], values[1], "OME PhysicalSize"


def _resolution_mpp(tif: tifffile.TiffFile) -> tuple[float, float, str] | None:
    tags = tif.pages.first.tags
    um = _UM_PER_RESOLUTION_UNIT.get(int(tags.valueof("ResolutionUnit", default=0) or 0))
    x, y = tags.valueof("XResolution"), tags.valueof("YResolution")
    if um is None or x is None or y is None or not (x[0] and x[1] and y[0] and y[1]):
        return None
    return um * x[1] / x[0], um * y[1] / y[0], "TIFF resolution tag"


def _check_directories(path: Path, file: BinaryIO) -> None:
    """Follow the chain of image directories; a chain that leaves the file was cut off."""
    file.seek(0)
    header = file.read(16).ljust(16, b"\0")
    order = "<" if header[:2] == b"II" else ">"
    big = header[2:4] in (b"+\0", b"\0+")
    offset_type, count_type, entry = ("Q", "Q", 20) if big else ("I", "H", 12)
    (offset,) = struct.unpack_from(order + offset_type, header, 8 if big else 4)
    size = file.seek(0, 2)
    seen: set[int] = set()
    while offset:
        if offset in seen:
            raise SlideReadError(
                f"{path}: the TIFF structure is damaged, its image directories form a loop; copy "
                "the file again from its source"
            )
        seen.add(offset)
        file.seek(offset)
        count = _unpack(order + count_type, file)
        if offset >= size or count is None:
            raise _truncated(path, f"an image directory at byte {offset} lies beyond its end")
        file.seek(count * entry, 1)
        following = _unpack(order + offset_type, file)
        if following is None:
            raise _truncated(path, f"the image directory at byte {offset} is incomplete")
        offset = following


def _unpack(kind: str, file: BinaryIO) -> int | None:
    size = struct.calcsize(kind)
    data = file.read(size)
    return int(struct.unpack(kind, data)[0]) if len(data) == size else None


def _truncated(path: Path, why: str) -> SlideReadError:
    return SlideReadError(f"{path}: the file is truncated, {why}; copy it again from its source")


def open_tiff(request: SlideRequest) -> TiffBackend | None:
    """Open a tiled TIFF, or return None if it is no TIFF, not tiled or one that OpenSlide reads.

    Raises
    ------
    SlideReadError
        If the file is a TIFF but damaged or truncated.
    """
    path = request.path
    with path.open("rb") as file:
        if file.read(4) not in TIFF_MAGIC:
            return None
        if is_ndpi(path):
            return None
        _check_directories(path, file)
    try:
        tif = tifffile.TiffFile(path)
    except (tifffile.TiffFileError, OSError, ValueError, IndexError) as error:
        raise SlideReadError(
            f"{path}: the TIFF structure is damaged or cut off ({error}); copy the file again "
            "from its source"
        ) from error
    try:
        tiled = any(page.is_tiled for page in tif.pages if isinstance(page, tifffile.TiffPage))
        if not tiled or scanner_of_tiff(tif) is not None:
            tif.close()
            return None
        return TiffBackend(path, tif)
    except (NotASlideError, SlideReadError):
        tif.close()
        raise
    # A cut-off directory surfaces as whatever the parser trips over.
    except Exception as error:
        tif.close()
        raise SlideReadError(
            f"{path}: the TIFF structure is damaged or cut off ({error}); copy the file again "
            "from its source"
        ) from error
