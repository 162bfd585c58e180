"""Foci against a plain search."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from napari_liverdx.core.foci import Foci, find_foci

MAPS = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=14))


_CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))


def slow_foci(counted: np.ndarray, subtile_um: tuple[float, float]) -> Foci:
    """Every corner of every map pixel of every focus against every other."""
    labels, count = ndimage.label(counted, np.ones((3, 3)))
    best, area = 0.0, 0.0
    for label in range(1, count + 1):
        rows, cols = np.nonzero(labels == label)
        corners = {(c + i, r + j) for r, c in zip(rows, cols, strict=True) for i, j in _CORNERS}
        points = np.array(sorted(corners)) * subtile_um
        longest = max(np.hypot(*(points - point).T).max() for point in points) / 1e3
        if longest > best * (1 + 1e-12):
            best, area = longest, len(rows) * subtile_um[0] * subtile_um[1] / 1e6
    return Foci(count, best, area)


@given(MAPS, st.sampled_from([(16.0, 16.0), (10.0, 25.0), (0.5, 0.25)]))
def test_foci_are_those_of_a_plain_search(
    counted: np.ndarray, subtile_um: tuple[float, float]
) -> None:
    found, expected = find_foci(counted, subtile_um), slow_foci(counted, subtile_um)
    assert found.count == expected.count
    assert found.largest_mm == pytest.approx(expected.largest_mm)
    # Of equally long foci either may be named; each lies in what was counted.
    assert found.largest_mm2 <= counted.sum() * subtile_um[0] * subtile_um[1] / 1e6 + 1e-12


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
