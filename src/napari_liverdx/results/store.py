"""Results on disk: an OME-Zarr group that a killed run can resume."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_liverdx._files import atomic_write
from napari_liverdx.core.errors import (
    ResultError,
    ResultMismatchError,
    existing_path,
    storage_errors,
)
from napari_liverdx.core.grid import TileIndex
from napari_liverdx.core.subtile_map import SubtileMap
from napari_liverdx.core.tissue import TissueMask
from napari_liverdx.results.arrays import child_array, read_chunks, write_part
from napari_liverdx.results.embeddings import EmbeddingGrid
from napari_liverdx.results.layout import (
    TileState,
    add_ood_array,
    create_arrays,
    mend,
    open_parts,
    read_values,
    stale_blocks,
)
from napari_liverdx.results.manifest import (
    ResultGeometry,
    RunManifest,
    group_attributes,
)
from napari_liverdx.results.review_log import Reviewed
from napari_liverdx.results.slide_prediction import Refined

__all__ = ["ResultStore", "RunManifest", "TileState"]

_BLOCK = 32


class ResultStore(ResultGeometry, Reviewed, Refined):
    """A result, held in memory and written block by block.

    The arrays in memory are what viewers show; `flush` brings the disk up to date. On disk a tile
    counts once its state says so, which is written last: a killed run leaves no half-written tile.

    Attributes
    ----------
    path, manifest, tissue
    probabilities : ndarray of float32, shape (classes, rows, columns)
        Map pixel by map pixel; overlapping tiles are averaged. Zero where nothing was analyzed.
    tile_probabilities : ndarray of float32, shape (classes, tile rows, tile columns)
    state : ndarray of uint8, shape (tile rows, tile columns)
        `TileState` values.
    ood : ndarray of float32, shape (tile rows, tile columns)
        How unlike the training data each tile is, 1 at the limit; NaN where it is not known.
    damaged : int
        Tiles that had been done and are pending again, because what was stored of them is damaged.
    """

    def __init__(self, path: Path, group: zarr.Group, manifest: RunManifest, tissue: TissueMask):
        self.path = path
        self.manifest = manifest
        self.tissue = tissue
        self._group = group
        self._dirty: set[tuple[int, int]] = set()
        self._slots, self.tile_probabilities, self.state, self.ood, self.damaged = read_values(
            group, path, manifest
        )
        self._embeddings: EmbeddingGrid | None = None
        self._map = SubtileMap(manifest.grid, manifest.subtiles, len(manifest.classes))
        self.probabilities = self._map.values
        self._paint()

    # -- opening --

    @classmethod
    def create(
        cls,
        path: Path,
        manifest: RunManifest,
        tissue: TissueMask,
        tiles: Sequence[TileIndex],
    ) -> Self:
        """Make an empty result.

        Parameters
        ----------
        path : Path
            Must not exist.
        manifest : RunManifest
            How the run was set up.
        tissue : TissueMask
            Where tissue is.
        tiles : sequence of TileIndex
            Tiles to analyze; all others are marked as holding no tissue.

        Raises
        ------
        ResultError, StorageFullError
            If the folder cannot be made, or the disk is full.
        """
        manifest = manifest.model_copy(
            update={"created": datetime.now(UTC).isoformat(timespec="seconds")}
        )
        with (
            storage_errors(path, "nothing was lost"),
            atomic_write(path, make_folder=True) as partial,
        ):
            group = zarr.open_group(partial, mode="w", zarr_format=3)
            create_arrays(group, manifest, tissue, tiles, _BLOCK)
            group.attrs.update(group_attributes(manifest))
        return cls(path, zarr.open_group(path, mode="r+"), manifest, tissue)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open an existing result.

        Raises
        ------
        ResultError
            If it is missing, damaged or not a result of this program.
        """
        return cls(path, *open_parts(path))

    @classmethod
    def open_or_create(
        cls, path: Path, manifest: RunManifest, tissue: TissueMask, tiles: Sequence[TileIndex]
    ) -> Self:
        """Resume the result at ``path`` if it is of the same run, or make a new one.

        Raises
        ------
        ResultMismatchError
            If there is a result of another slide, model, region or resolution; it is untouched.
        ResultError
            If it cannot be read or made; what of it is damaged is made good.
        """
        if existing_path(path, ResultError) is None:
            return cls.create(path, manifest, tissue, tiles)
        mend(path, manifest, tissue, tiles, _BLOCK)
        store = cls.open(path)
        differences = store.manifest.differences(manifest)
        if differences:
            raise ResultMismatchError(
                f"{path}: holds the result of another run (different {', '.join(differences)}); "
                "it is left as it is. Choose another folder, or remove it"
            )
        store._dirty |= stale_blocks(store._group, store._map, _BLOCK)
        return store

    # -- filling --

    def add(
        self,
        tiles: Sequence[TileIndex],
        probabilities: NDArray[np.float32],
        subtiles: NDArray[np.float32] | None,
        failed: Sequence[TileIndex] = (),
        embeddings: NDArray[np.float32] | None = None,
        ood: NDArray[np.float32] | None = None,
    ) -> None:
        """Take classified and failed tiles into memory.

        Parameters
        ----------
        tiles : sequence of TileIndex
            The tiles, in the order of the arrays.
        probabilities : ndarray of float32, shape (n, classes)
            Predicted probabilities.
        subtiles : ndarray of float32, shape (n, classes, k, k), or None
            None where the model has no map pixels: the tile's probabilities stand for all of it.
        failed : sequence of TileIndex
            Tiles that could not be read.
        embeddings : ndarray of float32, shape (n, features), optional
            Kept only after `keep_embeddings`.
        ood : ndarray of float32, shape (n,), optional
            How unlike the training data each tile is; see `core.ood`.
        """
        k = self.manifest.subtiles
        for n, tile in enumerate(tiles):
            if self._embeddings is not None and embeddings is not None:
                self._embeddings.put(tile, embeddings[n])
                self._dirty.add((tile.row // _BLOCK, tile.col // _BLOCK))
            if self.state[tile.row, tile.col] == TileState.DONE:
                continue
            values = (
                subtiles[n]
                if subtiles is not None
                else np.broadcast_to(
                    probabilities[n][:, None, None], (probabilities.shape[1], k, k)
                )
            )
            self._slot(tile)[...] = values
            self.tile_probabilities[:, tile.row, tile.col] = probabilities[n]
            self.state[tile.row, tile.col] = TileState.DONE
            if ood is not None:
                self.ood[tile.row, tile.col] = ood[n]
            self._map.paint(tile, values)
            self._dirty.add((tile.row // _BLOCK, tile.col // _BLOCK))
        for tile in failed:
            self.state[tile.row, tile.col] = TileState.FAILED
            self._dirty.add((tile.row // _BLOCK, tile.col // _BLOCK))

    def flush(self) -> None:
        """Write what is new, values before states.

        Raises
        ------
        ResultError, StorageFullError
            If writing fails, or the disk is full; tiles flushed before are kept.
        """
        k = self.manifest.subtiles
        if not (self.path / "zarr.json").is_file():
            # Writing would make a folder of parts.
            raise ResultError(
                f"{self.path}: the result is gone: somebody moved or removed it, or its disk is "
                "away. Put it back, or start again"
            )
        with storage_errors(self.path, "what was finished before is kept, run again to resume"):
            if not (self.path / "domain").exists():  # a result of an earlier version
                add_ood_array(self._group, self.manifest.grid.shape, _BLOCK)
            blocks = sorted(self._dirty)
            for row, col in blocks:
                tile_rows = slice(row * _BLOCK, (row + 1) * _BLOCK)
                tile_cols = slice(col * _BLOCK, (col + 1) * _BLOCK)
                subtile_rows = slice(row * _BLOCK * k, (row + 1) * _BLOCK * k)
                subtile_cols = slice(col * _BLOCK * k, (col + 1) * _BLOCK * k)
                self._write("cells", self._slots, (slice(None), subtile_rows, subtile_cols))
                self._write("tiles", self.tile_probabilities, (slice(None), tile_rows, tile_cols))
                self._write("domain", self.ood, (tile_rows, tile_cols))
                self._write("probabilities", self.probabilities, self._map.block(row, col, _BLOCK))
                if self._embeddings is not None:
                    self._embeddings.write(tile_rows, tile_cols)
            for row, col in blocks:
                block = (
                    slice(row * _BLOCK, (row + 1) * _BLOCK),
                    slice(col * _BLOCK, (col + 1) * _BLOCK),
                )
                self._write("state", self.state, block)
        self._dirty.clear()

    def finish(
        self,
        timings: dict[str, float],
        *,
        device: str,
        complete: bool,
        ood: dict[str, Any] | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        """Flush and record timings, notes and the domain; times of resumes add up."""
        self.flush()
        added = {key: self.manifest.timings.get(key, 0.0) + value for key, value in timings.items()}
        finished = datetime.now(UTC).isoformat(timespec="seconds") if complete else ""
        self.manifest = self.manifest.model_copy(
            update={
                "timings": added,
                "device": device,
                "finished": finished,
                "ood": self.manifest.ood if ood is None else ood,
                "warnings": tuple(dict.fromkeys((*self.manifest.warnings, *notes))),
            }
        )
        with storage_errors(self.path, "the tiles are kept"):
            self._group.attrs.update(group_attributes(self.manifest))

    def catch_up(self) -> None:
        """Reload if another program wrote into the result since it was opened."""
        states, damaged = read_chunks(self._group, "state", self.path)
        if damaged or (states != self.state).any():
            self.reload()

    def reload(self) -> None:
        """Put what is on disk in place of what is in memory; what was not written is lost.

        Raises
        ------
        ResultError
            If it is missing or damaged.
        """
        self._group, _, _ = open_parts(self.path)
        slots, tiles, state, ood, self.damaged = read_values(self._group, self.path, self.manifest)
        # In place: viewers show these arrays.
        self._slots[...], self.tile_probabilities[...] = slots, tiles
        self.state[...], self.ood[...] = state, ood
        if self._embeddings is not None:
            self._embeddings = EmbeddingGrid(self._group, self.path, state.shape)
        self._map.clear()
        self._paint()

    def keep_embeddings(self) -> None:
        """Keep each tile's embedding from now on; done tiles without one become pending again.

        Raises
        ------
        ResultError
            If stored embeddings are damaged.
        """
        if self._embeddings is None:
            self._embeddings = EmbeddingGrid(self._group, self.path, self.manifest.grid.shape)

    def pending(self, tiles: Sequence[TileIndex]) -> list[TileIndex]:
        """Return those of ``tiles`` that are not done; failed ones are tried again."""
        kept = self._embeddings
        return [
            t
            for t in tiles
            if self.state[t.row, t.col] != TileState.DONE or (kept is not None and not kept.has(t))
        ]

    def count(self, state: TileState) -> int:
        """Count the tiles in ``state``."""
        return int(np.count_nonzero(self.state == state))

    @property
    def is_complete(self) -> bool:
        """Whether no tile is pending."""
        return self.count(TileState.PENDING) == 0

    @property
    def damage_note(self) -> str:
        """What people should know of damaged tiles; empty where none is."""
        if not self.damaged:
            return ""
        return (
            f"{self.path.name}: {self.damaged:,} tiles are damaged and left out; analyze the slide "
            "again into the same folder, which redoes these alone"
        )

    # -- reading --

    def tissue_subtiles(self) -> NDArray[np.bool_]:
        """Return the map pixels that were analyzed and lie on tissue, shape (rows, columns)."""
        (width, height), (x, y) = self.subtile_size, self.origin
        rows, cols = self._map.weights.shape
        on_tissue = self.tissue.sample(
            x + (np.arange(cols, dtype=np.float64) + 0.5) * width,
            y + (np.arange(rows, dtype=np.float64) + 0.5) * height,
        )
        return on_tissue & (self._map.weights > 0)

    def embeddings(self) -> NDArray[np.float32]:
        """Return the tiles' embeddings, shape (features, tile rows, tile columns), NaN without one.

        Raises
        ------
        ResultError
            If the run kept none.
        """
        kept = self._embeddings or EmbeddingGrid(self._group, self.path, self.manifest.grid.shape)
        if kept.values is None:
            raise ResultError(
                f"{self.path}: holds no embeddings of tiles; analyze the slide again with a "
                f"slide-level model (--mil-model FILE)"
            )
        return kept.values.astype(np.float32)

    # -- inside --

    def _paint(self) -> None:
        for row, col in np.argwhere(self.state == TileState.DONE):
            tile = TileIndex(int(row), int(col))
            self._map.paint(tile, self._slot(tile))

    def _slot(self, tile: TileIndex) -> NDArray[np.float32]:
        k = self.manifest.subtiles
        return self._slots[:, tile.row * k : (tile.row + 1) * k, tile.col * k : (tile.col + 1) * k]

    def _write(self, name: str, values: NDArray[Any], where: tuple[slice, ...]) -> None:
        write_part(child_array(self._group, name), values, where)
