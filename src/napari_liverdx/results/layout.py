"""The arrays of a result on disk, and what is made good of damaged ones."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_liverdx._files import parse_json, remove
from napari_liverdx.core.errors import ResultError, existing_path, storage_errors
from napari_liverdx.core.grid import TileIndex
from napari_liverdx.core.subtile_map import SubtileMap
from napari_liverdx.core.tissue import TissueMask
from napari_liverdx.results.arrays import (
    CHECKED,
    DAMAGE,
    child_array,
    chunk_places,
    fitting_chunks,
    read_array,
    read_chunks,
    sole_writer,
)
from napari_liverdx.results.manifest import RunManifest, group_attributes, read_manifest

__all__ = [
    "StoredValues",
    "TileState",
    "add_ood_array",
    "create_arrays",
    "mend",
    "open_parts",
    "read_values",
    "stale_blocks",
]

_META = "zarr.json"
_CRC = '"crc32c"'
_ONE = 1.001
_LARGEST_SCALE = 2.0**30
_SMALLEST_SCALE = 1e-3
_SAME = 1e-5
"""Means of overlapping tiles differ by less, whatever the order they were taken in."""

_COPIES = ("state", "tiles")
"""Arrays whose attributes hold the manifest once more, in case the group's are damaged."""


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
    for name, form in _forms(manifest, tissue, block).items():
        _create(group, name, form, manifest, tissue)
    child_array(group, "state")[...] = _first_states(manifest, tiles)
    child_array(group, "tissue")[...] = tissue.mask.astype(np.uint8)


def add_ood_array(group: zarr.Group, shape: tuple[int, int], block: int) -> None:
    """Make the array of the tiles' domain scores, NaN where none was given."""
    group.create_array("domain", **_ood_form(shape, block))


def _ood_form(shape: tuple[int, int], block: int) -> dict[str, Any]:
    return _form(shape, (block, block), "f4") | {"fill_value": np.nan}


def _form(shape: tuple[int, ...], chunks: tuple[int, ...], dtype: str) -> dict[str, Any]:
    fitted = fitting_chunks(chunks, shape)
    return {"shape": shape, "chunks": fitted, "dtype": dtype, "compressors": CHECKED}


def _forms(manifest: RunManifest, tissue: TissueMask, block: int) -> dict[str, dict[str, Any]]:
    classes, grid, k = len(manifest.classes), manifest.grid, manifest.subtiles
    rows, cols = grid.shape
    map_shape = (classes, *SubtileMap.shape(grid, k))
    return {
        "cells": _form((classes, rows * k, cols * k), (classes, block * k, block * k), "f4"),
        "tiles": _form((classes, rows, cols), (classes, block, block), "f4"),
        "state": _form((rows, cols), (block, block), "u1"),
        "probabilities": _form(map_shape, (classes, 256, 256), "f4")
        | {"dimension_names": ("c", "y", "x")},
        "domain": _ood_form(grid.shape, block),
        "tissue": _form(tissue.mask.shape, (1024, 1024), "u1"),
    }


def _create(
    group: zarr.Group, name: str, form: dict[str, Any], manifest: RunManifest, tissue: TissueMask
) -> None:
    attributes: dict[str, Any] = {}
    if name == "tissue":
        attributes["level0_pixels_per_pixel"] = [tissue.scale_x, tissue.scale_y]
    if name in _COPIES:
        attributes["liverdx"] = group_attributes(manifest)["liverdx"]
    group.create_array(name, attributes=attributes, **form)


def _first_states(manifest: RunManifest, tiles: Sequence[TileIndex]) -> NDArray[np.uint8]:
    state = np.full(manifest.grid.shape, TileState.NO_TISSUE, np.uint8)
    for tile in tiles:
        state[tile.row, tile.col] = TileState.PENDING
    return state


# -- reading --


def open_parts(path: Path) -> tuple[zarr.Group, RunManifest, TissueMask]:
    """Open the result at ``path``; returns its group, its manifest and where tissue is.

    Raises
    ------
    ResultError
        If it is missing, damaged or not a result of this program.
    """
    if existing_path(path, ResultError) is None:
        raise ResultError(f"{path}: no such result; check the path")
    try:
        group = zarr.open_group(path, mode="r+")
        stored: Any = dict(group.attrs)["liverdx"]
        return group, read_manifest(stored, path), _read_tissue(group, path)
    except ResultError:
        raise
    except (*DAMAGE, OSError) as error:
        raise ResultError(
            f"{path}: not a result of this program, or damaged ({error}); if it is one, analyze "
            "the slide again into the same folder, which keeps what is whole"
        ) from error


