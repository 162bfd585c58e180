"""Places on a slide: rectangles, and annotated regions with holes, in level-0 pixels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["Rect", "Region", "covered", "ellipse_corners", "has_area"]


@dataclass(frozen=True, slots=True)
class Rect:
    """An axis-aligned half-open rectangle ``[x, x + width) × [y, y + height)``.

    Attributes
    ----------
    x, y : float
        Upper-left corner in level-0 pixels.
    width, height : float
        Extent in level-0 pixels, never negative.

    Raises
    ------
    ValueError
        If width or height is negative.
    """

    x: float
    y: float
    width: float
    height: float

    def __post_init__(self) -> None:
        if self.width < 0 or self.height < 0:
            raise ValueError(
                f"a rectangle cannot be {self.width} × {self.height} px; give a non-negative size"
            )

    @property
    def right(self) -> float:
        """First x beyond the rectangle."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """First y beyond the rectangle."""
        return self.y + self.height

    @property
    def area(self) -> float:
        """Area in level-0 pixels squared."""
        return self.width * self.height

    @property
    def is_empty(self) -> bool:
        """Whether the rectangle holds no point."""
        return self.width <= 0 or self.height <= 0

    def intersection(self, other: Rect) -> Rect:
        """Return the part both rectangles share; empty (zero area) if they do not meet."""
        x, y = max(self.x, other.x), max(self.y, other.y)
        right, bottom = min(self.right, other.right), min(self.bottom, other.bottom)
        return Rect(x, y, max(0.0, right - x), max(0.0, bottom - y))

    def scaled(self, factor_x: float, factor_y: float) -> Rect:
        """Return the rectangle with x multiplied by ``factor_x`` and y by ``factor_y``."""
        return Rect(
            self.x * factor_x, self.y * factor_y, self.width * factor_x, self.height * factor_y
        )


_ELLIPSE_CORNERS = 72
SAMPLES = 32
"""Points along a rectangle's side at which `covered` looks."""


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """One polygon with its holes.

    A point is inside if it is inside the first ring and in none of the others: holes may overlap
    each other and reach beyond the first ring. Inside of a ring is where a ray crosses it an odd
    number of times, so that a ring may cross itself.

    Attributes
    ----------
    name : str
        Class of the tissue in it, as the annotation names it.
    rings : tuple of ndarray of float64, shape (n, 2)
        Corners (x, y) in level-0 pixels, where (0, 0) is the upper-left corner of the first
        pixel; closed without repeating the first corner.
    bounds : Rect
        The smallest rectangle around it.
    """

    name: str
    rings: tuple[NDArray[np.float64], ...]
    bounds: Rect = field(init=False)

    def __post_init__(self) -> None:
        corners = np.concatenate(self.rings)
        (x0, y0), (x1, y1) = corners.min(axis=0), corners.max(axis=0)
        # A frozen dataclass sets a derived field only so.
        object.__setattr__(self, "bounds", Rect(float(x0), float(y0), x1 - x0, y1 - y0))

    @property
    def area(self) -> float:
        """Area in level-0 pixels squared, exact also where rings cross themselves or each other."""
        return _area(self.rings)

    def contains(self, xs: NDArray[np.float64], ys: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return whether the crossings of ``xs`` and ``ys`` lie inside.

        Parameters
        ----------
        xs, ys : ndarray of float64, shape (columns,) and (rows,)
            Ascending, level-0 pixels.

        Returns
        -------
        ndarray of bool, shape (rows, columns)
        """
        inside = _within(self.rings[0], xs, ys)
        for hole in self.rings[1:]:
            inside &= ~_within(hole, xs, ys)
        return inside


def _within(
    ring: NDArray[np.float64], xs: NDArray[np.float64], ys: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Return whether the crossings of ``xs`` and ``ys``, ascending, lie inside a ring."""
    odd = np.zeros((len(ys), len(xs)), np.bool_)
    start, end = ring, np.roll(ring, -1, axis=0)
    low = np.minimum(start[:, 1], end[:, 1])
    high = np.maximum(start[:, 1], end[:, 1])
    # Level edges are not crossed at all.
    near = (low <= ys[-1]) & (high > ys[0]) & (low < high)
    for (x0, y0), (x1, y1) in zip(start[near], end[near], strict=True):
        # Half-open in y, so that a corner on a row is crossed once and not twice.
        rows = np.flatnonzero((ys >= min(y0, y1)) & (ys < max(y0, y1)))
        crossing = x0 + (ys[rows] - y0) * ((x1 - x0) / (y1 - y0))
        odd[rows] ^= xs[None, :] >= crossing[:, None]
    return odd


_MOST_PAIRS = 2_000_000
"""Pairs of edges, and edges over slabs, that are looked at; beyond it rings count as simple."""


def has_area(ring: NDArray[np.float64]) -> bool:
    """Return whether a ring, shape (n, 2), encloses more than a line.

    One that runs the same way back, or whose corners lie on a line, does not; one that crosses
    itself does, as the figure of eight whose halves cancel.
    """
    least = 1e-12 * float(np.ptp(ring, axis=0).max(initial=0)) ** 2
    if len(ring) < 3 or _shoelace(ring) > least:
        return len(ring) > 2
    away = ring - ring[0]
    x, y = away[np.abs(away).sum(axis=1).argmax()]
    if (np.abs(away[:, 0] * y - away[:, 1] * x) <= least).all():
        return False
    return _area((ring,)) > least


def _shoelace(ring: NDArray[np.float64]) -> float:
    # From one corner, so that far from (0, 0) no digits are lost.
    (x, y), (next_x, next_y) = (ring - ring[0]).T, np.roll(ring - ring[0], -1, axis=0).T
    return abs(float((x * next_y - next_x * y).sum())) / 2


def _area(rings: Sequence[NDArray[np.float64]]) -> float:
    """Return the area inside the first ring and outside of all others.

    Between two heights without a corner or a crossing every piece is a trapezoid, whose area is
    its width at half its height times its height.
    """
    edges = np.concatenate([np.hstack([r, np.roll(r, -1, axis=0)]) for r in rings])
    ring_of = np.repeat(np.arange(len(rings)), [len(r) for r in rings])
    heights = _crossings(edges)
    rising = edges[:, 1] != edges[:, 3]
    edges, ring_of = edges[rising], ring_of[rising]
    simple = _shoelace(rings[0]) - sum(map(_shoelace, rings[1:]))
    if heights is None:
        return max(0.0, simple)
    heights = np.unique(np.concatenate([edges[:, 1], edges[:, 3], heights]))
    low, high = (f(edges[:, 1], edges[:, 3]) for f in (np.minimum, np.maximum))
    first, last = np.searchsorted(heights, low), np.searchsorted(heights, high)
    if (last - first).sum() > _MOST_PAIRS:
        return max(0.0, simple)
    edge, slab = _ranges(last - first)
    slab += first[edge]
    middle = (heights[slab] + heights[slab + 1]) / 2
    x0, y0, x1, y1 = edges[edge].T
    x = x0 + (middle - y0) * ((x1 - x0) / (y1 - y0))
    # Along a slab a ring is entered and left in turn.
    by_ring = np.lexsort((x, ring_of[edge], slab))
    change = np.empty(len(edge), np.intp)
    change[by_ring] = 1 - 2 * (np.arange(len(edge)) % 2)
    order = np.lexsort((x, slab))
    outer = ring_of[edge[order]] == 0
    inside = np.cumsum(np.where(outer, change[order], 0)) > 0
    inside &= np.cumsum(np.where(outer, 0, change[order])) == 0
    width = np.diff(x[order], append=0.0)
    return float((width * np.diff(heights)[slab[order]])[inside].sum())


def _crossings(edges: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the heights at which edges cross between their ends; None if they are too many."""
    low, high = (f(edges[:, 1], edges[:, 3]) for f in (np.minimum, np.maximum))
    order = np.argsort(low)
    edges, low, high = edges[order], low[order], high[order]
    counts = np.searchsorted(low, high) - np.arange(len(edges)) - 1
    if counts.sum() > _MOST_PAIRS:
        return None
    one, other = _ranges(np.maximum(counts, 0))
    other += one + 1
    a, b = edges[one], edges[other]
    along, across = a[:, 2:] - a[:, :2], b[:, 2:] - b[:, :2]
    between = b[:, :2] - a[:, :2]
    turn = along[:, 0] * across[:, 1] - along[:, 1] * across[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (between[:, 0] * across[:, 1] - between[:, 1] * across[:, 0]) / turn
        u = (between[:, 0] * along[:, 1] - between[:, 1] * along[:, 0]) / turn
    crossed = (t > 0) & (t < 1) & (u > 0) & (u < 1)
    return np.asarray(a[crossed, 1] + t[crossed] * along[crossed, 1])


def _ranges(counts: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return for each range its number, repeated, and the positions within it."""
    number = np.repeat(np.arange(len(counts)), counts)
    return number, np.arange(len(number)) - (np.cumsum(counts) - counts)[number]


def ellipse_corners(box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the corners of a polygon along an ellipse, 5 degrees apart.

    Parameters
    ----------
    box : ndarray of float, shape (4, 2)
        Corners of the box around it, one after another; it may be turned.

    Returns
    -------
    ndarray of float64, shape (72, 2)
    """
    angle = np.linspace(0, 2 * np.pi, _ELLIPSE_CORNERS, endpoint=False)[:, None]
    across, along = (box[1] - box[0]) / 2, (box[3] - box[0]) / 2
    return np.asarray(box.mean(axis=0) + np.cos(angle) * across + np.sin(angle) * along)


def covered(regions: Iterable[Region], rect: Rect) -> float:
    """Return the share of a rectangle that lies in any of the regions, to about 1 in 1000.

    Parameters
    ----------
    regions : iterable of Region
        Overlapping ones count once.
    rect : Rect
        In level-0 pixels.
    """
    steps = (np.arange(SAMPLES) + 0.5) / SAMPLES
    xs, ys = rect.x + steps * rect.width, rect.y + steps * rect.height
    inside = np.zeros((SAMPLES, SAMPLES), np.bool_)
    for region in regions:
        if not region.bounds.intersection(rect).is_empty:
            inside |= region.contains(xs, ys)
    return float(inside.mean())
