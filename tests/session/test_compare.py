"""Two results or thresholds of one slide: figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_liverdx.core.errors import PlanError
from napari_liverdx.results.measure_settings import MeasureSettings
from napari_liverdx.results.store import ResultStore
from napari_liverdx.session.compare import Side, compare
from tests.support.results import square_result


def side(store: ResultStore, threshold: float) -> Side:
    return Side(store, "fat", MeasureSettings({"fat": threshold}))


def test_figures_against_counting_by_hand(tmp_path: Path) -> None:
    first = square_result(tmp_path / "a.liverdx.zarr")
    second = square_result(tmp_path / "b.liverdx.zarr")
    second.probabilities[2] = first.probabilities[1]
    second.tile_probabilities[:] = first.tile_probabilities[[0, 2, 1]]
    a, b = side(first, 0.3), side(second, 0.6)
    found = compare(a, b)
    tissue = first.tissue_subtiles()
    hit_a = tissue & (first.probabilities[2] >= 0.3)
    hit_b = tissue & (first.probabilities[1] >= 0.6)
    area = first.subtile_area_um2 / 1e6
    assert found.a_mm2 == pytest.approx(hit_a.sum() * area)
    assert found.b_mm2 == pytest.approx(hit_b.sum() * area)
    assert found.both_mm2 == pytest.approx((hit_a & hit_b).sum() * area)
    assert found.only_b_mm2 == pytest.approx((hit_b & ~hit_a).sum() * area)
    assert found.dice == pytest.approx(2 * (hit_a & hit_b).sum() / (hit_a.sum() + hit_b.sum()))
    before, after = (
        np.where(s.tile_probabilities[2] >= cut, 2, s.tile_probabilities[:2].argmax(axis=0))
        for s, cut in ((first, 0.3), (second, 0.6))
    )
    changed = int((before != after).sum())
    assert (found.changed_tiles, found.tiles) == (changed, 12)


def test_a_result_equals_itself(tmp_path: Path) -> None:
    store = square_result(tmp_path / "a.liverdx.zarr")
    one = side(store, 0.2)
    found = compare(one, one)
    assert found.dice == 1
    assert (found.only_a_mm2, found.only_b_mm2, found.changed_tiles) == (0, 0, 0)
    nothing = side(store, 1.01)
    assert np.isnan(compare(nothing, nothing).dice)


def test_maps_of_other_cells_are_looked_up_in_place(tmp_path: Path) -> None:
    fine = square_result(tmp_path / "a.liverdx.zarr")
    coarse = square_result(tmp_path / "b.liverdx.zarr", subtiles=1)
    fine.probabilities[2] = 0
    fine.probabilities[2, 7:14, 0:7] = 1
    coarse.probabilities[2] = 0
    coarse.probabilities[2, 1, 0] = 1
    found = compare(side(fine, 0.5), side(coarse, 0.5))
    assert found.dice == 1
    assert found.a_mm2 == pytest.approx(112e-3**2)
    assert compare(side(coarse, 0.5), side(fine, 0.5)).dice == 1


def test_two_slides_are_refused(tmp_path: Path) -> None:
    first = square_result(tmp_path / "a.liverdx.zarr")
    second = square_result(tmp_path / "b.liverdx.zarr", slide_fingerprint="f" * 64)
    with pytest.raises(PlanError, match="different slides"):
        compare(side(first, 0.5), side(second, 0.5))
