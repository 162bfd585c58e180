"""How good a classifier is, with intervals that respect who the samples come from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.metrics.classification import (
    Metric,
    balanced_accuracy,
    sensitivity,
    specificity,
)
from napari_liverdx.models.calibration import expected_calibration_error
from napari_liverdx.models.card import Interval

__all__ = ["balanced_accuracy", "evaluate_predictions", "group_draws", "grouped_interval"]


def group_draws(
    groups: NDArray[np.str_], draws: int = 1000, seed: int = 0
) -> Iterator[NDArray[np.intp]]:
    """Bootstrap draws of whole groups: indices of the samples in each draw.

    Parameters
    ----------
    groups : ndarray of str, shape (n,)
        Patient or slide of each sample.
    draws, seed : int
        Number of draws and their seed.
    """
    rng = np.random.default_rng(seed)
    _, inverse = np.unique(groups, return_inverse=True)
    members = [np.flatnonzero(inverse == g) for g in range(inverse.max() + 1)]
    for _ in range(draws):
        yield np.concatenate([members[g] for g in rng.integers(0, len(members), size=len(members))])


def grouped_interval(
    metric: Metric,
    probabilities: NDArray[np.float64],
    labels: NDArray[np.intp],
    groups: NDArray[np.str_],
    *,
    how: str = "",
    draws: int = 1000,
    seed: int = 0,
) -> Interval:
    """A metric with its 95 % percentile bootstrap interval.

    Whole groups are drawn with replacement, because tiles of one patient are not independent
    (Field & Welsh 2007). Where every draw gives the same value, as for a class without a single
    error, the interval has no width; read it with the number of groups.

    Parameters
    ----------
    metric : callable
        From probabilities and labels to a number.
    probabilities : ndarray of float, shape (n, classes)
        Predicted probabilities.
    labels : ndarray of int, shape (n,)
        True classes.
    groups : ndarray of str, shape (n,)
        Patient or slide of each sample.
    how : str
        Kept with the value.
    draws, seed : int
        Number of bootstrap draws and their seed.
    """
    values = [metric(probabilities[d], labels[d]) for d in group_draws(groups, draws, seed)]
    value = metric(probabilities, labels)
    if np.isnan(values).all():
        return Interval(value=value, how=how)
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return Interval(
        value=round(value, 4), low=round(float(low), 4), high=round(float(high), 4), how=how
    )


def evaluate_predictions(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.intp],
    groups: NDArray[np.str_],
    class_names: Sequence[str],
    how: str,
) -> dict[str, Interval]:
    """Balanced accuracy, sensitivity and specificity per class, and calibration error.

    Parameters
    ----------
    probabilities : ndarray of float, shape (n, classes)
        Predicted probabilities.
    labels : ndarray of int, shape (n,)
        True classes.
    groups : ndarray of str, shape (n,)
        Patients or slides.
    class_names : sequence of str
        Names in output order.
    how : str
        What the samples are, kept with every value.

    Returns
    -------
    dict of str to Interval
        Classes that do not occur have no sensitivity.
    """
    note = f"{how}; {len(labels)} tiles of {len(np.unique(groups))} groups"
    metrics: dict[str, Metric] = {"balanced accuracy": balanced_accuracy}
    for c, name in enumerate(class_names):
        if (labels == c).any():
            metrics[f"sensitivity {name}"] = sensitivity(c)
        if (labels != c).any():
            metrics[f"specificity {name}"] = specificity(c)
    metrics["expected calibration error"] = expected_calibration_error
    return {
        name: grouped_interval(metric, probabilities, labels, groups, how=note)
        for name, metric in metrics.items()
    }
