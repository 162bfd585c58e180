"""Tile grids cover what they should at the model's resolution."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_liverdx.core.errors import PlanError
from napari_liverdx.core.geometry import Rect
from napari_liverdx.core.grid import TileGrid, TileIndex, plan_grid
from napari_liverdx.core.resolution import Mpp
from tests.support.slides import level_sizes

sides = st.integers(1, 400)


@st.composite
def grids(draw: st.DrawFn) -> TileGrid:
    tile_w, tile_h = draw(st.integers(1, 64)), draw(st.integers(1, 64))
    return TileGrid(
        level=0,
        scale_x=draw(st.floats(1, 16)),
        scale_y=draw(st.floats(1, 16)),
        x=draw(st.integers(0, 100)),
        y=draw(st.integers(0, 100)),
        width=draw(sides),
        height=draw(sides),
        tile_width=tile_w,
        tile_height=tile_h,
        stride_x=draw(st.integers(1, tile_w)),
        stride_y=draw(st.integers(1, tile_h)),
        tile_size=32,
    )


@given(grids())
def test_tiles_cover_the_region_and_none_is_wasted(grid: TileGrid) -> None:
    covered = np.zeros((grid.height, grid.width), int)
    for tile in grid:
        x, y, w, h = grid.level_rect(tile)
        part = covered[max(0, y - grid.y) : y - grid.y + h, max(0, x - grid.x) : x - grid.x + w]
        assert part.size, f"{tile} lies outside the region"
        part += 1
    assert covered.min() >= 1
    if (grid.stride_x, grid.stride_y) == (grid.tile_width, grid.tile_height):
        assert covered.max() == 1


@given(grids())
def test_grid_counts_agree(grid: TileGrid) -> None:
    assert len(list(grid)) == len(grid) == grid.n_rows * grid.n_cols
    last = grid.level_rect(TileIndex(grid.n_rows - 1, grid.n_cols - 1))
    assert last[0] + grid.tile_width >= grid.x + grid.width
    assert last[1] + grid.tile_height >= grid.y + grid.height


@given(
    st.integers(300, 5000),
    st.integers(300, 5000),
    st.floats(0.1, 1.0),
    st.sampled_from([(1,), (1, 2), (1, 4, 16)]),
)
def test_tiles_show_the_model_resolution(
    width: int, height: int, mpp: float, factors: tuple[int, ...]
) -> None:
    levels = level_sizes(width, height, factors)
    grid = plan_grid(levels, Mpp.square(mpp), model_mpp=0.5, tile_size=224)
    shown = grid.rect(TileIndex(0, 0)).width * mpp
    # Half a pixel of rounding on the level, or the 2 % within which nothing is resampled.
    slack = max(0.02 * 112, mpp * grid.scale_x)
    assert abs(shown - 112) <= slack + 1e-6
    assert grid.region.right == pytest.approx(width, abs=grid.scale_x)
    assert grid.region.bottom == pytest.approx(height, abs=grid.scale_y)


def test_region_beyond_the_slide_is_cut_and_a_miss_is_refused() -> None:
    levels = level_sizes(1000, 800)
    grid = plan_grid(
        levels, Mpp.square(0.5), model_mpp=0.5, tile_size=224, region=Rect(-50, 700, 400, 400)
    )
    assert (grid.x, grid.y, grid.width, grid.height) == (0, 700, 350, 100)
    with pytest.raises(PlanError, match="does not touch"):
        plan_grid(
            levels, Mpp.square(0.5), model_mpp=0.5, tile_size=224, region=Rect(2000, 0, 10, 10)
        )


@pytest.mark.parametrize("overlap", [-0.1, 1.0, 2.0])
def test_impossible_overlap_is_refused(overlap: float) -> None:
    with pytest.raises(PlanError, match="overlap"):
        plan_grid(
            level_sizes(500, 500), Mpp.square(0.5), model_mpp=0.5, tile_size=224, overlap=overlap
        )


@pytest.mark.parametrize(
    ("model_mpp", "overlap", "match"),
    [(20.0, 0.0, "finer resolution"), (0.5, 0.999, "smaller overlap")],
)
def test_what_cannot_be_held_is_no_plan(model_mpp: float, overlap: float, match: str) -> None:
    with pytest.raises(PlanError, match=match):
        plan_grid(
            level_sizes(100_000, 100_000),
            Mpp.square(0.25),
            model_mpp=model_mpp,
            tile_size=224,
            overlap=overlap,
        )


@pytest.mark.parametrize(
    "change",
    [
        {"scale_x": math.nan},
        {"scale_y": 0.0},
        {"x": 10**300},
        {"tile_size": 0},
        {"tile_size": 9999},
    ],
)
def test_numbers_of_a_damaged_file_are_no_grid(change: dict[str, float]) -> None:
    whole = {"level": 0, "scale_x": 1.0, "scale_y": 1.0, "x": 0, "y": 0, "width": 9, "height": 9}
    tile = {"tile_width": 4, "tile_height": 4, "stride_x": 4, "stride_y": 4, "tile_size": 4}
    assert len(TileGrid(**{**whole, **tile})) == 9
    with pytest.raises(PlanError, match="damaged"):
        TileGrid(**{**whole, **tile, **change})
