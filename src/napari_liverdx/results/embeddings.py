"""The embeddings of tiles, kept beside a result when asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_liverdx._files import remove
from napari_liverdx.core.errors import ResultError, storage_errors
from napari_liverdx.core.grid import TileIndex
from napari_liverdx.results.arrays import (
    CHECKED,
    DAMAGE,
    child_array,
    fitting_chunks,
    read_chunks,
    write_part,
)

__all__ = ["EmbeddingGrid"]

_NAME = "embeddings"
_FEATURES = "liverdx_embedding_size"
_BLOCK = 32


class EmbeddingGrid:
    """One embedding per tile, NaN where there is none; half precision, for they are large.

    Parameters
    ----------
    group : zarr.Group
        The result's group; an array that it holds is read.
    path : Path
        Of the result, for messages.
    shape : tuple of int
        Tile rows and columns.

    Attributes
    ----------
    values : ndarray of float16, shape (features, rows, columns), or None
        None until the first embedding came.

    Raises
    ------
    ResultError
        If the stored array is damaged or of another grid.
    """

    def __init__(self, group: zarr.Group, path: Path, shape: tuple[int, int]) -> None:
        self._group, self._path, self._shape = group, path, shape
        self.values: NDArray[np.float16] | None = None
        features = group.attrs.get(_FEATURES)
        if isinstance(features, int) and not _is_stored(group):
            with storage_errors(path, "the tiles are kept"):
                self._create(features)
        if _is_stored(group):
            # Tiles in a chunk that is damaged read as having none, and get one again.
            self.values, _ = read_chunks(group, _NAME, path)
            if self.values.ndim != 3 or self.values.shape[1:] != shape:
                raise ResultError(
                    f"{path}: array {_NAME!r} does not fit the tiles; remove the result and "
                    "analyze the slide again"
                )

    def has(self, tile: TileIndex) -> bool:
        """Return whether the tile's embedding is there."""
        return self.values is not None and bool(np.isfinite(self.values[0, tile.row, tile.col]))

    def put(self, tile: TileIndex, embedding: NDArray[np.float32]) -> None:
        """Keep the embedding of a tile, shape (features,), in memory."""
        if self.values is None:
            self.values = np.full((len(embedding), *self._shape), np.nan, np.float16)
        limit = np.finfo(np.float16).max
        self.values[:, tile.row, tile.col] = np.nan_to_num(embedding).clip(-limit, limit)

    def write(self, rows: slice, cols: slice) -> None:
        """Bring a block of tiles on disk up to date."""
        if self.values is None:
            return
        if not _is_stored(self._group):
            self._create(len(self.values))
        write_part(child_array(self._group, _NAME), self.values, (slice(None), rows, cols))

    def _create(self, features: int) -> None:
        """Make the array; chunks that lost their metadata are found again."""
        remove(self._path / _NAME / "zarr.json")
        self._group.create_array(
            _NAME,
            shape=(features, *self._shape),
            chunks=fitting_chunks((features, _BLOCK, _BLOCK), (features, *self._shape)),
            dtype="f2",
            fill_value=float("nan"),
            compressors=CHECKED,
        )
        self._group.attrs.update({_FEATURES: features})


def _is_stored(group: zarr.Group) -> bool:
    """Return whether there are embeddings; without their metadata nothing can be read of them."""
    try:
        child_array(group, _NAME)
    except DAMAGE:
        return False
    return True
