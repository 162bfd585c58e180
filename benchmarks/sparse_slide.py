"""A slide of any size in a small file: glass is not stored, all tissue tiles are one."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.sample import sample_path

__all__ = ["write_sparse_slide"]

_TILE = 512
_SHORT, _RATIONAL, _LONG8 = 3, 5, 16
_DTYPES = {_SHORT: "<u2", _RATIONAL: "<u4", _LONG8: "<u8"}


def write_sparse_slide(
    path: Path, side: int = 100_000, *, levels: int = 4, mpp: float = 0.25, radius: float = 0.4
) -> None:
    """Write a BigTIFF pyramid of ``side`` × ``side`` pixels with a disc of liver.

    Parameters
    ----------
    path : Path
        File to write, a few megabytes.
    side : int
        Of the finest level, in pixels.
    levels : int
        Each a quarter as wide as the one before.
    mpp : float
        Of the finest level, in µm per pixel.
    radius : float
        Of the disc, as a share of the side; half of the slide is liver by default.
    """
    with path.open("wb") as file:
        file.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0))
        link = 8
        for level in range(levels):
            data = zlib.compress(_tissue(4**level).tobytes())
            stored = file.tell(), len(data)
            file.write(data)
            link = _write_level(file, side // 4**level, stored, mpp * 4**level, link, radius)


def _tissue(downsample: int) -> NDArray[np.uint8]:
    """Return a tile of real liver at 0.25 µm/px times ``downsample``, its neighbors beside it."""
    with open_slide(sample_path()) as slide:
        piece = slide.read_region(0, 2000, 600, _TILE // 2, _TILE // 2)
    side = max(8, _TILE // downsample)
    small = np.asarray(Image.fromarray(piece).resize((side, side), Image.Resampling.BOX))
    return np.tile(small, (_TILE // side, _TILE // side, 1))


def _write_level(
    file: BinaryIO, side: int, stored: tuple[int, int], mpp: float, link: int, radius: float
) -> int:
    """Append a level's directory; returns where the place of the next one is to be written."""
    across = -(-side // _TILE)
    middle = (np.arange(across) + 0.5) / across - 0.5
    is_tissue = (middle[:, None] ** 2 + middle**2 < radius**2).ravel()
    per_cm = (round(1e7 / mpp), 1000)
    entries = (
        (254, _LONG8, [int(link != 8)]),
        (256, _LONG8, [side]),
        (257, _LONG8, [side]),
        (258, _SHORT, [8, 8, 8]),
        (259, _SHORT, [8]),
        (262, _SHORT, [2]),
        (277, _SHORT, [3]),
        (282, _RATIONAL, per_cm),
        (283, _RATIONAL, per_cm),
        (284, _SHORT, [1]),
        (296, _SHORT, [3]),
        (322, _LONG8, [_TILE]),
        (323, _LONG8, [_TILE]),
        (324, _LONG8, is_tissue * stored[0]),
        (325, _LONG8, is_tissue * stored[1]),
    )
    directory = struct.pack("<Q", len(entries))
    for tag, kind, values in entries:
        data = np.asarray(values, _DTYPES[kind]).tobytes()
        count = len(values) // (2 if kind == _RATIONAL else 1)
        if len(data) > 8:
            place = struct.pack("<Q", file.tell())
            file.write(data)
            data = place
        directory += struct.pack("<HHQ", tag, kind, count) + data.ljust(8, b"\0")
    at = file.tell()
    file.write(directory + bytes(8))
    file.seek(link)
    file.write(struct.pack("<Q", at))
    file.seek(0, 2)
    return at + len(directory)
