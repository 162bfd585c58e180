"""Perceptually uniform colors that read the same with every kind of color vision."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["CIVIDIS", "COOL_WARM", "INFERNO", "color_values", "rgb", "rgb8", "table_rgb"]

CIVIDIS = (
    "#00224e #002e6a #1a386f #32436d #434e6c #535a6d #61656f #6f7073 #7d7c78 "
    "#8c8878 #9b9476 #aba072 #bcae6c #cdbb63 #dec958 #f0d846 #fee838"
)
"""Dark blue to yellow, for probabilities (Nuñez et al. 2018, doi:10.1371/journal.pone.0199239)."""

INFERNO = (
    "#000004 #0b0724 #210c4a #3d0965 #57106e #71196e #8a226a #a32c61 #bc3754 "
    "#d24644 #e45a31 #f1731d #f98e09 #fcac11 #f9cb35 #f2ea69 #fcffa4"
)
"""Black to pale yellow, for what lies over tissue (van der Walt & Smith 2015)."""

COOL_WARM = (
    "#3b4cc0 #4e68d8 #6282ea #779af7 #8db0fe #a3c2fe #b9d0f9 #ccd9ed #dddcdc "
    "#ecd3c5 #f5c4ac #f7b093 #f4987a #eb7d62 #dd5f4b #ca3b37 #b40426"
)
"""Blue over gray to red, for differences (Moreland 2009, doi:10.1007/978-3-642-10520-3_9)."""


def rgb8(color: str) -> tuple[int, int, int]:
    """Return ``#rrggbb`` as red, green and blue from 0 to 255."""
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def rgb(color: str) -> tuple[float, float, float]:
    """Return ``#rrggbb`` as red, green and blue from 0 to 1."""
    r, g, b = rgb8(color)
    return r / 255, g / 255, b / 255


def table_rgb(table: str) -> NDArray[np.float64]:
    """Return evenly spaced colors of a table, shape (n, 3), 0 to 1."""
    return np.array([rgb(color) for color in table.split()], dtype=np.float64)


def color_values(
    values: NDArray[np.floating], table: str, low: float, high: float
) -> NDArray[np.uint8]:
    """Color values between ``low`` and ``high``; what lies beyond takes the end's color.

    Parameters
    ----------
    values : ndarray of float, any shape
        What is colored.
    table : str
        Hexadecimal colors at even steps; between them is interpolated.
    low, high : float
        Values of the first and the last color.

    Returns
    -------
    ndarray of uint8, shape (..., 3)
    """
    stops = table_rgb(table)
    at = np.clip((np.asarray(values, np.float64) - low) / (high - low), 0, 1)
    steps = np.linspace(0, 1, len(stops))
    mixed = np.stack([np.interp(at, steps, stops[:, i]) for i in range(3)], axis=-1)
    return np.asarray(np.round(mixed * 255), np.uint8)
