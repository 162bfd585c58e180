"""Smaller and smaller versions of a map."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["halved"]


def halved(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average blocks of 2 × 2; an odd last row or column counts twice.

    Parameters
    ----------
    values : ndarray of float32, shape (classes, rows, columns)
        A level.

    Returns
    -------
    ndarray of float32, shape (classes, ceil(rows / 2), ceil(columns / 2))
    """
    rows, cols = values.shape[1:]
    even = np.pad(values, ((0, 0), (0, rows % 2), (0, cols % 2)), mode="edge")
    total = even[:, 0::2, 0::2] + even[:, 0::2, 1::2] + even[:, 1::2, 0::2] + even[:, 1::2, 1::2]
    return np.asarray(total / 4, np.float32)
