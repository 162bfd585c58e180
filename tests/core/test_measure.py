"""Areas, shares, regions, histograms."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_liverdx.core.classes import ClassScheme
from napari_liverdx.core.geometry import Region
from napari_liverdx.core.measure import (
    ClassMeasure,
    probability_histogram,
    region_subtiles,
)
from napari_liverdx.core.prediction_sets import UNCERTAIN_ID, uncertain_mask
from tests.support.measures import measured, measured_regions
from tests.support.models import CLASSES, SCHEME


def test_measure_counts_cells() -> None:
    p = np.array([[[0.1, 0.9], [0.2, 0.0]], [[0.2, 0.05], [0.6, 0.0]], [[0.7, 0.05], [0.2, 0.0]]])
    tissue = np.array([[True, True], [True, False]])
    rows = {m.name: m for m in measured(p, tissue, ClassScheme(CLASSES), subtile_area_um2=250_000)}
    assert rows["fat"].area_mm2 == 0.25
    assert rows["background"].area_mm2 == 0.25
    assert rows["liver"].area_mm2 == 0.25
    assert rows["fat"].percent == pytest.approx(100 / 3)
    assert rows["fat"].mean_probability == pytest.approx((0.7 + 0.05 + 0.2) / 3)
    rows = {
        m.name: m
        for m in measured(
            p, tissue, ClassScheme(CLASSES), subtile_area_um2=1, thresholds={"fat": 0.15}
        )
    }
    assert rows["fat"].percent == pytest.approx(200 / 3)
    assert rows["liver"].area_mm2 == 0


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_a_higher_threshold_never_counts_more(a: float, b: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet([1, 1, 1], (6, 5)).transpose(2, 0, 1)
    tissue = rng.random((6, 5)) < 0.7
    low, high = (
        measured(p, tissue, ClassScheme(CLASSES), subtile_area_um2=1, thresholds={"fat": t})[2]
        for t in sorted((a, b))
    )
    assert high.area_mm2 <= low.area_mm2


def test_measure_without_tissue_is_not_a_number() -> None:
    rows = measured(
        np.zeros((3, 2, 2)), np.zeros((2, 2), bool), ClassScheme(CLASSES), subtile_area_um2=1
    )
    assert all(m.area_mm2 == 0 and np.isnan(m.percent) for m in rows)


def test_not_sure_has_a_row_and_areas_add_up() -> None:
    p = np.array([[0.9, 0.4, 0.1, 0.34], [0.05, 0.35, 0.1, 0.33], [0.05, 0.25, 0.8, 0.33]])
    p = p[:, None, :].astype(np.float32)
    tissue = np.ones((1, 4), bool)
    assert uncertain_mask(p, 0.7).tolist() == [[False, True, False, True]]
    assert uncertain_mask(p, 0.15).tolist() == [[False, True, True, True]], (
        "an empty set is not sure"
    )
    rows = measured(p, tissue, ClassScheme(CLASSES), subtile_area_um2=1e6, quantile=0.7)
    assert [r.area_mm2 for r in rows] == [1, 0, 1, 2]
    assert sum(r.percent for r in rows) == pytest.approx(100)
    assert rows[-1].name == UNCERTAIN_ID
    assert len(measured(p, tissue, ClassScheme(CLASSES), subtile_area_um2=1)) == 3


def test_measure_counts_foci_of_pathological_classes_alone() -> None:
    fat = np.array([[0.9, 0.1, 0.9], [0.1, 0.1, 0.9], [0.8, 0.1, 0.1]])
    p = np.stack([np.zeros((3, 3)), 1 - fat, fat]).astype(np.float32)
    tissue = np.ones((3, 3), bool)
    tissue[1, 2] = False
    size = {"subtile_area_um2": 1e6, "subtile_um": (1000.0, 1000.0)}
    _, liver, found = measured(p, tissue, SCHEME, **size)
    assert (found.foci, found.largest_focus_mm) == (3, pytest.approx(2**0.5))
    assert (liver.foci, liver.largest_focus_mm) == (None, None)
    # A threshold no map pixel reaches leaves no focus.
    *_, found = measured(p, tissue, SCHEME, **size, thresholds={"fat": 0.95})
    assert (found.foci, found.largest_focus_mm) == (0, 0)
    *_, found = measured(p, tissue, SCHEME, subtile_area_um2=1e6)
    assert (found.foci, found.largest_focus_mm) == (None, None)
    # Map pixels that are not sure belong to no focus: only 0.9 is within a quantile of 0.15.
    *_, found, uncertain = measured(p, tissue, SCHEME, **size, quantile=0.15)
    assert found.foci == 2
    assert (uncertain.name, uncertain.foci) == (UNCERTAIN_ID, None)


def test_class_measure_needs_no_foci() -> None:
    assert ClassMeasure("fat", "Fat", 0.5, 1.0, 2.0, 0.3).foci is None


def rows_of(measures: tuple[ClassMeasure, ...]) -> list[tuple[object, ...]]:
    """Plain values: a record with NaN in it equals nothing."""
    return [astuple(m) for m in measures]


@given(st.integers(0, 2**32 - 1))
def test_regions_that_part_the_map_add_up_to_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 9, 2))
    p = rng.dirichlet([1, 1, 1], shape).transpose(2, 0, 1).astype(np.float32)
    tissue, part = rng.random(shape) < 0.8, rng.random(shape) < 0.5
    whole = measured(p, tissue, SCHEME, subtile_area_um2=1e6)
    parts = measured_regions(p, tissue, SCHEME, [("a", part), ("b", ~part)], subtile_area_um2=1e6)
    assert [r.name for r in parts] == ["a", "b"]
    assert sum(r.area_mm2 for r in parts) == np.count_nonzero(tissue)
    for i, row in enumerate(whole):
        assert sum(r.measures[i].area_mm2 for r in parts) == row.area_mm2
    for region, subtiles in zip(parts, (part, ~part), strict=True):
        again = measured(p, tissue & subtiles, SCHEME, subtile_area_um2=1e6)
        np.testing.assert_equal(rows_of(region.measures), rows_of(again))


def test_a_region_cuts_a_focus() -> None:
    fat = np.full((1, 5), 0.9, np.float32)
    p = np.stack([0 * fat, 1 - fat, fat])
    subtiles = np.array([[True, True, False, False, True]])
    (region,) = measured_regions(
        p,
        np.ones((1, 5), bool),
        SCHEME,
        [("r", subtiles)],
        subtile_area_um2=1e6,
        subtile_um=(1e3, 1e3),
    )
    assert region.area_mm2 == 3
    assert region.measures[2].foci == 2
    assert region.measures[2].largest_focus_mm == pytest.approx(5**0.5)


def test_an_empty_region_has_no_percentage() -> None:
    p = np.zeros((3, 2, 2), np.float32)
    (region,) = measured_regions(
        p, np.ones((2, 2), bool), SCHEME, [("r", np.zeros((2, 2), bool))], subtile_area_um2=1
    )
    assert region.area_mm2 == 0
    assert all(np.isnan(m.percent) for m in region.measures)


@given(
    hnp.arrays(
        np.float64, st.tuples(st.integers(3, 7), st.just(2)), elements=st.floats(-60, 160, width=32)
    ),
    st.tuples(st.floats(-20, 20), st.floats(-20, 20)),
    st.tuples(st.floats(1, 30), st.floats(1, 30)),
)
def test_region_cells_are_those_whose_center_is_inside(
    corners: np.ndarray, origin: tuple[float, float], size: tuple[float, float]
) -> None:
    shape = (9, 11)
    subtiles = region_subtiles(corners, origin, size, shape)
    ys = origin[1] + (np.arange(shape[0]) + 0.5) * size[1]
    xs = origin[0] + (np.arange(shape[1]) + 0.5) * size[0]
    np.testing.assert_array_equal(subtiles, Region("", (corners,)).contains(xs, ys))


def test_region_cells_of_a_rectangle() -> None:
    square = np.array([[10, 20], [30, 20], [30, 40], [10, 40]], float)
    subtiles = region_subtiles(square, (0, 10), (10, 10), (4, 4))
    expected = np.zeros((4, 4), bool)
    expected[1:3, 1:3] = True
    np.testing.assert_array_equal(subtiles, expected)
    assert not region_subtiles(square + 1000, (0, 10), (10, 10), (4, 4)).any()


@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(0, 9), st.integers(1, 9)),
        elements=st.floats(0, 1, width=32),
    ),
    st.integers(1, 60),
    st.data(),
)
def test_histogram_agrees_with_every_threshold(
    values: np.ndarray, bins: int, data: st.DataObject
) -> None:
    # Values that lie exactly on an edge, as a threshold does.
    values = np.concatenate([values.ravel(), np.linspace(0, 1, bins + 1, dtype=np.float32)])
    found = probability_histogram(values, bins)
    assert found.total == len(values)
    at = data.draw(st.integers(0, bins - 1))
    assert found.counts[at:].sum() == np.count_nonzero(values >= np.float32(found.edges[at]))


def test_histogram_of_tissue_and_region() -> None:
    values = np.array([[0.0, 0.26], [0.51, 1.0]], np.float32)
    tissue, region = np.array([[1, 1], [1, 0]], bool), np.array([[0, 1], [1, 1]], bool)
    for where, expected in (
        ({}, [1, 1, 1, 1]),
        ({"tissue": tissue}, [1, 1, 1, 0]),
        ({"region": region}, [0, 1, 1, 1]),
        ({"tissue": tissue, "region": region}, [0, 1, 1, 0]),
    ):
        found = probability_histogram(values, 4, **where)
        np.testing.assert_array_equal(found.counts, expected)
    np.testing.assert_array_equal(found.edges, [0, 0.25, 0.5, 0.75, 1])
    with pytest.raises(ValueError, match="at least one bin"):
        probability_histogram(values, 0)
