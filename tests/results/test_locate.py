"""Results are found by what they hold, and told apart by the model's hash."""

from __future__ import annotations

from pathlib import Path

from napari_liverdx.results.layout import TileState
from napari_liverdx.results.locate import find_result, result_path, results_of_model
from napari_liverdx.results.store import ResultStore
from napari_liverdx.slides.backend import IN_MEMORY
from tests.support.results import square_result


def test_two_models_of_one_name_do_not_collide(tmp_path: Path) -> None:
    """Version 2 was accepted, used and deleted once; the new version 2 has its own result."""
    first = square_result(tmp_path / "made.liverdx.zarr").manifest
    second = first.model_copy(update={"model_sha256": "b" * 64})
    places = [result_path(tmp_path, m) for m in (first, second)]
    assert places[0] != places[1]
    for place, manifest in zip(places, (first, second), strict=True):
        square_result(place, model_sha256=manifest.model_sha256)
    for place, manifest in zip(places, (first, second), strict=True):
        assert find_result(tmp_path, manifest) == place
        assert ResultStore.open(place).manifest.model_sha256 == manifest.model_sha256
    assert results_of_model(tmp_path, "b" * 64) == [places[1]]
    assert results_of_model(tmp_path, "c" * 64) == []


def test_a_renamed_folder_is_found(tmp_path: Path) -> None:
    store = square_result(tmp_path / "any name.liverdx.zarr")
    assert find_result(tmp_path, store.manifest) == store.path
    other = store.manifest.model_copy(update={"regions_sha256": "another mask"})
    assert find_result(tmp_path, other) == result_path(tmp_path, other)


def test_a_copy_of_a_slide_has_a_result_of_its_own(tmp_path: Path) -> None:
    store = square_result(tmp_path / "first.liverdx.zarr")
    copy = store.manifest.model_copy(update={"slide_name": "copy.tif"})
    assert find_result(tmp_path, copy) == result_path(tmp_path, copy)


def test_a_slide_that_is_no_file_is_known_under_any_name(tmp_path: Path) -> None:
    """It is called like its layer, which a person may rename."""
    store = square_result(tmp_path / "first.liverdx.zarr", slide_format=IN_MEMORY)
    renamed = store.manifest.model_copy(update={"slide_name": "renamed layer"})
    assert find_result(tmp_path, renamed) == store.path


def test_states_of_tiles_are_named_as_in_0_1_0() -> None:
    assert [s.id for s in TileState] == ["pending", "done", "failed", "no_tissue"]
