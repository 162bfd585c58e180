"""The levels of a slide as lazily read dask arrays."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from napari_liverdx.core.errors import SlideReadError
from napari_liverdx.slides.backend import WHITE
from napari_liverdx.slides.slide import Slide

__all__ = ["dask_levels"]

_CHUNK = 1024


def dask_levels(slide: Slide) -> list[da.Array]:
    """Build one array per level, finest first, each strictly smaller than the one before.

    Chunks are whole stored tiles, up to 1024 px. A tile that cannot be decoded shows as white:
    looking at a slide must not fail for one damaged tile.

    Returns
    -------
    list of dask.array.Array
        uint8, shape (rows, columns, 3).
    """
    arrays: list[da.Array] = []
    for index, level in enumerate(slide.levels):
        if arrays and (level.height >= arrays[-1].shape[0] or level.width >= arrays[-1].shape[1]):
            continue
        rows = _chunks(level.height, level.tile_height)
        cols = _chunks(level.width, level.tile_width)
        arrays.append(
            da.map_blocks(  # type: ignore[no-untyped-call]
                _read_block,
                slide=slide,
                level=index,
                chunks=(rows, cols, (3,)),
                dtype=np.uint8,
                meta=np.empty((0, 0, 0), np.uint8),
                name=f"slide-{slide.fingerprint()[:16]}-{id(slide):x}-{index}",
            )
        )
    return arrays


def _chunks(length: int, tile: int) -> tuple[int, ...]:
    step = max(1, _CHUNK // tile) * tile
    whole, rest = divmod(length, step)
    return (step,) * whole + ((rest,) if rest else ())


def _read_block(
    slide: Slide, level: int, block_info: dict[Any, Any] | None = None
) -> NDArray[np.uint8]:
    (y0, y1), (x0, x1), _ = block_info[None]["array-location"]  # type: ignore[index]
    try:
        return slide.read_region(level, x0, y0, x1 - x0, y1 - y0)
    except SlideReadError:
        return _read_tilewise(slide, level, x0, y0, x1 - x0, y1 - y0)


def _read_tilewise(
    slide: Slide, level: int, x: int, y: int, width: int, height: int
) -> NDArray[np.uint8]:
    out = np.full((height, width, 3), WHITE, np.uint8)
    shape = slide.levels[level]
    for top in range(y, y + height, shape.tile_height):
        for left in range(x, x + width, shape.tile_width):
            h = min(shape.tile_height, y + height - top)
            w = min(shape.tile_width, x + width - left)
            try:
                out[top - y : top - y + h, left - x : left - x + w] = slide.read_region(
                    level, left, top, w, h
                )
            except SlideReadError:
                continue
    return out
