"""Reading tiles of a grid: at the model's resolution, and as thumbnails."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_liverdx.core.errors import SlideReadError
from napari_liverdx.core.grid import TileGrid, TileIndex
from napari_liverdx.slides.slide import Slide

__all__ = ["Thumbnail", "read_thumbnails", "read_tile"]


@dataclass(frozen=True, slots=True, eq=False)
class Thumbnail:
    """A small picture of a tile.

    Attributes
    ----------
    tile : TileIndex
    rgb : ndarray of uint8, shape (side, side, 3)
    """

    tile: TileIndex
    rgb: NDArray[np.uint8]


def read_tile(slide: Slide, grid: TileGrid, tile: TileIndex, out: NDArray[np.uint8]) -> None:
    """Read one tile at the model's resolution into ``out``.

    Parameters
    ----------
    slide : Slide
        The slide to read.
    grid : TileGrid
        The grid.
    tile : TileIndex
        Which tile.
    out : ndarray of uint8, shape (tile_size, tile_size, 3)
        Written to.

    Raises
    ------
    TileReadError
        If a stored tile under it cannot be decoded.
    """
    x, y, width, height = grid.level_rect(tile)
    if (height, width) == out.shape[:2]:
        slide.read_region(grid.level, x, y, width, height, out)
        return
    # Pillow widens the filter when it reduces, so nothing aliases; see Image.resize.
    pixels = Image.fromarray(slide.read_region(grid.level, x, y, width, height))
    out[...] = np.asarray(pixels.resize(out.shape[1::-1], Image.Resampling.BILINEAR))


def read_thumbnails(
    slide: Slide, grid: TileGrid, tiles: Sequence[TileIndex], side: int, stop: threading.Event
) -> Iterator[Thumbnail]:
    """Read thumbnails of tiles, one after another; an unreadable one is left gray.

    Parameters
    ----------
    slide : Slide
        The slide to read.
    grid : TileGrid
        Where the tiles stand.
    tiles : sequence of TileIndex
        Which, in this order.
    side : int
        Of the pictures, in pixels.
    stop : threading.Event
        Set it to end the reading.
    """
    pixels = np.empty((grid.tile_size, grid.tile_size, 3), np.uint8)
    for tile in tiles:
        if stop.is_set():
            return
        try:
            read_tile(slide, grid, tile, pixels)
        except SlideReadError:
            pixels[...] = 128
        small = Image.fromarray(pixels).resize((side, side), Image.Resampling.BOX)
        yield Thumbnail(tile, np.asarray(small))
