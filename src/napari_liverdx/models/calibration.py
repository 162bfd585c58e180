"""Do the probabilities mean what they say?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["ReliabilityBin", "expected_calibration_error", "fit_temperature", "reliability_bins"]


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Samples whose top probability lies in one range.

    Attributes
    ----------
    low, high : float
        The range.
    count : int
        Samples in it.
    confidence : float
        Their mean top probability.
    accuracy : float
        Share of them whose top class is the true one.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """Fit the temperature that minimizes the negative log-likelihood (Guo et al. 2017).

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
    probabilities: NDArray[np.floating[Any]], labels: NDArray[np.intp], bins: int = 15
) -> float:
    """Compute the expected calibration error (Naeini et al. 2015) of the top class.

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
    found = reliability_bins(probabilities, labels, bins)
    return sum(b.count / len(labels) * abs(b.accuracy - b.confidence) for b in found)


def reliability_bins(
    probabilities: NDArray[np.floating], labels: NDArray[np.intp], bins: int = 15
) -> tuple[ReliabilityBin, ...]:
    """Count confidence against accuracy of the top class in equal bins (Guo et al. 2017).

    Parameters
    ----------
    probabilities : ndarray of float, shape (n, classes)
        Predicted probabilities.
    labels : ndarray of int, shape (n,)
        True classes.
    bins : int
        Number of bins over 0 to 1.

    Returns
    -------
    tuple of ReliabilityBin
        Ascending, without empty bins.
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    found = []
    for b in range(bins):
        inside = index == b
        if inside.any():
            means = float(confidence[inside].mean()), float(correct[inside].mean())
            found.append(ReliabilityBin(b / bins, (b + 1) / bins, int(inside.sum()), *means))
    return tuple(found)
