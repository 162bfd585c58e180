"""How probabilities are distributed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Histogram", "probability_histogram"]


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """Cells by their probability.

    Attributes
    ----------
    counts : ndarray of int64, shape (bins,)
        Cells in each bin.
    edges : ndarray of float64, shape (bins + 1,)
        Limits of the bins, from 0 to 1. A bin holds its lower limit, as a threshold does; the
        last one its upper limit too.
    """

    counts: NDArray[np.int64]
    edges: NDArray[np.float64]

    @property
    def total(self) -> int:
        """Number of cells."""
        return int(self.counts.sum())


def probability_histogram(
    values: NDArray[np.floating],
    bins: int = 40,
    *,
    tissue: NDArray[np.bool_] | None = None,
    region: NDArray[np.bool_] | None = None,
) -> Histogram:
    """The histogram of one class's probabilities.

    Parameters
    ----------
    values : ndarray of float
        Probabilities, any shape; what lies outside 0 to 1 or is NaN is left out.
    bins : int
        Number of bins of equal width.
    tissue : ndarray of bool, shape of ``values``, optional
        Cells that were analysed; all by default.
    region : ndarray of bool, shape of ``values``, optional
        Cells of a region; all by default.

    Returns
    -------
    Histogram

    Raises
    ------
    ValueError
        If there is no bin.
    """
    if bins < 1:
        raise ValueError(f"a histogram needs at least one bin, not {bins}")
    if tissue is not None and region is not None:
        values = values[tissue & region]
    elif tissue is not None or region is not None:
        values = values[tissue if region is None else region]
    counts, _ = np.histogram(values, bins, (0.0, 1.0))
    return Histogram(counts.astype(np.int64), np.linspace(0, 1, bins + 1))
