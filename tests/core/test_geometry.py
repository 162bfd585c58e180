"""Rectangles, regions, what they cover."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_liverdx.core.geometry import Rect, Region, covered, has_area
from tests.support.annotations import box

coordinates = st.floats(-1000, 1000)


rects = st.builds(Rect, coordinates, coordinates, st.floats(0, 500), st.floats(0, 500))


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


def test_holes_are_outside() -> None:
    outer, hole = np.array(box(0, 0, 100, 100)[:-1]), np.array(box(25, 25, 50, 50)[:-1])
    ring = Region("a", (outer, hole))
    assert covered([ring], Rect(0, 0, 100, 100)) == pytest.approx(0.75)
    assert covered([ring], Rect(30, 30, 40, 40)) == 0
    assert covered([ring], Rect(-50, 0, 100, 25)) == pytest.approx(0.5)
    assert covered([ring, Region("a", (hole,))], Rect(0, 0, 100, 100)) == 1


def test_overlapping_regions_count_once() -> None:
    regions = [Region("a", (np.array(box(x, 0, 60, 100)[:-1]),)) for x in (0, 20)]
    assert covered(regions, Rect(0, 0, 100, 100)) == pytest.approx(0.8, abs=0.02)


@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=3, max_size=9, unique=True),
    st.integers(1, 40),
)
def test_a_polygon_is_filled_as_matplotlib_fills_it(
    corners: list[tuple[float, float]], step: int
) -> None:
    from skimage.measure import points_in_poly

    ring = np.array(corners)
    xs = np.arange(0.5, 100, step) + 0.123
    ys = np.arange(0.5, 100, step) + 0.321
    found = Region("a", (ring,)).contains(xs, ys)
    points = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    expected = points_in_poly(points, ring).reshape(len(ys), len(xs))
    # Both may call a point that lies on an edge to the last bit either way.
    ends = np.roll(ring, -1, axis=0)
    span = ends - ring
    length = np.maximum(np.hypot(*span.T), 1e-12)
    offset = points[:, None] - ring[None]
    away = np.abs(span[:, 0] * offset[..., 1] - span[:, 1] * offset[..., 0]) / length
    clear = (away > 1e-6).all(axis=1).reshape(found.shape)
    assert (found == expected)[clear].all()


RINGS = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=3, max_size=8, unique=True
).map(lambda corners: np.array(corners, np.float64))


@given(st.lists(RINGS, min_size=1, max_size=3))
def test_the_area_is_that_of_what_is_inside(rings: list[NDArray[np.float64]]) -> None:
    """Rings that cross themselves, touch and overlap too; as shapely finds it."""
    region = Region("a", tuple(rings))
    shapes = [
        shapely.unary_union(
            [
                p
                for p in shapely.polygonize([shapely.node(shapely.LinearRing(r))]).geoms
                if _is_inside(p.representative_point(), r)
            ]
        )
        for r in rings
    ]
    expected = shapes[0]
    for hole in shapes[1:]:
        expected = expected.difference(hole)
    assert region.area == pytest.approx(expected.area, abs=1e-6)
    assert has_area(rings[0]) == (shapes[0].area > 1e-9)


def _is_inside(point: shapely.Point, ring: NDArray[np.float64]) -> bool:
    found = Region("a", (ring,)).contains(np.array([point.x]), np.array([point.y]))
    return bool(found[0, 0])


def test_the_area_of_a_figure_of_eight_does_not_cancel() -> None:
    eight = np.array([(0, 0), (100, 100), (100, 0), (0, 100)], np.float64)
    assert Region("a", (eight,)).area == pytest.approx(5000)
    there_and_back = np.array([(0, 0), (100, 0), (50, 0), (100, 0)], np.float64)
    assert not has_area(there_and_back)
    assert Region("a", (there_and_back,)).area == 0
    away = np.array(box(1e8, 1e8, 1, 1)[:-1])
    assert Region("a", (away,)).area == 1
