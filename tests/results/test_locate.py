"""Results are found by what they hold, and told apart by the model's hash."""

from __future__ import annotations

from pathlib import Path

from napari_liverdx.results.locate import find_result, result_path, results_of_model
from napari_liverdx.results.store import ResultStore
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
