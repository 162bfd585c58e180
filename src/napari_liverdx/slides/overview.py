"""A small picture of a whole slide, whatever its size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_liverdx.core.errors import TileReadError
from napari_liverdx.core.resolution import Level, level_for_downsample
from napari_liverdx.slides.backend import WHITE

__all__ = ["Overview", "read_overview"]

_MOST_PIXELS = 10_000_000
"""Tissue is detected in it, which takes some seventy bytes a pixel: 100,000 pixels on a side at
0.25 µm/px are seen at 8 µm/px, larger ones a little coarser."""

_STRIP_BYTES = 192 * 2**20
"""Of the row of stored tiles, or the part of it, that is shrunken at a time."""

ReadTile = Callable[[int, int, int], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True, eq=False)
class Overview:
    """A small picture of the whole slide.

    Attributes
    ----------
    rgb : ndarray of uint8, shape (rows, columns, 3)
    scale_x, scale_y : float
        Level-0 pixels per picture pixel.
    unreadable : int
        Stored tiles that could not be decoded and are left white.
    """

    rgb: NDArray[np.uint8]
    scale_x: float
    scale_y: float
    unreadable: int = 0


def read_overview(levels: Sequence[Level], read: ReadTile, downsample: float) -> Overview:
    """Read a picture of a slide, strip by strip in bounded memory.

    Undecodable stored tiles are left white and counted, so that a slide with one damaged tile can
    still be shown. A picture has at most 10 million pixels; of a slide that would need more a
    coarser one is read.

    Parameters
    ----------
    levels : sequence of Level
        Of the slide, finest first.
    read : callable
        Takes level, row and column, and returns a stored tile.
    downsample : float
        Level-0 pixels per picture pixel, about.
    """
    width, height = levels[0].width, levels[0].height
    downsample = max(downsample, (width * height / _MOST_PIXELS) ** 0.5)
    index = level_for_downsample(levels, downsample)
    level = levels[index]
    cols = max(1, round(level.width * level.downsample / downsample))
    rows = max(1, round(level.height * level.downsample / downsample))
    rgb = np.full((rows, cols, 3), WHITE, np.uint8)
    last = level.tile_shape[0] - 1
    unreadable = done = 0
    for row in range(last + 1):
        bottom = min((row + 1) * level.tile_height, level.height)
        end = rows if row == last else round(bottom * rows / level.height)
        if end <= done:
            continue
        unreadable += _shrink_row(level, row, lambda r, c: read(index, r, c), rgb[done:end])
        done = end
    return Overview(rgb, width / cols, height / rows, unreadable)


def _shrink_row(
    level: Level, row: int, read: Callable[[int, int], NDArray[np.uint8]], out: NDArray[np.uint8]
) -> int:
    """Read a row of stored tiles, shrunken into ``out``; returns how many are unreadable."""
    tall = min(level.tile_height, level.height - row * level.tile_height)
    cols = out.shape[1]
    # Mostly one part, the whole row: that of a very wide slide would not fit into memory.
    step = max(1, cols // -(-tall * level.width * 3 // _STRIP_BYTES))
    unreadable = 0
    for first in range(0, cols, step):
        last = min(first + step, cols)
        begin, end = first * level.width / cols, last * level.width / cols
        near = int(begin) // level.tile_width
        far = min(-(-int(end + 1) // level.tile_width), level.tile_shape[1])
        origin = near * level.tile_width
        wide = min(far * level.tile_width, level.width) - origin
        strip = np.full((tall, wide, 3), WHITE, np.uint8)
        for col in range(near, far):
            try:
                tile = read(row, col)
            except TileReadError:
                unreadable += 1
                continue
            left = col * level.tile_width - origin
            part = strip[:, left : left + level.tile_width]
            part[...] = tile[: part.shape[0], : part.shape[1]]
        box = (begin - origin, 0, min(end - origin, wide), tall)
        small = Image.fromarray(strip).resize((last - first, len(out)), Image.Resampling.BOX, box)
        out[:, first:last] = np.asarray(small)
    return unreadable
