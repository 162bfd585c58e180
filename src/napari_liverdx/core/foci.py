"""Connected foci in a map: how many there are and how long the longest is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

__all__ = ["Foci", "find_foci"]

_FEW_POINTS = 64
"""Up to here all distances cost less than a convex hull."""


@dataclass(frozen=True, slots=True)
class Foci:
    """The foci of one class.

    Attributes
    ----------
    count : int
        Number of connected foci; map pixels that touch at a corner belong together.
    largest_mm : float
        Longest diameter of any focus, mm: the greatest distance between two points of its map
        pixels, corners included (maximum Feret diameter); 0 without foci.
    largest_mm2 : float
        Area of that focus, mm².
    """

    count: int = 0
    largest_mm: float = 0.0
    largest_mm2: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class _Runs:
    """Unbroken stretches of map pixels along the rows, in reading order.

    Attributes
    ----------
    row, start, end : ndarray of int, shape (n,)
        ``end`` is the first column beyond the stretch.
    focus : ndarray of int, shape (n,)
        Number of the focus it belongs to.
    count : int
        Number of foci.
    """

    row: NDArray[np.intp]
    start: NDArray[np.intp]
    end: NDArray[np.intp]
    focus: NDArray[np.int32]
    count: int


def find_foci(counted: NDArray[np.bool_], subtile_um: tuple[float, float]) -> Foci:
    """Count connected foci and measure the longest.

    Parameters
    ----------
    counted : ndarray of bool, shape (rows, columns)
        Map pixels that count.
    subtile_um : tuple of float
        Width and height of a map pixel in µm.

    Returns
    -------
    Foci
    """
    runs = _find_runs(counted)
    if not runs.count:
        return Foci()
    longest, focus = _longest(runs, subtile_um)
    members = runs.focus == focus
    subtiles = int((runs.end[members] - runs.start[members]).sum())
    return Foci(runs.count, longest / 1e3, subtiles * subtile_um[0] * subtile_um[1] / 1e6)


def _find_runs(counted: NDArray[np.bool_]) -> _Runs:
    rows, cols = counted.shape
    # A free column ends each row, so that neither a stretch nor a touch reaches round its end.
    width = cols + 1
    flat = np.zeros(rows * width + 1, np.bool_)
    flat[1:].reshape(rows, width)[:, :cols] = counted
    turns = np.flatnonzero(flat[1:] != flat[:-1])
    starts, ends = turns[::2], turns[1::2]
    # Stretches of the next row that a stretch touches, corners included, follow one another.
    first = np.searchsorted(ends, starts + width, "left")
    beyond = np.maximum(np.searchsorted(starts, ends + width, "right"), first)
    touches = beyond - first
    pointers = np.concatenate([[0], np.cumsum(touches)])
    neighbors = np.arange(pointers[-1]) + np.repeat(first - pointers[:-1], touches)
    # These types are what the search works on; others would be copied.
    graph = np.ones(len(neighbors)), neighbors.astype(np.int32), pointers.astype(np.int32)
    links = csr_array(graph, (len(starts), len(starts)))
    count, focus = connected_components(links, directed=False)
    row = starts // width
    return _Runs(row, starts - row * width, ends - row * width, focus, int(count))


def _longest(runs: _Runs, subtile_um: tuple[float, float]) -> tuple[float, int]:
    """Return the longest diameter in µm and the focus that has it.

    A diameter lies between the longer side and the diagonal of the bounding box, so that only
    few foci have to be measured.
    """
    shape, focus = runs.count, runs.focus
    left, top = np.full(shape, np.iinfo(np.intp).max), np.full(shape, np.iinfo(np.intp).max)
    right, bottom = np.zeros(shape, np.intp), np.zeros(shape, np.intp)
    np.minimum.at(left, focus, runs.start)
    np.maximum.at(right, focus, runs.end)
    np.minimum.at(top, focus, runs.row)
    np.maximum.at(bottom, focus, runs.row + 1)
    wide, high = (right - left) * subtile_um[0], (bottom - top) * subtile_um[1]
    diagonal = np.hypot(wide, high)
    candidates = np.flatnonzero(diagonal >= np.maximum(wide, high).max())
    candidates = candidates[np.argsort(-diagonal[candidates], kind="stable")]
    longest, found, seen = 0.0, int(candidates[0]), set[bytes]()
    for candidate, corners in _outlines(runs, candidates):
        if diagonal[candidate] <= longest:
            break
        shape_key = (corners - (left[candidate], top[candidate])).tobytes()
        if shape_key in seen:
            continue
        seen.add(shape_key)
        diameter = _diameter(corners.astype(np.float64) * subtile_um)
        if diameter > longest:
            longest, found = diameter, int(candidate)
    return longest, found


def _outlines(
    runs: _Runs, candidates: NDArray[np.intp]
) -> Iterator[tuple[np.intp, NDArray[np.intp]]]:
    """Yield each candidate with the outer corners (column, row) of each of its rows."""
    wanted = np.zeros(runs.count, np.bool_)
    wanted[candidates] = True
    chosen = np.flatnonzero(wanted[runs.focus])
    chosen = chosen[np.argsort(runs.focus[chosen], kind="stable")]
    owners = runs.focus[chosen]
    for candidate in candidates:
        begin, end = np.searchsorted(owners, (candidate, candidate + 1))
        members = chosen[begin:end]
        row = runs.row[members]
        new_row = np.concatenate([[True], row[1:] != row[:-1], [True]])
        first, last = members[new_row[:-1]], members[new_row[1:]]
        rows = runs.row[first]
        xs = np.concatenate([runs.start[first], runs.end[last]] * 2)
        ys = np.concatenate([rows, rows, rows + 1, rows + 1])
        yield candidate, np.column_stack([xs, ys])


def _diameter(points: NDArray[np.float64]) -> float:
    """Return the greatest distance between any two points, shape (n, 2)."""
    if len(points) > _FEW_POINTS:
        points = points[ConvexHull(points).vertices]
    return float(pdist(points).max())
