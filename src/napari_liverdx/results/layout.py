"""The arrays of a result on disk."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import numpy as np
import zarr

from napari_liverdx.core.grid import TileIndex
from napari_liverdx.core.subtile_map import SubtileMap
from napari_liverdx.core.tissue import TissueMask
from napari_liverdx.results.arrays import child_array, fitting_chunks
from napari_liverdx.results.manifest import RunManifest

__all__ = ["TileState", "add_ood_array", "create_arrays"]


class TileState(IntEnum):
    """What has become of a tile."""

    PENDING = 0
    DONE = 1
    FAILED = 2
    NO_TISSUE = 3

    @property
    def id(self) -> str:
        """By which tables name it."""
        return _STATE_IDS[self]


_STATE_IDS = {
    TileState.PENDING: "pending",
    TileState.DONE: "done",
    TileState.FAILED: "failed",
    TileState.NO_TISSUE: "no_tissue",
}


def create_arrays(
    group: zarr.Group,
    manifest: RunManifest,
    tissue: TissueMask,
    tiles: Sequence[TileIndex],
    block: int,
) -> None:
    """Make the arrays of an empty result in ``group``, in chunks of ``block`` × ``block`` tiles."""
    classes, grid, k = len(manifest.classes), manifest.grid, manifest.subtiles
    rows, cols = grid.shape
    for name, shape, chunks, dtype in (
        ("cells", (classes, rows * k, cols * k), (classes, block * k, block * k), "f4"),
        ("tiles", (classes, rows, cols), (classes, block, block), "f4"),
        ("state", (rows, cols), (block, block), "u1"),
    ):
        group.create_array(name, shape=shape, chunks=fitting_chunks(chunks, shape), dtype=dtype)
    map_shape = (classes, *SubtileMap.shape(grid, k))
    group.create_array(
        "probabilities",
        shape=map_shape,
        chunks=fitting_chunks((classes, 256, 256), map_shape),
        dtype="f4",
        dimension_names=("c", "y", "x"),
    )
    add_ood_array(group, grid.shape, block)
    state = np.full(grid.shape, TileState.NO_TISSUE, np.uint8)
    for tile in tiles:
        state[tile.row, tile.col] = TileState.PENDING
    child_array(group, "state")[...] = state
    mask = group.create_array(
        "tissue",
        shape=tissue.mask.shape,
        chunks=fitting_chunks((1024, 1024), tissue.mask.shape),
        dtype="u1",
    )
    mask[...] = tissue.mask.astype(np.uint8)
    mask.attrs["level0_pixels_per_pixel"] = [tissue.scale_x, tissue.scale_y]


def add_ood_array(group: zarr.Group, shape: tuple[int, int], block: int) -> None:
    """Make the array of the tiles' domain scores, NaN where none was given."""
    group.create_array(
        "domain",
        shape=shape,
        chunks=fitting_chunks((block, block), shape),
        dtype="f4",
        fill_value=np.nan,
    )