def _read_tissue(group: zarr.Group, path: Path) -> TissueMask:
    told: Any = dict(child_array(group, "tissue").attrs)["level0_pixels_per_pixel"]
    scale_x, scale_y = (float(n) for n in told)
    mask = read_array(group, "tissue", path)
    if mask.ndim != 2 or not all(_SMALLEST_SCALE < n < _LARGEST_SCALE for n in (scale_x, scale_y)):
        raise ValueError("where the tissue is, is not told by a picture with a scale")
    return TissueMask(mask.astype(bool), scale_x, scale_y)


class StoredValues(NamedTuple):
    """The values of a result's tiles, as far as they are whole.

    Attributes
    ----------
    slots : ndarray of float32, shape (classes, rows × k, columns × k)
    tiles : ndarray of float32, shape (classes, rows, columns)
    state : ndarray of uint8, shape (rows, columns)
    ood : ndarray of float32, shape (rows, columns)
    damaged : int
        Tiles that were done, and are pending again because values of theirs are damaged.
    """

    slots: NDArray[np.float32]
    tiles: NDArray[np.float32]
    state: NDArray[np.uint8]
    ood: NDArray[np.float32]
    damaged: int


def read_values(group: zarr.Group, path: Path, manifest: RunManifest) -> StoredValues:
    """Read the values of all tiles.

    Raises
    ------
    ResultError
        If an array is missing or does not fit the tiles.
    """
    rows, cols = manifest.grid.shape
    k = manifest.subtiles
    classes = len(manifest.classes)
    slots, bad_slots = read_chunks(group, "cells", path, (classes, rows * k, cols * k), "f")
    tiles, bad_tiles = read_chunks(group, "tiles", path, (classes, rows, cols), "f")
    state, bad_state = read_chunks(group, "state", path, (rows, cols), "u")
    ood: NDArray[np.float32] = np.full((rows, cols), np.nan, np.float32)
    bad_ood: list[tuple[slice, ...]] = []
    if (path / "domain").exists():  # results of an earlier version have none
        ood, bad_ood = read_chunks(group, "domain", path, (rows, cols), "f")
    bad = _without_values(state, tiles, slots)
    for _, down, across in bad_slots:
        bad[_tiles_of(down, k), _tiles_of(across, k)] = True
    for place in (*(p[1:] for p in bad_tiles), *bad_ood):
        bad[place] = True
    # A chunk of states that is damaged reads as pending, which is then what its tiles are.
    lost = (bad & (state == TileState.DONE)) | (state > max(TileState))
    # What is damaged may be no number at all.
    with np.errstate(invalid="ignore"):
        for place in bad_state:
            lost[place] |= tiles[(slice(None), *place)].any(axis=0)
    state[lost] = TileState.PENDING
    # Values are written before the mark that a tile is done: until then they do not count.
    undone = state != TileState.DONE
    tiles[:, undone], ood[undone] = 0, np.nan
    return StoredValues(slots, tiles, state, ood, int(lost.sum()))


