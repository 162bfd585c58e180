"""Embeddings are kept when asked for, and survive a kill."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest
import zarr

from napari_liverdx.core.errors import ResultError
from napari_liverdx.inference.predict import predict
from napari_liverdx.mil.bags import bag_of_result
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.results.store import ResultStore, TileState
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.slide import Slide
from tests.support.mil import analyzed
from tests.support.runs import child, make_plan


def test_embeddings_are_kept_when_asked_for(
    tmp_path: Path, opened_slide: Slide, tiny: LoadedModel
) -> None:
    path = tmp_path / "a.liverdx.zarr"
    store = analyzed(path, opened_slide, tiny, embeddings=False)
    with pytest.raises(ResultError, match="holds no embeddings"):
        bag_of_result(store)
    before = store.tile_probabilities.copy()
    again = analyzed(path, opened_slide, tiny, embeddings=True)
    kept = ResultStore.open(path)
    found = kept.embeddings()
    done = kept.state == TileState.DONE
    assert done.sum() > 8
    assert np.isfinite(found[:, done]).all()
    assert np.isnan(found[:, ~done]).all()
    assert (again.tile_probabilities == before).all(), "finished tiles stay as they were"
    for batch in predict(make_plan(opened_slide, tiny), opened_slide, tiny):
        for tile, values in zip(batch.tiles, batch.embeddings, strict=True):
            assert np.allclose(found[:, tile.row, tile.col], values, atol=2e-3, rtol=2e-3)
    kept.keep_embeddings()
    assert kept.pending(make_plan(opened_slide, tiny).tiles) == []


@pytest.mark.slow
def test_embeddings_survive_a_kill(
    tmp_path: Path, small_slide: Path, tiny_file: Path, tiny: LoadedModel
) -> None:
    path = tmp_path / "killed.liverdx.zarr"
    process = child(tmp_path, small_slide, tiny_file, path, "store.keep_embeddings()")
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= 6:
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    left = ResultStore.open(path)
    done = left.state == TileState.DONE
    assert done.sum() >= 4
    assert np.isfinite(left.embeddings()[:, done]).all(), "values are written before states"
    with open_slide(small_slide) as slide:
        resumed = analyzed(path, slide, tiny, embeddings=True)
        whole = analyzed(tmp_path / "whole.liverdx.zarr", slide, tiny, embeddings=True)
    assert np.allclose(resumed.embeddings(), whole.embeddings(), atol=2e-3, equal_nan=True)


def test_embeddings_of_other_tiles_are_damage(twelve_tiles: ResultStore) -> None:
    group = zarr.open_group(twelve_tiles.path, mode="r+")
    group.create_array("embeddings", data=np.zeros((5, 2, 2), np.float16))
    store = ResultStore.open(twelve_tiles.path)
    with pytest.raises(ResultError, match="does not fit the tiles"):
        store.keep_embeddings()
