"""Rectangles, regions, what they cover."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_liverdx.core.geometry import Rect, Region, covered
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