def _tiles_of(side: slice, k: int) -> slice:
    return slice(side.start // k, -(-side.stop // k))


def _without_values(
    state: NDArray[np.uint8], tiles: NDArray[np.float32], slots: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Find tiles that are marked as done without values: their chunks never reached the disk."""
    rows, cols = state.shape
    k = slots.shape[1] // rows
    # No other value is a probability, and comparing with NaN is false.
    sound = ((slots >= 0) & (slots <= _ONE)).all(axis=0).reshape(rows, k, cols, k)
    known = (slots != 0).any(axis=0).reshape(rows, k, cols, k)
    filled = sound.all(axis=(1, 3)) & known.any(axis=(1, 3))
    filled &= ((tiles >= 0) & (tiles <= _ONE)).all(axis=0) & (tiles != 0).any(axis=0)
    return np.asarray((state == TileState.DONE) & ~filled)


def stale_blocks(group: zarr.Group, values: SubtileMap, block: int) -> set[tuple[int, int]]:
    """Find where the map on disk, which other programs read, is damaged or out of date.

    Returns
    -------
    set of tuple of int
        Row and column of blocks of ``block`` × ``block`` tiles.
    """
    stored, found = child_array(group, "probabilities"), set()
    for place in chunk_places(stored.shape, stored.chunks):
        try:
            whole = np.allclose(stored[place], values.values[place], atol=_SAME)
        except DAMAGE:
            whole = False
        if not whole:
            found.update(values.blocks_at(place, block))
    return found


# -- damage --


def mend(
    path: Path, manifest: RunManifest, tissue: TissueMask, tiles: Sequence[TileIndex], block: int
) -> None:
    """Make good what is damaged of a result's metadata, tissue and states.

    Nothing is done to the result of another run, nor to a whole one. Damaged values are left to
    whoever reads them: their tiles are analyzed again.

    Parameters
    ----------
    path : Path
        The result's folder.
    manifest, tissue, tiles
        Of the run, as `create_arrays` takes them.
    block : int
        Rows and columns of tiles in a chunk.

    Raises
    ------
    ResultError, StorageFullError
        If it is being written into, or cannot be written.
    """
    group = _opened(path)
    stored = _stored_manifest(path, group)
    if stored is None or stored.differences(manifest):
        return
    if group is not None and not _broken(group, path, stored, tissue, tiles, block):
        return
    with sole_writer(path), storage_errors(path, "the tiles are kept"):
        if group is None:
            remove(path / _META)
            group = zarr.create_group(path, zarr_format=3)
            group.attrs.update(group_attributes(stored))
        for name in _broken(group, path, stored, tissue, tiles, block):
            _restore(group, path, name, stored, tissue, tiles, block)


def _opened(path: Path) -> zarr.Group | None:
    try:
        group = zarr.open_group(path, mode="r+", zarr_format=3)
        return group if "liverdx" in group.attrs else None
    except (*DAMAGE, OSError):
        return None


def _stored_manifest(path: Path, group: zarr.Group | None) -> RunManifest | None:
    """Return the manifest, or the copy made at the start if the group's is damaged."""
    texts = [path / _META, *(path / name / _META for name in _COPIES)]
    for text in texts[0 if group is not None else 1 :]:
        try:
            attributes = parse_json(text.read_text(encoding="utf-8"))["attributes"]
            return read_manifest(attributes["liverdx"], path)
        except (*DAMAGE, OSError):
            continue
    return None


def _broken(
    group: zarr.Group,
    path: Path,
    manifest: RunManifest,
    tissue: TissueMask,
    tiles: Sequence[TileIndex],
    block: int,
) -> list[str]:
    """Name the arrays that are missing, of another shape, or without what they need to hold."""
    found = []
    for name, form in _forms(manifest, tissue, block).items():
        if name == "domain" and not (path / name).exists():
            continue  # a result of an earlier version
        try:
            whole = child_array(group, name).shape == form["shape"]
            if name == "tissue":
                stored = _read_tissue(group, path)
                whole = bool((stored.mask == tissue.mask).all())
            if name == "state":
                states, damaged = read_chunks(group, name, path)
                # A chunk that is not there reads as pending, where there is no tissue too.
                none = _first_states(manifest, tiles) == TileState.NO_TISSUE
                whole = whole and not damaged and not (none & (states == TileState.PENDING)).any()
        except (*DAMAGE, ResultError):
            whole = False
        if not whole:
            found.append(name)
    return found


def _restore(
    group: zarr.Group,
    path: Path,
    name: str,
    manifest: RunManifest,
    tissue: TissueMask,
    tiles: Sequence[TileIndex],
    block: int,
) -> None:
    form = _forms(manifest, tissue, block)[name]
    try:
        whole = child_array(group, name).shape == form["shape"]
    except DAMAGE:
        whole = False
    if not whole:
        # The chunks stay: they fit the metadata that is made again.
        remove(path / name / _META)
        if not _has_checksums(path, name):
            form = {**form, "compressors": CHECKED[:1]}
        _create(group, name, form, manifest, tissue)
    if name == "tissue":
        child_array(group, name)[...] = tissue.mask.astype(np.uint8)
    if name == "state":
        states = _first_states(manifest, tiles)
        known, damaged = read_chunks(group, name, path)
        for place in damaged:
            known[place] = states[place]
        # What is missing is all zero, that is, pending.
        known[(known == TileState.PENDING) & (states == TileState.NO_TISSUE)] = TileState.NO_TISSUE
        child_array(group, name)[...] = known


def _has_checksums(path: Path, name: str) -> bool:
    """Return whether the result's other arrays have checksums; those of 0.1.0 have none."""
    for other in path.glob(f"*/{_META}"):
        try:
            text = other.read_text(encoding="utf-8")
            if other.parent.name != name and parse_json(text)["node_type"] == "array":
                return _CRC in text
        except (*DAMAGE, OSError):
            continue
    return True
