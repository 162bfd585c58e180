"""Map pixels and tiles that are uncertain: conformal prediction sets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "UNCERTAIN_COLOR",
    "UNCERTAIN_ID",
    "UNCERTAIN_TITLE",
    "Quantiles",
    "prediction_sets",
    "uncertain_mask",
]

UNCERTAIN_ID = "not-sure"
UNCERTAIN_TITLE = "Uncertain"
UNCERTAIN_COLOR = "#6e6259"


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Quantiles of a model's calibration scores at one error rate; None where none was chosen.

    Attributes
    ----------
    subtile : float or None
        For the dense map.
    tile : float or None
        For whole tiles, and for maps that hold their probabilities.
    """

    subtile: float | None = None
    tile: float | None = None


def prediction_sets(probabilities: NDArray[np.floating], quantile: float) -> NDArray[np.bool_]:
    """Return the classes of each prediction set (Sadinle et al. 2019, arXiv:1609.00451).

    A class belongs to the set where 1 minus its probability is at most ``quantile``.

    Parameters
    ----------
    probabilities : ndarray of float
        Values in 0 to 1, any shape; the result has the same.
    quantile : float
        Of the calibration scores; infinity puts every class into every set.

    Returns
    -------
    ndarray of bool
    """
    if np.isinf(quantile):
        return np.ones(probabilities.shape, dtype=np.bool_)
    return np.asarray(1 - probabilities.astype(np.float64) <= quantile)


def uncertain_mask(
    probabilities: NDArray[np.floating], quantile: float, *, axis: int = 0
) -> NDArray[np.bool_]:
    """Return where the prediction set does not hold exactly one class.

    An empty set says that no class fits, a larger one that several do; either way the model
    cannot tell.

    Parameters
    ----------
    probabilities : ndarray of float
        Classes along ``axis``.
    quantile : float
        Of the calibration scores.
    axis : int
        Axis of the classes; it is missing in the result.

    Returns
    -------
    ndarray of bool
    """
    return np.asarray(prediction_sets(probabilities, quantile).sum(axis=axis) != 1)
