"""Foci, regions, histograms, and what is measured."""

from __future__ import annotations

import csv
import itertools
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from napari_liverdx.core.classes import ClassScheme
from napari_liverdx.core.foci import Foci, find_foci
from napari_liverdx.core.geometry import Region
from napari_liverdx.core.grid import TileGrid, TileIndex
from napari_liverdx.core.measure import (
    ClassMeasure,
    measure,
    measure_regions,
    probability_histogram,
    region_cells,
)
from napari_liverdx.core.prediction_sets import NOT_SURE
from napari_liverdx.core.subtile_map import CellMap
from napari_liverdx.core.tissue import TissueMask
from napari_liverdx.reports.measurements import (
    COLUMNS,
    WHOLE,
    measurement_table,
    measurement_text,
    write_measurements,
)
from napari_liverdx.results.manifest import RunManifest
from napari_liverdx.results.measured_map import Basis, MeasuredMap, measured_map
from napari_liverdx.results.store import ResultStore, TileState

from .conftest import CLASSES

SCHEME = ClassScheme(CLASSES)
MAPS = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=14))


# -- foci --

_CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))


def slow_foci(counted: np.ndarray, cell_um: tuple[float, float]) -> Foci:
    """Every corner of every cell of every focus against every other."""
    labels, count = ndimage.label(counted, np.ones((3, 3)))
    best, area = 0.0, 0.0
    for label in range(1, count + 1):
        rows, cols = np.nonzero(labels == label)
        corners = {(c + i, r + j) for r, c in zip(rows, cols, strict=True) for i, j in _CORNERS}
        points = np.array(sorted(corners)) * cell_um
        longest = max(np.hypot(*(points - point).T).max() for point in points) / 1e3
        if longest > best * (1 + 1e-12):
            best, area = longest, len(rows) * cell_um[0] * cell_um[1] / 1e6
    return Foci(count, best, area)


@given(MAPS, st.sampled_from([(16.0, 16.0), (10.0, 25.0), (0.5, 0.25)]))
def test_foci_are_those_of_a_plain_search(
    counted: np.ndarray, cell_um: tuple[float, float]
) -> None:
    found, expected = find_foci(counted, cell_um), slow_foci(counted, cell_um)
    assert found.count == expected.count
    assert found.largest_mm == pytest.approx(expected.largest_mm)
    # Of equally long foci either may be named; each lies in what was counted.
    assert found.largest_mm2 <= counted.sum() * cell_um[0] * cell_um[1] / 1e6 + 1e-12


@pytest.mark.parametrize("share", [0.05, 0.2, 0.4])
def test_foci_of_larger_maps(share: float) -> None:
    rng = np.random.default_rng(3)
    field = ndimage.gaussian_filter(rng.random((90, 110)), 2)
    counted = field > np.quantile(field, 1 - share)
    found, expected = find_foci(counted, (7, 9)), slow_foci(counted, (7, 9))
    assert (found.count, found.largest_mm2) == (expected.count, expected.largest_mm2)
    assert found.largest_mm == pytest.approx(expected.largest_mm)


def test_foci_touch_at_corners_but_not_round_the_end_of_a_row() -> None:
    diagonal = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], bool)
    found = find_foci(diagonal, (1000, 1000))
    assert (found.count, found.largest_mm, found.largest_mm2) == (1, pytest.approx(18**0.5), 3)
    ends = np.array([[0, 0, 1], [0, 0, 0], [1, 0, 0]], bool)
    assert find_foci(ends, (1, 1)).count == 2
    assert find_foci(np.array([[0, 0, 1], [1, 0, 0]], bool), (1, 1)).count == 2


def test_a_cell_has_an_extent_and_nothing_has_none() -> None:
    assert find_foci(np.ones((1, 1), bool), (300, 400)) == Foci(1, 0.5, 0.12)
    assert find_foci(np.zeros((4, 5), bool), (1, 1)) == Foci()
    assert find_foci(np.zeros((0, 0), bool), (1, 1)) == Foci()


def test_the_longest_focus_need_not_have_the_largest_bounding_box() -> None:
    counted = np.zeros((6, 12), bool)
    counted[2, 0:5] = counted[0:5, 2] = True
    counted[range(4), range(8, 12)] = True
    found = find_foci(counted, (1000, 1000))
    assert (found.count, found.largest_mm, found.largest_mm2) == (2, pytest.approx(32**0.5), 4)


