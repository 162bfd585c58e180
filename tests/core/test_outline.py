"""Outlines are valid polygons of the same pixels."""

from __future__ import annotations

import numpy as np
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_liverdx.core.outline import label_foci, outline


@given(hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_outlines_are_valid_polygons_of_the_same_cells(mask: np.ndarray) -> None:
    labels, count = label_foci(mask)
    foci = list(outline(labels))
    assert [f.label for f in foci] == list(range(1, count + 1))
    rows, cols = np.mgrid[: mask.shape[0], : mask.shape[1]]
    for focus in foci:
        polygons = [shapely.Polygon(p[0], p[1:]) for p in focus.polygons]
        shape = shapely.MultiPolygon(polygons) if len(polygons) > 1 else polygons[0]
        assert shape.is_valid, shapely.is_valid_reason(shape)
        mine = labels == focus.label
        assert shape.area == mine.sum()
        assert (shapely.contains_xy(shape, cols + 0.5, rows + 0.5) == mine).all()
        for shell, *holes in focus.polygons:
            assert shapely.LinearRing(shell).is_ccw
            assert not any(shapely.LinearRing(h).is_ccw for h in holes)


def test_a_ring_that_closes_at_a_corner_keeps_its_hole() -> None:
    ring = np.ones((3, 3), bool)
    ring[0, 0] = ring[1, 1] = False
    (focus,) = outline(label_foci(ring)[0])
    assert [len(p) for p in focus.polygons] == [2]
    pair = np.eye(2, dtype=bool)
    (focus,) = outline(label_foci(pair)[0])
    assert [len(p) for p in focus.polygons] == [1, 1]


def test_outlines_of_nothing_and_of_everything() -> None:
    assert list(outline(label_foci(np.zeros((4, 5), bool))[0])) == []
    (focus,) = outline(label_foci(np.ones((4, 5), bool))[0])
    assert focus.polygons[0][0].tolist() == [[0, 0], [5, 0], [5, 4], [0, 4]]
