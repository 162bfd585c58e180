"""Results: valid OME-Zarr, overlaps averaged, one writer, damage."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import ome_zarr_models
import pytest
import zarr
from imagecodecs import zstd_encode

from napari_liverdx.core.errors import ResultError, ResultMismatchError
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.inference.predict import predict
from napari_liverdx.inference.run import analyze, make_manifest
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.results.store import ResultStore, TileState
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.slide import Slide
from tests.support.paths import CMU
from tests.support.runs import make_plan, run_into


def test_result_is_valid_ome_zarr(tmp_path: Path, opened_slide: Slide, tiny: LoadedModel) -> None:
    store = run_into(opened_slide, tiny, tmp_path / "a.liverdx.zarr")
    group = zarr.open_group(store.path, mode="r")
    image = ome_zarr_models.open_ome_zarr(group)
    assert type(image).__name__ == "Image"
    dataset = image.attributes.ome.multiscales[0].datasets[0]
    scale, translation = dataset.coordinateTransformations
    assert scale.scale == pytest.approx([1, 16, 16])
    assert translation.translation == pytest.approx([0, 7.75, 7.75])
    assert group["probabilities"].shape == store.probabilities.shape
    assert (group["probabilities"][...] == store.probabilities).all()
    sums = store.probabilities.sum(0)[store.tissue_subtiles()]
    assert sums == pytest.approx(1, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("overlap", [2 / 7, 4 / 7, 0.5])
def test_overlapping_tiles_are_averaged(
    tmp_path: Path, opened_slide: Slide, tiny: LoadedModel, overlap: float
) -> None:
    store = run_into(opened_slide, tiny, tmp_path / "a.liverdx.zarr", overlap=overlap)
    again = ResultStore.open(store.path)
    assert np.allclose(again.probabilities, store.probabilities, atol=1e-6)
    assert again.probabilities.sum(0)[again.tissue_subtiles()] == pytest.approx(1, abs=1e-4)
    plan = make_plan(opened_slide, tiny, overlap=overlap)
    subtile = plan.grid.tile_width / 7
    total, count = np.zeros_like(store.probabilities), np.zeros(store.probabilities.shape[1:])
    for batch in predict(plan, opened_slide, tiny):
        assert batch.subtiles is not None
        for tile, subtiles in zip(batch.tiles, batch.subtiles, strict=True):
            x, y, _, _ = plan.grid.level_rect(tile)
            rows = slice(round((y - plan.grid.y) / subtile), round((y - plan.grid.y) / subtile) + 7)
            cols = slice(round((x - plan.grid.x) / subtile), round((x - plan.grid.x) / subtile) + 7)
            total[:, rows, cols] += subtiles
            count[rows, cols] += 1
    assert count.max() > 1
    assert np.allclose(store.probabilities, total / np.maximum(count, 1), atol=1e-5)


def test_another_run_in_the_folder_is_left_alone(
    tmp_path: Path, opened_slide: Slide, tiny: LoadedModel
) -> None:
    path = tmp_path / "a.liverdx.zarr"
    run_into(opened_slide, tiny, path)
    before = {p: p.read_bytes() for p in path.rglob("*") if p.is_file()}
    other = LoadedModel(tiny.card, tiny.network, "0" * 64, tiny.path)
    with pytest.raises(ResultMismatchError, match="different model"):
        run_into(opened_slide, other, path)
    with pytest.raises(ResultMismatchError, match="µm/px"):
        run_into(opened_slide.with_mpp(Mpp.square(0.4)), tiny, path)
    with open_slide(CMU) as another, pytest.raises(ResultMismatchError, match="slide"):
        run_into(another, tiny, path)
    assert before == {p: p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_two_runs_never_write_into_one_result(
    tmp_path: Path, opened_slide: Slide, tiny: LoadedModel
) -> None:
    path = tmp_path / "r.liverdx.zarr"
    plan = make_plan(opened_slide, tiny, batch_size=1)
    manifest = make_manifest(plan, opened_slide, tiny)
    first = ResultStore.open_or_create(path, manifest, plan.tissue, plan.tiles)
    second = ResultStore.open(path)
    steps = analyze(plan, opened_slide, tiny, first)
    next(steps)
    told = rf"another run is writing into this result \(.+, process {os.getpid()}, since 2"
    with pytest.raises(ResultError, match=told):
        next(analyze(plan, opened_slide, tiny, second))
    steps.close()
    for _ in analyze(plan, opened_slide, tiny, ResultStore.open(path)):
        pass
    assert ResultStore.open(path).is_complete
    with warnings.catch_warnings(action="error"):
        names = {name for name, _ in zarr.open_group(path, mode="r").members()}
    assert {p.name for p in path.iterdir()} == names | {"zarr.json"}


def test_nothing_is_written_through_a_link_in_a_result(
    tmp_path: Path, opened_slide: Slide, tiny: LoadedModel
) -> None:
    path, foreign = tmp_path / "r.liverdx.zarr", tmp_path / "foreign"
    plan = make_plan(opened_slide, tiny)
    manifest = make_manifest(plan, opened_slide, tiny)
    store = ResultStore.create(path, manifest, plan.tissue, plan.tiles)
    shutil.copytree(path / "cells", foreign)
    before = sorted(foreign.rglob("*"))
    shutil.rmtree(path / "cells")
    (path / "cells").symlink_to(foreign)
    with pytest.raises(ResultError, match="cells: a link within a result"):
        next(analyze(plan, opened_slide, tiny, store))
    assert sorted(foreign.rglob("*")) == before


def test_damaged_and_foreign_results_are_named(
    tmp_path: Path, opened_slide: Slide, tiny: LoadedModel
) -> None:
    with pytest.raises(ResultError, match="no such result"):
        ResultStore.open(tmp_path / "none.liverdx.zarr")
    (tmp_path / "folder.liverdx.zarr").mkdir()
    with pytest.raises(ResultError, match="not a result"):
        ResultStore.open(tmp_path / "folder.liverdx.zarr")
    path = tmp_path / "a.liverdx.zarr"
    run_into(opened_slide, tiny, path)
    shutil.rmtree(path / "cells")
    with pytest.raises(ResultError, match="cells"):
        ResultStore.open(path)


def test_a_result_made_before_distances_were_stored_opens(twelve_tiles: ResultStore) -> None:
    del zarr.open_group(twelve_tiles.path, mode="r+")["domain"]
    before = sorted(twelve_tiles.path.rglob("*"))
    again = ResultStore.open(twelve_tiles.path)
    assert sorted(twelve_tiles.path.rglob("*")) == before, "looking at a result writes nothing"
    assert again.ood.shape == twelve_tiles.state.shape
    assert np.isnan(again.ood).all()


def test_a_group_in_the_place_of_an_array_is_damage(twelve_tiles: ResultStore) -> None:
    group = zarr.open_group(twelve_tiles.path, mode="r+")
    del group["tiles"]
    group.create_group("tiles")
    with pytest.raises(ResultError, match="tiles"):
        ResultStore.open(twelve_tiles.path)


def _meta(store: ResultStore, name: str, **change: object) -> None:
    file = store.path / name / "zarr.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("cells", {"shape": [3, 10**6, 10**6]}),
        ("tiles", {"data_type": "float64", "shape": [3, 1, 1]}),
        ("tissue", {"shape": [0, 0]}),
        ("tissue", {"shape": [10**5, 10**5]}),
        (
            "state",
            {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [9**9, 9**9]}}},
        ),
        (
            "state",
            {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [0, 4]}}},
        ),
        ("tissue", {"attributes": {"level0_pixels_per_pixel": [16, 0]}}),
        ("tissue", {"attributes": {"level0_pixels_per_pixel": [16, 1e-310]}}),
        ("tissue", {"attributes": {"level0_pixels_per_pixel": ["a"]}}),
        ("cells", {"codecs": [{"name": "nothing"}]}),
        ("domain", {"data_type": "int32", "fill_value": 0}),
    ],
)
def test_what_an_array_claims_is_checked_before_it_is_read(
    twelve_tiles: ResultStore, name: str, change: dict[str, object]
) -> None:
    _meta(twelve_tiles, name, **change)
    with pytest.raises(ResultError):
        ResultStore.open(twelve_tiles.path)


def test_a_chunk_that_swells_is_analyzed_again(twelve_tiles: ResultStore) -> None:
    """It is not unpacked; what it held is pending."""
    chunk = twelve_tiles.path / "cells" / "c" / "0" / "0" / "0"
    chunk.write_bytes(zstd_encode(bytes(2**24)))
    again = ResultStore.open(twelve_tiles.path)
    assert again.damaged == 12
    assert not again.probabilities.any()


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38, -0.5, 1.5])
def test_what_is_no_probability_is_analyzed_again(twelve_tiles: ResultStore, value: float) -> None:
    group = zarr.open_group(twelve_tiles.path, mode="r+")
    group["cells"][1, 0, 0] = value
    again = ResultStore.open(twelve_tiles.path)
    assert again.damaged == 1
    assert np.isfinite(again.probabilities).all()


def test_a_state_that_is_none_is_pending(twelve_tiles: ResultStore) -> None:
    zarr.open_group(twelve_tiles.path, mode="r+")["state"][0, 1] = 35
    again = ResultStore.open(twelve_tiles.path)
    assert again.damaged == 1
    assert again.state[0, 1] == TileState.PENDING
