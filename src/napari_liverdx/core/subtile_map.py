"""The map of cells that tiles are painted into."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.core.grid import TileGrid, TileIndex

__all__ = ["CellMap"]


class CellMap:
    """Probabilities cell by cell; where tiles overlap, their mean.

    Parameters
    ----------
    grid : TileGrid
        The tiles.
    cells : int
        Cells along a tile's side.
    n_classes : int

    Attributes
    ----------
    values : ndarray of float32, shape (classes, rows, columns)
        Zero where nothing was painted.
    weights : ndarray of float32, shape (rows, columns)
        Number of tiles painted over each cell.
    """

    def __init__(self, grid: TileGrid, cells: int, n_classes: int) -> None:
        self._grid, self._cells = grid, cells
        shape = self.shape(grid, cells)
        self.values: NDArray[np.float32] = np.zeros((n_classes, *shape), np.float32)
        self.weights: NDArray[np.float32] = np.zeros(shape, np.float32)

    @staticmethod
    def shape(grid: TileGrid, cells: int) -> tuple[int, int]:
        """Rows and columns of the map."""
        top, left = _corner(grid, cells, TileIndex(grid.n_rows - 1, grid.n_cols - 1))
        return top + cells, left + cells

    def paint(self, tile: TileIndex, values: NDArray[np.float32]) -> None:
        """Take a tile's cells, shape (classes, cells, cells), into the mean."""
        top, left = _corner(self._grid, self._cells, tile)
        place = (slice(top, top + self._cells), slice(left, left + self._cells))
        self.weights[place] += 1
        target = self.values[(slice(None), *place)]
        target += (values - target) / self.weights[place]

    def block(self, row: int, col: int, side: int) -> tuple[slice, slice, slice]:
        """What a block of ``side`` × ``side`` tiles touches, as slices of `values`."""
        first = TileIndex(row * side, col * side)
        last = TileIndex((row + 1) * side - 1, (col + 1) * side - 1)
        top, left = _corner(self._grid, self._cells, first)
        bottom, right = _corner(self._grid, self._cells, last)
        return slice(None), slice(top, bottom + self._cells), slice(left, right + self._cells)


def _corner(grid: TileGrid, cells: int, tile: TileIndex) -> tuple[int, int]:
    """Row and column of a tile's first cell in the map, to the nearest cell under overlap."""
    return (
        round(tile.row * grid.stride_y * cells / grid.tile_height),
        round(tile.col * grid.stride_x * cells / grid.tile_width),
    )
