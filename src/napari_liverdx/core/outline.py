"""Outlines of a map: polygons with holes that run exactly along the edges of map pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["Focus", "Polygon", "label_foci", "outline"]

Polygon = tuple[NDArray[np.int32], ...]
"""The outer ring and the rings of the holes: corners (column, row) of map pixels, shape (n, 2), not
closed; the outer ring has a positive area, holes have a negative one."""

_TOUCHING = np.ones((3, 3), np.int8)


@dataclass(frozen=True, slots=True, eq=False)
class Focus:
    """Map pixels that touch one another, be it at a corner.

    Attributes
    ----------
    label : int
        Its number in the map that `label_foci` gives.
    polygons : tuple of Polygon
        More than one where parts of it touch at a corner only: a single ring through such a
        corner would be no valid polygon (OGC Simple Features, 6.1.11).
    """

    label: int
    polygons: tuple[Polygon, ...]


def label_foci(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """Label the connected foci of a map; map pixels that touch at a corner belong together.

    Parameters
    ----------
    mask : ndarray of bool, shape (rows, columns)
        Map pixels that count.

    Returns
    -------
    ndarray of int32, shape (rows, columns)
        1 and up in the order of the rows, 0 outside.
    int
        Number of foci.
    """
    labels = np.empty(mask.shape, np.int32)
    return labels, int(ndimage.label(mask, _TOUCHING, output=labels))


def outline(labels: NDArray[np.int32]) -> Iterator[Focus]:
    """Yield the outlines of numbered foci, in the order of their numbers.

    The corners of a map pair up along each row and along each column, so that rings are
    found by walking these pairs in turn; the work grows with the length of the outlines.

    Parameters
    ----------
    labels : ndarray of int32, shape (rows, columns)
        From `label_foci`.

    Yields
    ------
    Focus
        Areas of its polygons add up to its number of map pixels.
    """
    parts = np.empty(labels.shape, np.int32)
    count = int(ndimage.label(labels, output=parts))
    polygons: list[list[NDArray[np.int32]]] = [[] for _ in range(count + 1)]
    owner = np.zeros(count + 1, np.int32)
    padded = np.pad(parts, 1)
    # In the order of rows the outer ring of a part comes before its holes.
    for ring, part in _rings(padded):
        polygons[part].append(ring)
    inside = parts > 0
    owner[parts[inside]] = labels[inside]
    order = np.argsort(owner[1:], kind="stable") + 1
    starts = np.flatnonzero(np.diff(owner[order], prepend=0))
    for members in np.split(order, starts[1:]) if count else ():
        yield Focus(int(owner[members[0]]), tuple(tuple(polygons[p]) for p in members))


def _rings(padded: NDArray[np.int32]) -> Iterator[tuple[NDArray[np.int32], int]]:
    """Yield each ring with the part it bounds, in the order of its first corner."""
    rows, cols, across, along = _corners(padded)
    ring_of = np.column_stack([cols, rows]).astype(np.int32)
    next_across, next_along = across.tolist(), along.tolist()
    seen = bytearray(len(rows))
    # The first corner of a ring is its upper left one: edges lead right and down. The part lies
    # below it on an outer ring, and above it on that of a hole.
    below = padded[rows + 1, cols + 1]
    parts = np.where(below > 0, below, padded[rows, cols + 1])
    for start in range(len(seen)):
        if seen[start]:
            continue
        walk = []
        here = start
        while not seen[here]:
            there = next_across[here]
            seen[here] = seen[there] = 1
            walk += [here, there]
            here = next_along[there]
        ring = ring_of[walk]
        yield (ring if below[start] > 0 else ring[::-1]), int(parts[start])


def _corners(
    padded: NDArray[np.int32],
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Find the corners of all rings, row by row, and where their edges lead.

    Returns
    -------
    rows, cols : ndarray of int
        A crossing where two map pixels touch stands twice.
    across, along : ndarray of int
        Index of the corner at the other end of the horizontal and of the vertical edge.
    """
    on = padded > 0
    nw, ne, sw, se = on[:-1, :-1], on[:-1, 1:], on[1:, :-1], on[1:, 1:]
    left, right, up, down = nw != sw, ne != se, nw != ne, sw != se
    plain = (left != right) & (up != down)
    double = left & right & up & down
    rows, cols = np.nonzero(plain | double)
    twice = double[rows, cols]
    to_right, to_bottom = right[rows, cols] & ~twice, down[rows, cols] & ~twice
    # Where two map pixels of one part touch, its rings turn round the gaps; where map pixels of
    # two parts touch, each ring turns round its own map pixel. Either way no ring meets itself.
    down_right = on[rows, cols] & twice
    pair = np.where(
        down_right,
        padded[rows, cols] == padded[rows + 1, cols + 1],
        padded[rows, cols + 1] == padded[rows + 1, cols],
    )
    left_goes_down = down_right == pair
    # The second of a double corner holds the edge to the right.
    place = np.repeat(np.arange(len(rows)), 1 + twice)
    second = np.zeros(len(place), np.bool_)
    second[1:] = place[1:] == place[:-1]
    rows, cols = rows[place], cols[place]
    goes_right = np.where(twice[place], second, to_right[place])
    goes_down = np.where(twice[place], left_goes_down[place] != second, to_bottom[place])
    across = _partners(np.lexsort((goes_right, cols, rows)))
    along = _partners(np.lexsort((goes_down, rows, cols)))
    return rows, cols, across, along


def _partners(order: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the partner of each corner where neighbors in ``order`` are joined in pairs."""
    partner = np.empty_like(order)
    partner[order[0::2]] = order[1::2]
    partner[order[1::2]] = order[0::2]
    return partner
