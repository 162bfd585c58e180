"""What is measured: the map, or the tiles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_liverdx._ids import Choice
from napari_liverdx.core.measure import MeasurementMap
from napari_liverdx.results.store import ResultStore, TileState

__all__ = ["MapKind", "measurement_map"]


class MapKind(Choice):
    """What a measurement is taken on.

    Attributes
    ----------
    SUBTILES
        The dense map; where tiles overlap, their map pixels are averaged.
    TILES
        Each tile's own probabilities in its box, which is one stride wide and high and begins at
        the tile's upper-left corner. What belongs to no analyzed tile's box but is covered by
        analyzed tiles (beyond the last tiles, and where a tile was left out or failed) has the
        probabilities of the last of them in reading order.
    TILES_AVERAGED
        In each box the mean of all analyzed tiles that cover its center; where there is none, as
        in TILES.
    """

    SUBTILES = "subtiles", "Map pixels", "Cells", "cells"
    TILES = "tiles", "Tiles", "Tiles"
    TILES_AVERAGED = (
        "tiles_averaged",
        "Tiles, overlaps averaged",
        "Tiles, overlaps averaged",
        "tiles-averaged",
    )


def measurement_map(store: ResultStore, map_kind: MapKind = MapKind.SUBTILES) -> MeasurementMap:
    """Build the map to measure a result on.

    Tiles are painted on the map, so that tissue keeps the outline it has there and an
    area is that of the tissue in a tile, not of the tile.

    Parameters
    ----------
    store : ResultStore
        The result.
    map_kind : MapKind
        What to measure. The map shares its memory with the store.
    """
    tissue = store.tissue_subtiles()
    values = (
        store.probabilities if map_kind is MapKind.SUBTILES else _painted(store, map_kind, tissue)
    )
    (width, height), (mpp_x, mpp_y) = store.subtile_size, store.manifest.mpp
    subtile_um = (width * mpp_x, height * mpp_y)
    return MeasurementMap(
        values, tissue, store.origin, store.subtile_size, subtile_um, store.subtile_area_um2
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Axis:
    """The boxes of tiles along one axis of the map; they go on to its end.

    Attributes
    ----------
    tiles : int
        Number of tiles; further boxes have none of their own.
    first : ndarray of int, shape (boxes,)
        First map pixel of each box, and of its tile.
    box : ndarray of int, shape (map pixels of the map,)
        Box of each map pixel.
    span : int
        Map pixels along a tile.
    reach : int
        A box's center may lie on its own tile and on the ``reach - 1`` before it.
    """

    tiles: int
    first: NDArray[np.intp]
    box: NDArray[np.intp]
    span: int
    reach: int

    @classmethod
    def of(cls, tiles: int, stride: int, tile: int, span: int, length: int) -> _Axis:
        """Lay boxes of one stride each (pixels) over ``length`` map pixels."""
        boxes = tiles + -(-tile // stride)
        # As tiles are painted into the map; see `napari_liverdx.core.subtile_map`.
        first = np.rint(np.arange(boxes) * stride * span / tile).astype(np.intp)
        box = np.searchsorted(first, np.arange(length), "right") - 1
        return cls(tiles, first, box, span, -(-(2 * tile - stride) // (2 * stride)))

    def tile(
        self, subtiles: NDArray[np.intp], back: int
    ) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Return each map pixel's tile ``back`` boxes before its own, and whether it covers it."""
        index = self.box[subtiles] - back
        there = (index >= 0) & (index < self.tiles)
        index = np.where(there, index, 0)
        return index, there & (subtiles < self.first[index] + self.span)

    @property
    def most_back(self) -> int:
        """No tile that begins more boxes before a map pixel's own covers it."""
        return int(np.searchsorted(self.first, self.span, "right"))


def _painted(
    store: ResultStore, map_kind: MapKind, tissue: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Paint the probabilities of tiles on the map, shape (classes, rows, columns)."""
    grid, span = store.manifest.grid, store.manifest.subtiles
    rows = _Axis.of(grid.n_rows, grid.stride_y, grid.tile_height, span, tissue.shape[0])
    cols = _Axis.of(grid.n_cols, grid.stride_x, grid.tile_width, span, tissue.shape[1])
    tiles, done = store.tile_probabilities, store.state == TileState.DONE
    averaged = map_kind is MapKind.TILES_AVERAGED
    reach = (rows.reach, cols.reach) if averaged else (1, 1)
    boxes, known = _boxes(tiles, done, (len(rows.first), len(cols.first)), reach)
    painted = boxes[:, rows.box[:, None], cols.box]
    open_subtiles = np.nonzero(tissue & ~known[rows.box[:, None], cols.box])
    for back_y in range(rows.most_back + 1):
        for back_x in range(cols.most_back + 1):
            if not len(open_subtiles[0]):
                return painted
            row, covers_y = rows.tile(open_subtiles[0], back_y)
            col, covers_x = cols.tile(open_subtiles[1], back_x)
            hit = covers_y & covers_x & done[row, col]
            painted[:, open_subtiles[0][hit], open_subtiles[1][hit]] = tiles[:, row[hit], col[hit]]
            open_subtiles = open_subtiles[0][~hit], open_subtiles[1][~hit]
    return painted


def _boxes(
    tiles: NDArray[np.float32],
    done: NDArray[np.bool_],
    shape: tuple[int, int],
    reach: tuple[int, int],
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Average in each box its own tile and those up to ``reach - 1`` before it.

    Returns
    -------
    ndarray of float32, shape (classes, *shape)
        Zero where no such tile is done.
    ndarray of bool, shape ``shape``
        Whether one is.
    """
    total = np.zeros((len(tiles), *shape), np.float64)
    count = np.zeros(shape, np.intp)
    values = np.where(done, tiles, 0)
    n_rows, n_cols = done.shape
    for y in range(reach[0]):
        for x in range(reach[1]):
            place = (slice(y, y + n_rows), slice(x, x + n_cols))
            total[(slice(None), *place)] += values
            count[place] += done
    return (total / np.maximum(count, 1)).astype(np.float32), count > 0