def test_many_like_foci_are_measured_once() -> None:
    # Each shape is longer than its sides and shorter than its diagonal, so none rules others out.
    shape = np.pad(np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], bool), 1)
    found = find_foci(np.tile(shape, (40, 40)), (1000, 1000))
    assert found.count == 1600
    assert found.largest_mm == pytest.approx(10**0.5)


# -- classes and regions --


def test_measure_counts_foci_of_pathological_classes_alone() -> None:
    fat = np.array([[0.9, 0.1, 0.9], [0.1, 0.1, 0.9], [0.8, 0.1, 0.1]])
    p = np.stack([np.zeros((3, 3)), 1 - fat, fat]).astype(np.float32)
    tissue = np.ones((3, 3), bool)
    tissue[1, 2] = False
    size = {"cell_area_um2": 1e6, "cell_um": (1000.0, 1000.0)}
    _, liver, found = measure(p, tissue, SCHEME, **size)
    assert (found.foci, found.largest_focus_mm) == (3, pytest.approx(2**0.5))
    assert (liver.foci, liver.largest_focus_mm) == (None, None)
    # A threshold no cell reaches leaves no focus.
    *_, found = measure(p, tissue, SCHEME, **size, thresholds={"fat": 0.95})
    assert (found.foci, found.largest_focus_mm) == (0, 0)
    *_, found = measure(p, tissue, SCHEME, cell_area_um2=1e6)
    assert (found.foci, found.largest_focus_mm) == (None, None)
    # Cells that are not sure belong to no focus: only 0.9 is within a quantile of 0.15.
    *_, found, unsure = measure(p, tissue, SCHEME, **size, quantile=0.15)
    assert found.foci == 2
    assert (unsure.name, unsure.foci) == (NOT_SURE, None)


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
    whole = measure(p, tissue, SCHEME, cell_area_um2=1e6)
    parts = measure_regions(p, tissue, SCHEME, [("a", part), ("b", ~part)], cell_area_um2=1e6)
    assert [r.name for r in parts] == ["a", "b"]
    assert sum(r.area_mm2 for r in parts) == np.count_nonzero(tissue)
    for i, row in enumerate(whole):
        assert sum(r.measures[i].area_mm2 for r in parts) == row.area_mm2
    for region, cells in zip(parts, (part, ~part), strict=True):
        again = measure(p, tissue & cells, SCHEME, cell_area_um2=1e6)
        np.testing.assert_equal(rows_of(region.measures), rows_of(again))


def test_a_region_cuts_a_focus() -> None:
    fat = np.full((1, 5), 0.9, np.float32)
    p = np.stack([0 * fat, 1 - fat, fat])
    cells = np.array([[True, True, False, False, True]])
    (region,) = measure_regions(
        p, np.ones((1, 5), bool), SCHEME, [("r", cells)], cell_area_um2=1e6, cell_um=(1e3, 1e3)
    )
    assert region.area_mm2 == 3
    assert region.measures[2].foci == 2
    assert region.measures[2].largest_focus_mm == pytest.approx(5**0.5)


