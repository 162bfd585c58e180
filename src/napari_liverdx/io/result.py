"""Results on disk: an OME-Zarr group that a killed run can resume."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Any, Self

import numpy as np
import zarr
from numpy.typing import NDArray
from pydantic import ValidationError

from napari_liverdx.core.errors import ResultError, ResultMismatchError, StorageFullError
from napari_liverdx.core.grid import TileGrid, TileIndex
from napari_liverdx.core.mpp import Mpp
from napari_liverdx.core.tissue import TissueMask
from napari_liverdx.io.manifest import RunManifest, group_attributes

__all__ = ["ResultStore", "RunManifest", "TileState", "result_path"]

SUFFIX = ".liverdx.zarr"
_BLOCK = 32
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class TileState(IntEnum):
    """What has become of a tile."""

    PENDING = 0
    DONE = 1
    FAILED = 2
    NO_TISSUE = 3


def result_path(folder: Path, slide_name: str, model_name: str) -> Path:
    """Where the result of a slide and a model lies within ``folder``."""
    return folder / f"{slide_name}.{model_name}{SUFFIX}"


class ResultStore:
    """A result, held in memory and written block by block.

    The arrays in memory are what viewers show; `flush` brings the disk up to date. On disk a
    tile counts only once its state says so, and states are written after the values they speak
    of, so a run killed at any moment leaves no half-written tile.

    Attributes
    ----------
    path : Path
    manifest : RunManifest
    tissue : TissueMask
    probabilities : ndarray of float32, shape (classes, rows, columns)
        Cell by cell; overlapping tiles are averaged. Zero where nothing was analysed.
    tile_probabilities : ndarray of float32, shape (classes, tile rows, tile columns)
    state : ndarray of uint8, shape (tile rows, tile columns)
        `TileState` values.
    """

    def __init__(self, path: Path, group: zarr.Group, manifest: RunManifest, tissue: TissueMask):
        self.path = path
        self.manifest = manifest
        self.tissue = tissue
        self._group = group
        self._slots = _read(group, "cells", path)
        self.tile_probabilities = _read(group, "tiles", path)
        self.state = _read(group, "state", path)
        self._dirty: set[tuple[int, int]] = set()
        rows, cols = self._map_shape(manifest)
        self.probabilities: NDArray[np.float32] = np.zeros(
            (len(manifest.classes), rows, cols), np.float32
        )
        self._weights = np.zeros((rows, cols), np.float32)
        for row, col in np.argwhere(self.state == TileState.DONE):
            self._paint(TileIndex(int(row), int(col)), self._slot(TileIndex(int(row), int(col))))

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
            Tiles to analyse; all others are marked as holding no tissue.

        Raises
        ------
        ResultError
            If the folder cannot be made.
        StorageFullError
            If the disk is full.
        """
        manifest = manifest.model_copy(
            update={"created": datetime.now(UTC).isoformat(timespec="seconds")}
        )
        classes, grid, k = len(manifest.classes), manifest.grid, manifest.cells
        rows, cols = grid.shape
        partial = path.with_name(path.name + ".partial")
        with _storage_errors(path, "nothing was lost"):
            path.parent.mkdir(parents=True, exist_ok=True)
            if partial.exists():
                shutil.rmtree(partial)
            group = zarr.open_group(partial, mode="w", zarr_format=3)
            for name, shape, chunks, dtype in (
                ("cells", (classes, rows * k, cols * k), (classes, _BLOCK * k, _BLOCK * k), "f4"),
                ("tiles", (classes, rows, cols), (classes, _BLOCK, _BLOCK), "f4"),
                ("state", (rows, cols), (_BLOCK, _BLOCK), "u1"),
            ):
                group.create_array(name, shape=shape, chunks=_fit(chunks, shape), dtype=dtype)
            map_shape = (classes, *cls._map_shape(manifest))
            group.create_array(
                "probabilities",
                shape=map_shape,
                chunks=_fit((classes, 256, 256), map_shape),
                dtype="f4",
                dimension_names=("c", "y", "x"),
            )
            state = np.full(grid.shape, TileState.NO_TISSUE, np.uint8)
            for tile in tiles:
                state[tile.row, tile.col] = TileState.PENDING
            _array(group, "state")[...] = state
            mask = group.create_array(
                "tissue",
                shape=tissue.mask.shape,
                chunks=_fit((1024, 1024), tissue.mask.shape),
                dtype="u1",
            )
            mask[...] = tissue.mask.astype(np.uint8)
            mask.attrs["level0_pixels_per_pixel"] = [tissue.scale_x, tissue.scale_y]
            group.attrs.update(group_attributes(manifest))
            partial.rename(path)
        return cls(path, zarr.open_group(path, mode="r+"), manifest, tissue)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open an existing result.

        Raises
        ------
        ResultError
            If it is missing, damaged or not a result of this program.
        """
        if not path.exists():
            raise ResultError(f"{path}: no such result")
        try:
            group = zarr.open_group(path, mode="r+")
            manifest = RunManifest.model_validate(dict(group.attrs)["liverdx"])
            mask = _array(group, "tissue")
            scale: Any = dict(mask.attrs)["level0_pixels_per_pixel"]
            tissue = TissueMask(np.asarray(mask[...]).astype(bool), *scale)
            return cls(path, group, manifest, tissue)
        except (KeyError, ValueError, TypeError, OSError, ValidationError) as error:
            if isinstance(error, ResultError):
                raise
            raise ResultError(
                f"{path}: not a result of this program, or damaged ({error}); remove it and "
                "analyse the slide again"
            ) from error

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
            If it cannot be read or made.
        """
        if not path.exists():
            return cls.create(path, manifest, tissue, tiles)
        store = cls.open(path)
        differences = store.manifest.differences(manifest)
        if differences:
            raise ResultMismatchError(
                f"{path}: holds the result of another run (different {', '.join(differences)}); "
                "it is left as it is. Choose another folder, or remove it"
            )
        return store

    # -- filling --

    def add(
        self,
        tiles: Sequence[TileIndex],
        probabilities: NDArray[np.float32],
        cells: NDArray[np.float32] | None,
        failed: Sequence[TileIndex] = (),
    ) -> None:
        """Take classified and failed tiles into memory.

        Parameters
        ----------
        tiles : sequence of TileIndex
            The tiles, in the order of the arrays.
        probabilities : ndarray of float32, shape (n, classes)
            Predicted probabilities.
        cells : ndarray of float32, shape (n, classes, k, k), or None
            None where the model has no cells: the tile's probabilities stand for all of it.
        failed : sequence of TileIndex
            Tiles that could not be read.
        """
        k = self.manifest.cells
        for n, tile in enumerate(tiles):
            if self.state[tile.row, tile.col] == TileState.DONE:
                continue
            values = (
                cells[n]
                if cells is not None
                else np.broadcast_to(
                    probabilities[n][:, None, None], (probabilities.shape[1], k, k)
                )
            )
            self._slot(tile)[...] = values
            self.tile_probabilities[:, tile.row, tile.col] = probabilities[n]
            self.state[tile.row, tile.col] = TileState.DONE
            self._paint(tile, values)
            self._dirty.add((tile.row // _BLOCK, tile.col // _BLOCK))
        for tile in failed:
            self.state[tile.row, tile.col] = TileState.FAILED
            self._dirty.add((tile.row // _BLOCK, tile.col // _BLOCK))

    def flush(self) -> None:
        """Write what is new, values before states.

        Raises
        ------
        StorageFullError
            If the disk is full; tiles flushed before are kept.
        ResultError
            If writing fails otherwise.
        """
        k = self.manifest.cells
        with _storage_errors(self.path, "what was finished before is kept, run again to resume"):
            blocks = sorted(self._dirty)
            for row, col in blocks:
                tile_rows = slice(row * _BLOCK, (row + 1) * _BLOCK)
                tile_cols = slice(col * _BLOCK, (col + 1) * _BLOCK)
                cell_rows = slice(row * _BLOCK * k, (row + 1) * _BLOCK * k)
                cell_cols = slice(col * _BLOCK * k, (col + 1) * _BLOCK * k)
                self._write("cells", self._slots, (slice(None), cell_rows, cell_cols))
                self._write("tiles", self.tile_probabilities, (slice(None), tile_rows, tile_cols))
                self._write("probabilities", self.probabilities, self._map_block(row, col))
            for row, col in blocks:
                block = (
                    slice(row * _BLOCK, (row + 1) * _BLOCK),
                    slice(col * _BLOCK, (col + 1) * _BLOCK),
                )
                self._write("state", self.state, block)
        self._dirty.clear()

    def finish(self, timings: dict[str, float], *, device: str, complete: bool) -> None:
        """Flush and record timings; times of resumed runs add up."""
        self.flush()
        added = {key: self.manifest.timings.get(key, 0.0) + value for key, value in timings.items()}
        finished = datetime.now(UTC).isoformat(timespec="seconds") if complete else ""
        self.manifest = self.manifest.model_copy(
            update={"timings": added, "device": device, "finished": finished}
        )
        with _storage_errors(self.path, "the tiles are kept"):
            self._group.attrs.update(group_attributes(self.manifest))

    def pending(self, tiles: Sequence[TileIndex]) -> list[TileIndex]:
        """Those of ``tiles`` that are not done; failed ones are tried again."""
        return [t for t in tiles if self.state[t.row, t.col] != TileState.DONE]

    def count(self, state: TileState) -> int:
        """Number of tiles in ``state``."""
        return int(np.count_nonzero(self.state == state))

    @property
    def is_complete(self) -> bool:
        """Whether no tile is pending."""
        return self.count(TileState.PENDING) == 0

    # -- reading --

    @property
    def cell_size(self) -> tuple[float, float]:
        """Width and height of a cell of `probabilities` in level-0 pixels."""
        grid, k = self.manifest.grid, self.manifest.cells
        return grid.tile_width * grid.scale_x / k, grid.tile_height * grid.scale_y / k

    @property
    def origin(self) -> tuple[float, float]:
        """Upper-left corner (x, y) of the map in level-0 pixels."""
        region = self.manifest.grid.region
        return region.x, region.y

    @property
    def cell_area_um2(self) -> float:
        """Area of a cell in µm²."""
        width, height = self.cell_size
        return width * self.manifest.mpp[0] * height * self.manifest.mpp[1]

    @property
    def mpp(self) -> Mpp:
        """Level-0 resolution and its source."""
        return Mpp(*self.manifest.mpp, self.manifest.mpp_source)

    def tissue_cells(self) -> NDArray[np.bool_]:
        """Cells that were analysed and lie on tissue, shape (rows, columns)."""
        (width, height), (x, y) = self.cell_size, self.origin
        rows, cols = self._weights.shape
        on_tissue = self.tissue.sample(
            x + (np.arange(cols, dtype=np.float64) + 0.5) * width,
            y + (np.arange(rows, dtype=np.float64) + 0.5) * height,
        )
        return on_tissue & (self._weights > 0)

    # -- inside --

    @staticmethod
    def _map_shape(manifest: RunManifest) -> tuple[int, int]:
        grid, k = manifest.grid, manifest.cells
        last = TileIndex(grid.n_rows - 1, grid.n_cols - 1)
        top, left = _map_corner(grid, k, last)
        return top + k, left + k

    def _slot(self, tile: TileIndex) -> NDArray[np.float32]:
        k = self.manifest.cells
        return self._slots[:, tile.row * k : (tile.row + 1) * k, tile.col * k : (tile.col + 1) * k]

    def _paint(self, tile: TileIndex, values: NDArray[np.float32]) -> None:
        k = self.manifest.cells
        top, left = _map_corner(self.manifest.grid, k, tile)
        place = (slice(top, top + k), slice(left, left + k))
        self._weights[place] += 1
        target = self.probabilities[(slice(None), *place)]
        target += (values - target) / self._weights[place]

    def _map_block(self, row: int, col: int) -> tuple[slice, slice, slice]:
        grid, k = self.manifest.grid, self.manifest.cells
        top, left = _map_corner(grid, k, TileIndex(row * _BLOCK, col * _BLOCK))
        bottom, right = _map_corner(
            grid, k, TileIndex((row + 1) * _BLOCK - 1, (col + 1) * _BLOCK - 1)
        )
        return slice(None), slice(top, bottom + k), slice(left, right + k)

    def _write(self, name: str, values: NDArray[Any], where: tuple[slice, ...]) -> None:
        part = values[where]
        fitted = tuple(
            slice(s.start or 0, (s.start or 0) + n) for s, n in zip(where, part.shape, strict=True)
        )
        _array(self._group, name)[fitted] = part


def _map_corner(grid: TileGrid, cells: int, tile: TileIndex) -> tuple[int, int]:
    """Row and column of a tile's first cell in the map, to the nearest cell under overlap."""
    return (
        round(tile.row * grid.stride_y * cells / grid.tile_height),
        round(tile.col * grid.stride_x * cells / grid.tile_width),
    )


def _fit(chunks: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(max(1, min(c, s)) for c, s in zip(chunks, shape, strict=True))


def _array(group: zarr.Group, name: str) -> zarr.Array[Any]:
    array = group[name]
    if not isinstance(array, zarr.Array):
        raise KeyError(name)
    return array


def _read(group: zarr.Group, name: str, path: Path) -> NDArray[Any]:
    try:
        return np.array(_array(group, name)[...])
    except (KeyError, ValueError, RuntimeError, OSError) as error:
        raise ResultError(
            f"{path}: array {name!r} is missing or damaged ({error}); remove the result and "
            "analyse the slide again"
        ) from error


@contextmanager
def _storage_errors(path: Path, kept: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFullError(
                f"{path}: the disk is full; {kept}. Free some space and start again"
            ) from error
        raise ResultError(
            f"{path}: cannot be written ({error.strerror or error}); {kept}"
        ) from error
