"""The map that tiles are painted into."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.core.grid import TileGrid, TileIndex

__all__ = ["SubtileMap"]


class SubtileMap:
    """Probabilities map pixel by map pixel; where tiles overlap, their mean.

    Parameters
    ----------
    grid : TileGrid
        The tiles.
    subtiles : int
        Map pixels along a tile's side.
    n_classes : int

    Attributes
    ----------
    values : ndarray of float32, shape (classes, rows, columns)
        Zero where nothing was painted.
    weights : ndarray of float32, shape (rows, columns)
        Number of tiles painted over each map pixel.
    """

    def __init__(self, grid: TileGrid, subtiles: int, n_classes: int) -> None:
        self._grid, self._subtiles = grid, subtiles
        shape = self.shape(grid, subtiles)
        self.values: NDArray[np.float32] = np.zeros((n_classes, *shape), np.float32)
        self.weights: NDArray[np.float32] = np.zeros(shape, np.float32)

    @staticmethod
    def shape(grid: TileGrid, subtiles: int) -> tuple[int, int]:
        """Return rows and columns of the map."""
        top, left = _corner(grid, subtiles, TileIndex(grid.n_rows - 1, grid.n_cols - 1))
        return top + subtiles, left + subtiles

    def paint(self, tile: TileIndex, values: NDArray[np.float32]) -> None:
        """Take a tile's map pixels, shape (classes, map pixels, map pixels), into the mean."""
        top, left = _corner(self._grid, self._subtiles, tile)
        place = (slice(top, top + self._subtiles), slice(left, left + self._subtiles))
        self.weights[place] += 1
        target = self.values[(slice(None), *place)]
        target += (values - target) / self.weights[place]

    def clear(self) -> None:
        """Take all tiles out again; `values` stays the same array."""
        self.values[...] = 0
        self.weights[...] = 0

    def block(self, row: int, col: int, side: int) -> tuple[slice, slice, slice]:
        """Return what a block of ``side`` × ``side`` tiles touches, as slices of `values`."""
        first = TileIndex(row * side, col * side)
        last = TileIndex((row + 1) * side - 1, (col + 1) * side - 1)
        top, left = _corner(self._grid, self._subtiles, first)
        bottom, right = _corner(self._grid, self._subtiles, last)
        return slice(None), slice(top, bottom + self._subtiles), slice(left, right + self._subtiles)

    def blocks_at(self, place: tuple[slice, ...], side: int) -> list[tuple[int, int]]:
        """Return the blocks of ``side`` × ``side`` tiles that touch a part of `values`."""
        rows, cols = (range(-(-n // side)) for n in self._grid.shape)
        return [
            (row, col)
            for row in rows
            for col in cols
            if all(
                own.start < part.stop and part.start < own.stop
                for own, part in zip(self.block(row, col, side)[1:], place[1:], strict=True)
            )
        ]


def _corner(grid: TileGrid, subtiles: int, tile: TileIndex) -> tuple[int, int]:
    """Return row and column of a tile's first map pixel, to the nearest under overlap."""
    return (
        round(tile.row * grid.stride_y * subtiles / grid.tile_height),
        round(tile.col * grid.stride_x * subtiles / grid.tile_width),
    )