def test_an_empty_region_has_no_percentage() -> None:
    p = np.zeros((3, 2, 2), np.float32)
    (region,) = measure_regions(
        p, np.ones((2, 2), bool), SCHEME, [("r", np.zeros((2, 2), bool))], cell_area_um2=1
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
def test_region_cells_are_those_whose_centre_is_inside(
    corners: np.ndarray, origin: tuple[float, float], size: tuple[float, float]
) -> None:
    shape = (9, 11)
    cells = region_cells(corners, origin, size, shape)
    ys = origin[1] + (np.arange(shape[0]) + 0.5) * size[1]
    xs = origin[0] + (np.arange(shape[1]) + 0.5) * size[0]
    np.testing.assert_array_equal(cells, Region("", (corners,)).contains(xs, ys))


def test_region_cells_of_a_rectangle() -> None:
    square = np.array([[10, 20], [30, 20], [30, 40], [10, 40]], float)
    cells = region_cells(square, (0, 10), (10, 10), (4, 4))
    expected = np.zeros((4, 4), bool)
    expected[1:3, 1:3] = True
    np.testing.assert_array_equal(cells, expected)
    assert not region_cells(square + 1000, (0, 10), (10, 10), (4, 4)).any()


# -- histogram --


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


# -- what is measured --


def make_store(
    folder: Path, *, overlap: float, k: int, seed: int, rows: int = 4, cols: int = 5
) -> ResultStore:
    """A result of random tiles, some of them failed or without tissue, on patchy tissue."""
    rng = np.random.default_rng(seed)
    tile, stride = (96, 84), (round(96 * (1 - overlap)), round(84 * (1 - overlap)))
    width, height = tile[0] + (cols - 1) * stride[0], tile[1] + (rows - 1) * stride[1]
    grid = TileGrid(0, 1.0, 1.0, 32, 16, width, height, *tile, *stride, 96)
    manifest = RunManifest(
        slide_name="s", slide_format="f", slide_fingerprint="ab", slide_size=(900, 800),
        mpp=(0.5, 0.25), mpp_source="test", model_name="m", model_version="1", model_sha256="0",
        classes=CLASSES, grid=grid, cells=k, overlap=overlap, regions_sha256="1",
    )  # fmt: skip
    tissue = TissueMask(rng.random((100, 120)) < 0.8, 8, 8)
    state = rng.choice(
        [TileState.DONE, TileState.FAILED, TileState.NO_TISSUE], (rows, cols), p=[0.7, 0.1, 0.2]
    )
    wanted = [t for t in grid if state[t.row, t.col] != TileState.NO_TISSUE]
    store = ResultStore.create(
        folder / f"{seed}-{overlap}-{k}.liverdx.zarr", manifest, tissue, wanted
    )
    done = [t for t in wanted if state[t.row, t.col] == TileState.DONE]
    values = rng.dirichlet([1, 1, 1], len(done)).astype(np.float32)
    dense = rng.dirichlet([1, 1, 1], (len(done), k, k)).transpose(0, 3, 1, 2).astype(np.float32)
    store.add(done, values, dense, failed=[t for t in wanted if t not in done])
    return store


def slow_map(store: ResultStore, basis: Basis) -> np.ndarray:
    """The definition, cell by cell."""
    grid, k = store.manifest.grid, store.manifest.cells
    places = {}
    for tile in grid:
        painted = CellMap(grid, k, 1)
        painted.paint(tile, np.ones((1, k, k), np.float32))
        places[tile] = painted.weights > 0
    done = [t for t in grid if store.state[t.row, t.col] == TileState.DONE]
    found = np.zeros_like(store.probabilities)
    for t in done:  # in reading order, so that the last one stays
        found[:, places[t]] = store.tile_probabilities[:, t.row, t.col][:, None]
    if basis is Basis.TILES_AVERAGED:
        n_rows, n_cols = (n + 12 for n in grid.shape)
        for box in itertools.product(range(n_rows), range(n_cols)):
            spans = []
            for axis, (stride, tile) in enumerate(
                ((grid.stride_y, grid.tile_height), (grid.stride_x, grid.tile_width))
            ):
                edges = [round((box[axis] + i) * stride * k / tile) for i in (0, 1)]
                spans.append(slice(*edges))
            y, x = (box[0] + 0.5) * grid.stride_y, (box[1] + 0.5) * grid.stride_x
            over = [
                t for t in done
                if 0 <= y - t.row * grid.stride_y < grid.tile_height
                and 0 <= x - t.col * grid.stride_x < grid.tile_width
            ]  # fmt: skip
            if over:
                mean = np.mean([store.tile_probabilities[:, t.row, t.col] for t in over], axis=0)
                found[(slice(None), *spans)] = mean[:, None, None]
    return found


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.7])
@pytest.mark.parametrize("basis", [Basis.TILES, Basis.TILES_AVERAGED])
@pytest.mark.parametrize("k", [1, 4, 7])
def test_tiles_on_the_map_are_as_defined(
    tmp_path: Path, overlap: float, basis: Basis, k: int
) -> None:
    store = make_store(tmp_path, overlap=overlap, k=k, seed=round(100 * overlap) + k)
    found = measured_map(store, basis)
    assert found.tissue.any()
    expected = slow_map(store, basis)
    np.testing.assert_allclose(
        found.probabilities[:, found.tissue], expected[:, found.tissue], rtol=1e-6
    )


