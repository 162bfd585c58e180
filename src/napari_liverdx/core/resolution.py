"""Micrometers per pixel, and the level of a slide that fits a wanted resolution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

from napari_liverdx.core.errors import MppError, SlideReadError

__all__ = [
    "MPP_RANGE",
    "RESOLUTION_TOLERANCE",
    "Level",
    "Mpp",
    "is_plausible_mpp",
    "level_for_downsample",
]

MPP_RANGE = (0.05, 20.0)
"""Smallest and largest level-0 µm/px that light microscopy of tissue produces."""


def is_plausible_mpp(value: float) -> bool:
    """Return whether ``value`` (µm/px) can be the resolution of a histology image."""
    return math.isfinite(value) and MPP_RANGE[0] <= value <= MPP_RANGE[1]


@dataclass(frozen=True, slots=True)
class Mpp:
    """Level-0 resolution of a slide.

    Attributes
    ----------
    x, y : float
        Micrometers per pixel along each axis.
    source : str
        Where the value was found, for example ``"Aperio MPP"`` or ``"given by user"``.

    Raises
    ------
    MppError
        If a value lies outside `MPP_RANGE` or the axes differ by more than a factor of two.
    """

    x: float
    y: float
    source: str

    def __post_init__(self) -> None:
        for axis, value in (("x", self.x), ("y", self.y)):
            if not is_plausible_mpp(value):
                raise MppError(
                    f"{value:g} µm/px along {axis} ({self.source}) is not a plausible slide "
                    f"resolution; give a value between {MPP_RANGE[0]:g} and {MPP_RANGE[1]:g}, "
                    "for example 0.25 for a 40x scan or 0.5 for 20x"
                )
        if not 0.5 <= self.x / self.y <= 2.0:
            raise MppError(
                f"pixels of {self.x:g} × {self.y:g} µm ({self.source}) are too far from square; "
                "give the µm/px of the scan"
            )

    @classmethod
    def square(cls, value: float, source: str = "given by user") -> Mpp:
        """Return an `Mpp` with the same value on both axes."""
        return cls(value, value, source)

    @property
    def mean(self) -> float:
        """Mean of both axes in µm/px."""
        return (self.x + self.y) / 2

    def __str__(self) -> str:
        size = f"{self.x:.4g}" if self.x == self.y else f"{self.x:.4g} × {self.y:.4g}"
        return f"{size} µm/px ({self.source})"


_LARGEST_SIDE = 2**31 - 1
"""Pixels; TIFF and DICOM hold no more."""

_MOST_TILES = 2**26
"""Of a level: a million pixels on a side in tiles of 128."""

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

    Raises
    ------
    SlideReadError
        If a number can be no size: they come from files, which may be damaged.
    """

    width: int
    height: int
    downsample_x: float
    downsample_y: float
    tile_width: int
    tile_height: int

    def __post_init__(self) -> None:
        sizes = (self.width, self.height, self.tile_width, self.tile_height)
        downsamples = (self.downsample_x, self.downsample_y)
        whole = all(isinstance(n, Integral) and 1 <= n <= _LARGEST_SIDE for n in sizes)
        if (
            not whole
            or not all(0 < d <= _LARGEST_SIDE for d in downsamples)
            or self.tile_shape[0] * self.tile_shape[1] > _MOST_TILES
        ):
            raise SlideReadError(
                f"a level of {self.width!r} × {self.height!r} px in tiles of {self.tile_width!r} × "
                f"{self.tile_height!r} px is impossible; the file is damaged, copy it again from "
                "its source"
            )

    @classmethod
    def reduced(
        cls, size: tuple[int, int], finest: tuple[int, int], tile: tuple[int, int]
    ) -> Level:
        """Return the level that shows in ``size`` what the finest does; all (width, height), px."""
        return cls(*size, finest[0] / size[0], finest[1] / size[1], *tile)

    @property
    def downsample(self) -> float:
        """Mean of both axes."""
        return (self.downsample_x + self.downsample_y) / 2

    @property
    def tile_shape(self) -> tuple[int, int]:
        """Number of stored tile rows and columns."""
        return -(-self.height // self.tile_height), -(-self.width // self.tile_width)


def level_for_downsample(levels: Sequence[Level], downsample: float) -> int:
    """Return the index of the coarsest level that is still at least as fine as ``downsample``.

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
