"""Geometry, resolution, grid, tissue, classes, measurements."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_liverdx.core.classes import ClassKind, ClassScheme, TissueClass
from napari_liverdx.core.errors import LiverDxError, MppError, PlanError
from napari_liverdx.core.geometry import Rect
from napari_liverdx.core.grid import TileGrid, TileIndex, plan_grid
from napari_liverdx.core.measure import measure
from napari_liverdx.core.resolution import Level, Mpp, level_for_downsample
from napari_liverdx.core.tissue import TissueMask, bounding_rect, find_tissue, restrict

from .conftest import CLASSES

sides = st.integers(1, 400)
coordinates = st.floats(-1000, 1000)
rects = st.builds(Rect, coordinates, coordinates, st.floats(0, 500), st.floats(0, 500))


def pyramid(width: int, height: int, factors: tuple[int, ...] = (1,)) -> tuple[Level, ...]:
    levels = []
    for factor in factors:
        w, h = max(1, width // factor), max(1, height // factor)
        levels.append(Level(w, h, width / w, height / h, 256, 256))
    return tuple(levels)


# -- rectangles --


@given(rects, rects)
def test_intersection_is_symmetric_and_inside_both(a: Rect, b: Rect) -> None:
    both = a.intersection(b)
    assert both == b.intersection(a)
    if not both.is_empty:
        for r in (a, b):
            assert both.x >= r.x
            assert both.right <= r.right + 1e-9
            assert both.y >= r.y
            assert both.bottom <= r.bottom + 1e-9


def test_negative_size_is_refused() -> None:
    with pytest.raises(ValueError, match="non-negative"):
        Rect(0, 0, -1, 1)


@given(rects, st.floats(0.1, 64), st.floats(0.1, 64))
def test_level_round_trip(rect: Rect, fx: float, fy: float) -> None:
    back = rect.scaled(1 / fx, 1 / fy).scaled(fx, fy)
    assert (back.x, back.y, back.right, back.bottom) == pytest.approx(
        (rect.x, rect.y, rect.right, rect.bottom), rel=1e-9, abs=1e-6
    )


# -- resolution --


@pytest.mark.parametrize("value", [0, -1, 0.001, 352.8, float("nan"), float("inf")])
def test_implausible_mpp_is_refused(value: float) -> None:
    with pytest.raises(MppError, match="plausible"):
        Mpp.square(value)


def test_mpp_error_is_also_a_value_error() -> None:
    with pytest.raises(ValueError, match="square"):
        Mpp(0.25, 1.0, "test")
    assert issubclass(MppError, LiverDxError)


@given(st.lists(st.integers(1, 64), min_size=1, max_size=6, unique=True), st.floats(0.3, 100))
def test_chosen_level_is_never_coarser_than_wanted(factors: list[int], wanted: float) -> None:
    levels = pyramid(64_000, 48_000, tuple(sorted({1, *factors})))
    chosen = levels[level_for_downsample(levels, wanted)]
    fine = [v.downsample for v in levels if v.downsample <= wanted * 1.02]
    assert chosen.downsample == max(fine, default=levels[0].downsample)


# -- grid --


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
    levels = pyramid(width, height, factors)
    grid = plan_grid(levels, Mpp.square(mpp), model_mpp=0.5, tile_size=224)
    shown = grid.rect(TileIndex(0, 0)).width * mpp
    # Half a pixel of rounding on the level, or the 2 % within which nothing is resampled.
    slack = max(0.02 * 112, mpp * grid.scale_x)
    assert abs(shown - 112) <= slack + 1e-6
    assert grid.region.right == pytest.approx(width, abs=grid.scale_x)
    assert grid.region.bottom == pytest.approx(height, abs=grid.scale_y)


def test_region_beyond_the_slide_is_cut_and_a_miss_is_refused() -> None:
    levels = pyramid(1000, 800)
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
        plan_grid(pyramid(500, 500), Mpp.square(0.5), model_mpp=0.5, tile_size=224, overlap=overlap)


# -- tissue --


def slide_picture(mpp: float) -> np.ndarray:
    """A pink disc of 400 µm radius with a 50 µm hole on glass, a speck, a grey smear."""
    size = int(2000 / mpp)
    y, x = (np.mgrid[:size, :size] - size / 2) * mpp
    picture = np.full((size, size, 3), 243, np.uint8)
    picture[np.hypot(x, y) < 400] = (205, 140, 180)
    picture[np.hypot(x - 100, y) < 25] = 243
    picture[np.hypot(x - 800, y - 800) < 10] = (205, 140, 180)
    picture[:, : int(80 / mpp)] = 90
    return picture


@pytest.mark.parametrize("mpp", [4.0, 8.0, 16.0])
def test_tissue_is_found_alike_at_any_resolution(mpp: float) -> None:
    found = find_tissue(slide_picture(mpp), mpp=mpp, scale_x=1, scale_y=1)
    area = found.mask.sum() * mpp**2
    assert area == pytest.approx(np.pi * 400**2, rel=0.1)
    centre = found.mask.shape[0] // 2
    assert found.mask[centre, centre + int(100 / mpp)], "small holes belong to the tissue"
    assert not found.mask[:, 0].any(), "grey is not tissue"


@pytest.mark.parametrize("seed", range(3))
def test_empty_glass_has_no_tissue(seed: int) -> None:
    rng = np.random.default_rng(seed)
    glass = rng.integers(236, 248, (200, 300, 1), np.uint8).repeat(3, axis=2)
    glass = glass + rng.integers(0, 4, glass.shape, np.uint8)
    assert not find_tissue(glass, mpp=8, scale_x=16, scale_y=16).mask.any()


def test_fraction_and_sample_agree_with_the_mask() -> None:
    mask = np.zeros((10, 10), bool)
    mask[2:6, 3:7] = True
    tissue = TissueMask(mask, 4.0, 4.0)
    assert tissue.fraction(Rect(12, 8, 16, 16)) == 1.0
    assert tissue.fraction(Rect(12, 8, 32, 16)) == 0.5
    assert tissue.fraction(Rect(36, 36, 40, 40)) == 0.0
    assert tissue.fraction(Rect(100, 100, 4, 4)) == 0.0
    xs = ys = np.arange(10) * 4.0 + 2
    assert (tissue.sample(xs, ys) == mask).all()
    assert not tissue.sample(np.array([-1.0, 1000.0]), ys).any()


def test_restricting_to_polygons() -> None:
    tissue = TissueMask(np.ones((20, 20), bool), 2.0, 2.0)
    square = np.array([[10, 4], [30, 4], [30, 14], [10, 14]], float)
    inside = restrict(tissue, [square]).mask
    assert inside.sum() == 10 * 5
    assert inside[2:7, 5:15].all()
    assert bounding_rect([square]) == Rect(10, 4, 20, 10)
    with pytest.raises(PlanError, match="no region"):
        bounding_rect([])


# -- classes and measurements --


def test_class_scheme_rejects_nonsense() -> None:
    with pytest.raises(ValueError, match="#rrggbb"):
        TissueClass("a", "A", "red", ClassKind.NORMAL)
    one = TissueClass("a", "A", "#000000", ClassKind.NORMAL)
    with pytest.raises(ValueError, match="two"):
        ClassScheme((one,))
    with pytest.raises(ValueError, match="differ"):
        ClassScheme((one, one))
    with pytest.raises(KeyError, match="no class 'x'"):
        ClassScheme(CLASSES).index("x")


def test_measure_counts_cells() -> None:
    p = np.array([[[0.1, 0.9], [0.2, 0.0]], [[0.2, 0.05], [0.6, 0.0]], [[0.7, 0.05], [0.2, 0.0]]])
    tissue = np.array([[True, True], [True, False]])
    rows = {m.name: m for m in measure(p, tissue, ClassScheme(CLASSES), cell_area_um2=250_000)}
    assert rows["fat"].area_mm2 == 0.25
    assert rows["background"].area_mm2 == 0.25
    assert rows["liver"].area_mm2 == 0.25
    assert rows["fat"].percent == pytest.approx(100 / 3)
    assert rows["fat"].mean_probability == pytest.approx((0.7 + 0.05 + 0.2) / 3)
    rows = {
        m.name: m
        for m in measure(p, tissue, ClassScheme(CLASSES), cell_area_um2=1, thresholds={"fat": 0.15})
    }
    assert rows["fat"].percent == pytest.approx(200 / 3)
    assert rows["liver"].area_mm2 == 0


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_a_higher_threshold_never_counts_more(a: float, b: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet([1, 1, 1], (6, 5)).transpose(2, 0, 1)
    tissue = rng.random((6, 5)) < 0.7
    low, high = (
        measure(p, tissue, ClassScheme(CLASSES), cell_area_um2=1, thresholds={"fat": t})[2]
        for t in sorted((a, b))
    )
    assert high.area_mm2 <= low.area_mm2


def test_measure_without_tissue_is_not_a_number() -> None:
    rows = measure(
        np.zeros((3, 2, 2)), np.zeros((2, 2), bool), ClassScheme(CLASSES), cell_area_um2=1
    )
    assert all(m.area_mm2 == 0 and np.isnan(m.percent) for m in rows)
