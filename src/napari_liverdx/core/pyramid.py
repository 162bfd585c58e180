"""The levels of a slide and which one to read for a wanted resolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["RESOLUTION_TOLERANCE", "Level", "level_for_downsample"]

RESOLUTION_TOLERANCE = 0.02
"""A level this close (relative) to the wanted resolution is used as it is."""


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution of a slide.

    Attributes
    ----------
    width, height : int
        Size in this level's pixels.
    downsample_x, downsample_y : float
        Level-0 pixels per pixel of this level.
    tile_width, tile_height : int
        Size of the stored tiles in pixels.
    """

    width: int
    height: int
    downsample_x: float
    downsample_y: float
    tile_width: int
    tile_height: int

    @property
    def downsample(self) -> float:
        """Mean of both axes."""
        return (self.downsample_x + self.downsample_y) / 2

    @property
    def tile_shape(self) -> tuple[int, int]:
        """Number of stored tile rows and columns."""
        return -(-self.height // self.tile_height), -(-self.width // self.tile_width)


def level_for_downsample(levels: Sequence[Level], downsample: float) -> int:
    """Index of the coarsest level that is still at least as fine as ``downsample``.

    Parameters
    ----------
    levels : sequence of Level
        Finest first.
    downsample : float
        Wanted level-0 pixels per pixel.

    Returns
    -------
    int
        Level 0 if nothing is fine enough.
    """
    limit = downsample * (1 + RESOLUTION_TOLERANCE)
    fine_enough = [i for i, level in enumerate(levels) if level.downsample <= limit]
    return max(fine_enough, default=0, key=lambda i: levels[i].downsample)
