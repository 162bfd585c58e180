"""A result of several chunks, ways to tear its files, and what must hold afterwards."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import zarr

from napari_liverdx.core.errors import ResultError
from napari_liverdx.core.grid import TileIndex
from napari_liverdx.core.tissue import TissueMask
from napari_liverdx.results.store import ResultStore, TileState
from tests.support.results import square_result

ROWS, COLS = 34, 35
"""So many that the arrays have several chunks of 32 × 32 tiles."""


def tiles_of(store: ResultStore) -> list[TileIndex]:
    return [t for t in store.manifest.grid if (t.row + t.col) % 3]


def fill(store: ResultStore, tiles: list[TileIndex]) -> None:
    """Analyze tiles: what a tile is given depends on its place alone."""
    for tile in tiles:
        rng = np.random.default_rng(1000 * tile.row + tile.col)
        dense = rng.dirichlet([1.0] * 3, (1, 7, 7)).transpose(0, 3, 1, 2).astype(np.float32)
        score = rng.random(1).astype(np.float32)
        store.add([tile], dense.mean((2, 3)), dense, embeddings=score[None], ood=score)
    store.finish({}, device="cpu", complete=store.is_complete)


def whole_result(folder: Path) -> ResultStore:
    """A finished result in ``folder``."""
    form = square_result(folder / "form.liverdx.zarr", ROWS, COLS)
    mask = np.ones((ROWS * 14, COLS * 14), bool)
    mask[-3:] = False
    tissue = TissueMask(mask, 16.0, 16.0)
    digest = hashlib.sha256(np.packbits(mask).tobytes()).hexdigest()
    manifest = form.manifest.model_copy(update={"regions_sha256": digest})
    store = ResultStore.create(folder / "whole.liverdx.zarr", manifest, tissue, tiles_of(form))
    store.keep_embeddings()
    fill(store, tiles_of(form))
    return store


def files_of(store: ResultStore) -> list[Path]:
    return sorted(p.relative_to(store.path) for p in store.path.rglob("*") if p.is_file())


def cut(data: bytes, at: int) -> bytes:
    return data[:at]


def zeroed(data: bytes, at: int) -> bytes:
    return data[:at] + bytes(len(data) - at)


def emptied(data: bytes, at: int) -> bytes:
    return b""


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]


def resumed(path: Path, of: ResultStore) -> ResultStore:
    store = ResultStore.open_or_create(path, of.manifest, of.tissue, tiles_of(of))
    store.keep_embeddings()
    return store


def assert_nothing_false(store: ResultStore, of: ResultStore) -> None:
    done = store.state == TileState.DONE
    assert (store.tile_probabilities[:, done] == of.tile_probabilities[:, done]).all()
    fine = np.kron(done, np.ones((7, 7), bool))
    assert (store.probabilities[:, fine] == of.probabilities[:, fine]).all()
    assert not store.probabilities[:, ~fine].any()
    assert (store.ood[done] == of.ood[done]).all()


def assert_same_on_disk(path: Path, of: Path) -> None:
    found, wanted = (zarr.open_group(p, mode="r") for p in (path, of))
    names = [n for n, _ in wanted.arrays()]
    assert sorted(names) == sorted(n for n, _ in found.arrays())
    for name in names:
        assert found[name][...].tobytes() == wanted[name][...].tobytes(), name


WAYS: tuple[Callable[[bytes, int], bytes], ...] = (cut, zeroed, emptied, flipped)
"""Bits that flip in metadata may make another text of them, which nothing can notice."""


def ways_of(file: Path) -> tuple[Callable[[bytes, int], bytes], ...]:
    return WAYS[:3] if file.name == "zarr.json" else WAYS


def torn_and_mended(path: Path, whole: ResultStore) -> int:
    """Resume a copy of a result with a torn file; returns how many tiles that took."""
    # A result without its metadata is not shown at all.
    with suppress(ResultError):
        assert_nothing_false(ResultStore.open(path), whole)
    store = resumed(path, whole)
    assert_nothing_false(store, whole)
    left = store.pending(tiles_of(whole))
    assert len(left) < len(tiles_of(whole)), "all is lost"
    fill(store, left)
    assert_same_on_disk(path, whole.path)
    again = ResultStore.open(path)
    assert again.is_complete
    assert again.damaged == 0
    return len(left)
