"""What is measured: subtiles, tiles, averaged tiles."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from napari_liverdx.core.assignment import assign
from napari_liverdx.core.grid import TileGrid, TileIndex
from napari_liverdx.core.measure import measure
from napari_liverdx.core.subtile_map import SubtileMap
from napari_liverdx.core.tissue import TissueMask
from napari_liverdx.results.measurement_map import MapKind, measurement_map
from napari_liverdx.results.store import ResultStore, TileState
from tests.support.models import SCHEME
from tests.support.results import patchy_result


def slow_map(store: ResultStore, map_kind: MapKind) -> np.ndarray:
    """The definition, map pixel by map pixel."""
    grid, k = store.manifest.grid, store.manifest.subtiles
    places = {}
    for tile in grid:
        painted = SubtileMap(grid, k, 1)
        painted.paint(tile, np.ones((1, k, k), np.float32))
        places[tile] = painted.weights > 0
    done = [t for t in grid if store.state[t.row, t.col] == TileState.DONE]
    found = np.zeros_like(store.probabilities)
    for t in done:  # in reading order, so that the last one stays
        found[:, places[t]] = store.tile_probabilities[:, t.row, t.col][:, None]
    if map_kind is MapKind.TILES_AVERAGED:
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
@pytest.mark.parametrize("map_kind", [MapKind.TILES, MapKind.TILES_AVERAGED])
@pytest.mark.parametrize("k", [1, 4, 7])
def test_tiles_on_the_map_are_as_defined(
    tmp_path: Path, overlap: float, map_kind: MapKind, k: int
) -> None:
    store = patchy_result(tmp_path, overlap=overlap, k=k, seed=round(100 * overlap) + k)
    found = measurement_map(store, map_kind)
    assert found.tissue.any()
    expected = slow_map(store, map_kind)
    np.testing.assert_allclose(
        found.probabilities[:, found.tissue], expected[:, found.tissue], rtol=1e-6
    )


def test_the_basis_changes_values_but_not_tissue(tmp_path: Path) -> None:
    store = patchy_result(tmp_path, overlap=0.5, k=4, seed=1)
    subtiles, tiles, averaged = (measurement_map(store, b) for b in MapKind)
    assert np.shares_memory(subtiles.probabilities, store.probabilities)
    np.testing.assert_array_equal(subtiles.tissue, store.tissue_subtiles())
    for one in (tiles, averaged):
        np.testing.assert_array_equal(one.tissue, subtiles.tissue)
        on_tissue = one.probabilities[:, one.tissue]
        np.testing.assert_allclose(on_tissue.sum(axis=0), 1, rtol=1e-5)
        assert on_tissue.dtype == np.float32
    assert not np.array_equal(
        tiles.probabilities[:, tiles.tissue], averaged.probabilities[:, averaged.tissue]
    )
    assert subtiles.subtile_um == (96 / 4 * 0.5, 84 / 4 * 0.25)
    assert subtiles.subtile_area_um2 == pytest.approx(
        subtiles.subtile_um[0] * subtiles.subtile_um[1]
    )
    assert (subtiles.origin, subtiles.subtile_size) == ((32, 16), (24, 21))


@pytest.mark.parametrize("seed", range(5))
def test_without_overlap_averaging_changes_nothing(tmp_path: Path, seed: int) -> None:
    store = patchy_result(tmp_path, overlap=0, k=3, seed=seed)
    tiles, averaged = (measurement_map(store, b) for b in (MapKind.TILES, MapKind.TILES_AVERAGED))
    np.testing.assert_array_equal(tiles.probabilities, averaged.probabilities)


def test_an_area_is_that_of_the_tissue_in_a_tile(tmp_path: Path) -> None:
    grid = TileGrid(0, 1.0, 1.0, 0, 0, 200, 100, 100, 100, 100, 100, 100)
    manifest = patchy_result(tmp_path, overlap=0, k=2, seed=0).manifest.model_copy(
        update={"grid": grid, "subtiles": 10}
    )
    tissue = TissueMask(np.repeat([[True, False, True, True]], 2, axis=0), 50, 50)
    store = ResultStore.create(tmp_path / "a.liverdx.zarr", manifest, tissue, list(grid))
    fat = np.array([[0.0, 0.1, 0.9], [0.0, 0.8, 0.2]], np.float32)
    store.add([TileIndex(0, 0), TileIndex(0, 1)], fat, None)
    for map_kind in MapKind:
        on = measurement_map(store, map_kind)
        found = measure(on, assign(on.probabilities, on.tissue, SCHEME))
        # Half of the first tile is tissue.
        assert found[2].area_mm2 == pytest.approx(50 * 0.5 * 100 * 0.25 / 1e6)
        assert found[2].percent == pytest.approx(100 / 3)
        assert found[2].largest_focus_mm == pytest.approx(np.hypot(25, 25) / 1e3)
