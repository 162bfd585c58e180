"""Places on a slide: rectangles, and annotated regions with holes, in level-0 pixels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["Rect", "Region", "covered", "ellipse_corners"]


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

    A point is inside if a ray from it crosses the rings an odd number of times, so that holes are
    simply further rings.

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
        """Area of the first ring less that of the others, level-0 pixels squared."""
        sizes = []
        for ring in self.rings:
            (x, y), (next_x, next_y) = ring.T, np.roll(ring, -1, axis=0).T
            sizes.append(abs(float((x * next_y - next_x * y).sum())) / 2)
        return sizes[0] - sum(sizes[1:])

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
        odd = np.zeros((len(ys), len(xs)), np.bool_)
        for ring in self.rings:
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