def test_the_basis_changes_values_but_not_tissue(tmp_path: Path) -> None:
    store = make_store(tmp_path, overlap=0.5, k=4, seed=1)
    cells, tiles, averaged = (measured_map(store, b) for b in Basis)
    assert np.shares_memory(cells.probabilities, store.probabilities)
    np.testing.assert_array_equal(cells.tissue, store.tissue_cells())
    for one in (tiles, averaged):
        np.testing.assert_array_equal(one.tissue, cells.tissue)
        on_tissue = one.probabilities[:, one.tissue]
        np.testing.assert_allclose(on_tissue.sum(axis=0), 1, rtol=1e-5)
        assert on_tissue.dtype == np.float32
    assert not np.array_equal(
        tiles.probabilities[:, tiles.tissue], averaged.probabilities[:, averaged.tissue]
    )
    assert cells.cell_um == (96 / 4 * 0.5, 84 / 4 * 0.25)
    assert cells.cell_area_um2 == pytest.approx(cells.cell_um[0] * cells.cell_um[1])
    assert (cells.origin, cells.cell_size) == ((32, 16), (24, 21))


@pytest.mark.parametrize("seed", range(5))
def test_without_overlap_averaging_changes_nothing(tmp_path: Path, seed: int) -> None:
    store = make_store(tmp_path, overlap=0, k=3, seed=seed)
    tiles, averaged = (measured_map(store, b) for b in (Basis.TILES, Basis.TILES_AVERAGED))
    np.testing.assert_array_equal(tiles.probabilities, averaged.probabilities)


def test_an_area_is_that_of_the_tissue_in_a_tile(tmp_path: Path) -> None:
    grid = TileGrid(0, 1.0, 1.0, 0, 0, 200, 100, 100, 100, 100, 100, 100)
    manifest = make_store(tmp_path, overlap=0, k=2, seed=0).manifest.model_copy(
        update={"grid": grid, "cells": 10}
    )
    tissue = TissueMask(np.repeat([[True, False, True, True]], 2, axis=0), 50, 50)
    store = ResultStore.create(tmp_path / "a.liverdx.zarr", manifest, tissue, list(grid))
    fat = np.array([[0.0, 0.1, 0.9], [0.0, 0.8, 0.2]], np.float32)
    store.add([TileIndex(0, 0), TileIndex(0, 1)], fat, None)
    for basis in Basis:
        on = measured_map(store, basis)
        found = measure(
            on.probabilities, on.tissue, SCHEME, cell_area_um2=on.cell_area_um2, cell_um=on.cell_um
        )
        # Half of the first tile is tissue.
        assert found[2].area_mm2 == pytest.approx(50 * 0.5 * 100 * 0.25 / 1e6)
        assert found[2].percent == pytest.approx(100 / 3)
        assert found[2].largest_focus_mm == pytest.approx(np.hypot(25, 25) / 1e3)


# -- tables --


def measured(on: MeasuredMap) -> tuple[ClassMeasure, ...]:
    return measure(
        on.probabilities, on.tissue, SCHEME, cell_area_um2=on.cell_area_um2, cell_um=on.cell_um
    )


def test_tables_hold_all_regions(tmp_path: Path) -> None:
    on = measured_map(make_store(tmp_path, overlap=0, k=3, seed=4), Basis.TILES)
    everywhere = np.ones(on.tissue.shape, bool)
    regions = measure_regions(
        on.probabilities, on.tissue, SCHEME, [("left, upper", everywhere), ("none", ~everywhere)],
        cell_area_um2=on.cell_area_um2, cell_um=on.cell_um,
    )  # fmt: skip
    whole = measured(on)
    rows = measurement_table(whole, regions, basis=Basis.TILES)
    assert len(rows) == 9
    assert {row[0] for row in rows} == {WHOLE, "left, upper", "none"}
    assert [row[1:] for row in rows[:3]] == [row[1:] for row in rows[3:6]]
    fat = dict(zip(COLUMNS, rows[2], strict=True))
    assert float(fat["area_mm2"]) == pytest.approx(whole[2].area_mm2, abs=1e-6)
    assert (fat["class"], fat["threshold"], fat["basis"]) == ("fat", "0.5", "Tiles")
    assert int(fat["foci"]) == whole[2].foci > 0
    nothing = dict(zip(COLUMNS, rows[8], strict=True))
    assert nothing["percent_of_tissue"] == nothing["mean_probability"] == ""
    for name, separator in (("t.csv", ","), ("t.tsv", "\t")):
        write_measurements(tmp_path / name, whole, regions, basis=Basis.TILES)
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert list(csv.reader(text.splitlines(), delimiter=separator)) == [list(COLUMNS), *rows]
    assert measurement_text(rows).splitlines()[0] == "\t".join(COLUMNS)
