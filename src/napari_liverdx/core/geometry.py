"""Places on a slide, in level-0 pixels, x to the right and y down."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Rect"]


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
        """The part both rectangles share; empty (zero area) if they do not meet."""
        x, y = max(self.x, other.x), max(self.y, other.y)
        right, bottom = min(self.right, other.right), min(self.bottom, other.bottom)
        return Rect(x, y, max(0.0, right - x), max(0.0, bottom - y))

    def scaled(self, factor_x: float, factor_y: float) -> Rect:
        """The rectangle with every x multiplied by ``factor_x`` and every y by ``factor_y``."""
        return Rect(
            self.x * factor_x, self.y * factor_y, self.width * factor_x, self.height * factor_y
        )
