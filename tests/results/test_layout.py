"""Results whose files were torn by a power cut: what is whole is kept, the rest is done again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr
from zarr.codecs import ZstdCodec

from napari_liverdx.core.errors import ResultError
from napari_liverdx.results.store import ResultStore, TileState
from tests.support.torn import (
    assert_nothing_false,
    assert_same_on_disk,
    cut,
    files_of,
    fill,
    resumed,
    tiles_of,
    torn_and_mended,
    ways_of,
    whole_result,
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> ResultStore:
    """A finished result; nobody may change it."""
    return whole_result(tmp_path_factory.mktemp("whole"))


@pytest.mark.slow
def test_a_torn_file_costs_its_tiles_alone(tmp_path: Path, whole: ResultStore) -> None:
    """Each file one way; `make kill` takes all ways at several places."""
    rng, seen = np.random.default_rng(3), set()
    path = tmp_path / "torn.liverdx.zarr"
    files = files_of(whole)
    assert len(files) > 25
    for number, file in enumerate(files):
        tear = ways_of(file)[number % len(ways_of(file))]
        shutil.copytree(whole.path, path)
        data = (path / file).read_bytes()
        (path / file).write_bytes(tear(data, int(rng.integers(len(data)))))
        if torn_and_mended(path, whole):
            seen.add(file.parts[0])
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
