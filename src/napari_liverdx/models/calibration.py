"""Do the probabilities mean what they say?"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["expected_calibration_error", "fit_temperature"]


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature that minimises the negative log-likelihood (Guo et al. 2017).

    Parameters
    ----------
    logits : Tensor, shape (n, classes), float
        Of samples not used in training.
    labels : Tensor, shape (n,), int, or (n, classes), float
        Classes, or target distributions.

    Returns
    -------
    float
        Between 0.25 and 4; 1 where there are no samples.
    """
    if not len(logits):
        return 1.0
    logits = logits.double()
    targets = labels if labels.ndim == 1 else labels.double()
    candidates = torch.logspace(-2, 2, 401, base=2, dtype=torch.float64)
    losses = [float(torch.nn.functional.cross_entropy(logits / t, targets)) for t in candidates]
    return float(candidates[int(np.argmin(losses))])


def expected_calibration_error(
    probabilities: NDArray[np.float64], labels: NDArray[np.intp], bins: int = 15
) -> float:
    """Expected calibration error of the top class (Naeini et al. 2015), equal-width bins.

    Parameters
    ----------
    probabilities : ndarray of float, shape (n, classes)
        Predicted probabilities.
    labels : ndarray of int, shape (n,)
        True classes.
    bins : int
        Number of bins.

    Returns
    -------
    float
        0 is perfect; NaN without samples.
    """
    if not len(labels):
        return float("nan")
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    error = 0.0
    for b in range(bins):
        inside = index == b
        if inside.any():
            error += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    return float(error)
