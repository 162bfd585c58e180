"""Results whose files were torn by a power cut: what is whole is kept, the rest is done again."""

from __future__ import annotations

import hashlib
import json
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import zarr
from zarr.codecs import ZstdCodec

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


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> ResultStore:
    """A finished result; nobody may change it."""
    folder = tmp_path_factory.mktemp("whole")
    form = square_result(folder / "form.liverdx.zarr", ROWS, COLS)
    mask = np.ones((ROWS * 14, COLS * 14), bool)
    mask[-3:] = False
    tissue = TissueMask(mask, 16.0, 16.0)
    digest = hashlib.sha256(np.packbits(mask).tobytes()).hexdigest()
    manifest = form.manifest.model_copy(update={"regions_sha256": digest})
    path = folder / "whole.liverdx.zarr"
    store = ResultStore.create(path, manifest, tissue, tiles_of(form))
    store.keep_embeddings()
    fill(store, tiles_of(form))
    return store


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


def test_a_torn_file_costs_its_tiles_alone(tmp_path: Path, whole: ResultStore) -> None:
    rng = np.random.default_rng(3)
    path = tmp_path / "torn.liverdx.zarr"
    files = sorted(p.relative_to(whole.path) for p in whole.path.rglob("*") if p.is_file())
    assert len(files) > 25
    wanted, seen = tiles_of(whole), set()
    for number, file in enumerate(files):
        tear = (cut, zeroed, emptied, flipped)[number % (3 if file.name == "zarr.json" else 4)]
        shutil.copytree(whole.path, path)
        data = (path / file).read_bytes()
        (path / file).write_bytes(tear(data, int(rng.integers(len(data)))))
        # A result without its metadata is not shown at all.
        with suppress(ResultError):
            assert_nothing_false(ResultStore.open(path), whole)
        store = resumed(path, whole)
        assert_nothing_false(store, whole)
        left = store.pending(wanted)
        assert len(left) < len(wanted), file
        seen |= {file.parts[0]} if left else set()
        fill(store, left)
        assert_same_on_disk(path, whole.path)
        again = ResultStore.open(path)
        assert again.is_complete
        assert again.damaged == 0
        shutil.rmtree(path)
    assert {"cells", "tiles", "domain", "embeddings"} <= seen


def test_chunks_that_never_reached_the_disk_are_missed(tmp_path: Path, whole: ResultStore) -> None:
    wanted = tiles_of(whole)
    for name in ("cells/c/0/0/1", "tiles/c/0/1/0", "state/c/0/0", "probabilities/c/0/0/0"):
        path = tmp_path / "lost.liverdx.zarr"
        shutil.copytree(whole.path, path)
        (path / name).unlink()
        store = resumed(path, whole)
        assert_nothing_false(store, whole)
        assert store.damaged == len(store.pending(wanted)) or name.startswith("state")
        fill(store, store.pending(wanted))
        assert_same_on_disk(path, whole.path)
        shutil.rmtree(path)


def test_values_older_than_their_states_are_missed(tmp_path: Path, whole: ResultStore) -> None:
    """Without a word to the disk, the system may write states first and lose what came before."""
    path = tmp_path / "old.liverdx.zarr"
    store = ResultStore.create(path, whole.manifest, whole.tissue, tiles_of(whole))
    store.keep_embeddings()
    wanted = tiles_of(whole)
    fill(store, wanted[:100])
    before = {n: (path / n).read_bytes() for n in ("cells/c/0/0/0", "tiles/c/0/0/0")}
    fill(store, wanted[100:300])
    for name, data in before.items():
        (path / name).write_bytes(data)
    again = resumed(path, whole)
    assert_nothing_false(again, whole)
    lost = sum(t.row < 32 and t.col < 32 for t in wanted[100:300])
    assert again.damaged == lost > 0
    assert f"{lost} tiles are damaged" in again.damage_note
    assert again.count(TileState.DONE) == 300 - lost


def test_a_result_without_checksums_opens_and_misses_what_it_can(
    tmp_path: Path, whole: ResultStore
) -> None:
    path = tmp_path / "plain.liverdx.zarr"
    shutil.copytree(whole.path, path)
    group = zarr.open_group(path, mode="r+")
    for name, array in list(group.arrays()):
        form = {"chunks": array.chunks, "fill_value": array.fill_value, "dtype": array.dtype}
        values, told = array[...], dict(array.attrs)
        told.pop("liverdx", None)  # earlier versions kept no copy either
        plain = group.create_array(
            name,
            shape=values.shape,
            compressors=(ZstdCodec(),),
            attributes=told,
            overwrite=True,
            **form,
        )
        plain[...] = values
    assert_nothing_false(resumed(path, whole), whole)
    assert not resumed(path, whole).pending(tiles_of(whole))
    (path / "cells" / "zarr.json").write_bytes(b"")
    chunk = path / "tiles/c/0/0/0"
    chunk.write_bytes(cut(chunk.read_bytes(), 700))
    store = resumed(path, whole)
    assert_nothing_false(store, whole)
    assert 0 < len(store.pending(tiles_of(whole))) < len(tiles_of(whole))
    fill(store, store.pending(tiles_of(whole)))
    assert_same_on_disk(path, whole.path)
    (path / "zarr.json").write_bytes(b"{")
    with pytest.raises(ResultError, match="not a result of this program, or damaged"):
        resumed(path, whole)


def test_the_result_of_another_run_is_not_mended(tmp_path: Path, whole: ResultStore) -> None:
    path = tmp_path / "torn.liverdx.zarr"
    shutil.copytree(whole.path, path)
    (path / "zarr.json").write_bytes(b"")
    before = {p: p.read_bytes() for p in path.rglob("*") if p.is_file()}
    other = whole.manifest.model_copy(update={"model_sha256": "9" * 64})
    with pytest.raises(ResultError, match="damaged"):
        ResultStore.open_or_create(path, other, whole.tissue, tiles_of(whole))
    assert before == {p: p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_other_programs_read_the_checksums(whole: ResultStore) -> None:
    """They stand in the standard's own form."""
    for path in whole.path.glob("*/zarr.json"):
        codecs = [c["name"] for c in json.loads(path.read_text())["codecs"]]
        assert codecs == ["bytes", "zstd", "crc32c"], path
