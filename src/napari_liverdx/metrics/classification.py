"""Figures of merit of a classifier; each from probabilities and labels to one number.

Figures over several classes are means over the classes that occur ("macro"), so that a rare class
counts as much as a common one. Where a figure is not defined, as AUC with one class, it is NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

__all__ = [
    "MACRO_METRICS",
    "ConfusionMetric",
    "Metric",
    "accuracy",
    "area_under_curve",
    "balanced_accuracy",
    "confusion_matrices",
    "confusion_matrix",
    "f1",
    "macro_specificity",
    "matthews",
    "roc_curve",
    "sensitivity",
    "specificity",
]

Probabilities = NDArray[np.floating[Any]]
Tables = NDArray[np.float64]
Metric = Callable[[Probabilities, NDArray[np.intp]], float]


@dataclass(frozen=True, slots=True)
class ConfusionMetric:
    """A figure that the confusion matrix alone decides.

    Attributes
    ----------
    of_tables : callable
        From confusion matrices, shape (..., classes, classes), to figures, shape (...), so that
        those of many bootstrap draws are found at once.
    """

    of_tables: Callable[[Tables], Tables]

    def __call__(self, probabilities: Probabilities, labels: NDArray[np.intp]) -> float:
        """Return the figure of predictions, shape (n, classes), for labels, shape (n,)."""
        return float(self.of_tables(confusion_matrix(probabilities, labels).astype(np.float64)))


def confusion_matrix(probabilities: Probabilities, labels: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return counts by true class (row) and predicted class (column).

    Parameters
    ----------
    probabilities : ndarray of float, shape (n, classes)
        Predicted probabilities.
    labels : ndarray of int, shape (n,)
        True classes.

    Returns
    -------
    ndarray of int, shape (classes, classes)
    """
    owners = np.zeros(len(labels), np.intp)
    return np.asarray(confusion_matrices(probabilities, labels, owners, 1)[0])


def confusion_matrices(
    probabilities: Probabilities, labels: NDArray[np.intp], owners: NDArray[np.intp], count: int
) -> NDArray[np.intp]:
    """Return the confusion matrix of each of ``count`` owners, shape (count, classes, classes)."""
    n = probabilities.shape[1]
    places = (owners * n + labels) * n + probabilities.argmax(axis=1)
    return np.bincount(places, minlength=count * n * n).reshape(count, n, n)


def _ratio(part: Tables, whole: Tables) -> Tables:
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan)


def _mean(values: Tables, kept: NDArray[np.bool_]) -> Tables:
    """Average over the last axis of what is kept; NaN where nothing is."""
    return _ratio(np.where(kept, values, 0).sum(axis=-1), kept.sum(axis=-1).astype(np.float64))


def _diagonal(tables: Tables) -> Tables:
    return np.diagonal(tables, axis1=-2, axis2=-1)


def _accuracy(tables: Tables) -> Tables:
    return _ratio(_diagonal(tables).sum(axis=-1), tables.sum(axis=(-2, -1)))


def _balanced_accuracy(tables: Tables) -> Tables:
    true = tables.sum(axis=-1)
    return _mean(_ratio(_diagonal(tables), true), true > 0)


def _macro_specificity(tables: Tables) -> Tables:
    true = tables.sum(axis=-1)
    others = true.sum(axis=-1, keepdims=True) - true
    wrong = tables.sum(axis=-2) - _diagonal(tables)
    return _mean(_ratio(others - wrong, others), (true > 0) & (others > 0))


def _f1(tables: Tables) -> Tables:
    true = tables.sum(axis=-1)
    return _mean(_ratio(2 * _diagonal(tables), tables.sum(axis=-2) + true), true > 0)


def _matthews(tables: Tables) -> Tables:
    total = tables.sum(axis=(-2, -1))
    right = _diagonal(tables).sum(axis=-1)
    true, said = tables.sum(axis=-1), tables.sum(axis=-2)
    below = np.sqrt((total**2 - (said**2).sum(axis=-1)) * (total**2 - (true**2).sum(axis=-1)))
    above = right * total - (said * true).sum(axis=-1)
    return np.where(below > 0, above / np.where(below > 0, below, 1), 0.0)


accuracy = ConfusionMetric(_accuracy)
"""Share of right answers."""

balanced_accuracy = ConfusionMetric(_balanced_accuracy)
"""Mean sensitivity of the classes that occur."""

macro_specificity = ConfusionMetric(_macro_specificity)
"""Mean specificity of the classes that occur."""

f1 = ConfusionMetric(_f1)
"""Mean F1 score of the classes that occur."""

matthews = ConfusionMetric(_matthews)
"""Matthews correlation coefficient for any number of classes (Gorodkin 2004).

0 where only one class occurs or is predicted.
"""


def sensitivity(c: int) -> ConfusionMetric:
    """Return the metric "share of class ``c`` that is found"."""

    def of_tables(tables: Tables) -> Tables:
        return _ratio(tables[..., c, c], tables[..., c, :].sum(axis=-1))

    return ConfusionMetric(of_tables)


def specificity(c: int) -> ConfusionMetric:
    """Return the metric "share of the other classes that is not taken for class ``c``"."""

    def of_tables(tables: Tables) -> Tables:
        others = tables.sum(axis=(-2, -1)) - tables[..., c, :].sum(axis=-1)
        wrong = tables[..., :, c].sum(axis=-1) - tables[..., c, c]
        return _ratio(others - wrong, others)

    return ConfusionMetric(of_tables)


def _binary_auc(scores: Probabilities, positive: NDArray[np.bool_]) -> float:
    n = int(positive.sum())
    m = len(positive) - n
    if not n or not m:
        return float("nan")
    return float((rankdata(scores)[positive].sum() - n * (n + 1) / 2) / (n * m))


def area_under_curve(probabilities: Probabilities, labels: NDArray[np.intp]) -> float:
    """Return the mean area under the ROC curves of each occurring class against the others."""
    values = [_binary_auc(probabilities[:, c], labels == c) for c in range(probabilities.shape[1])]
    kept = [v for v in values if not np.isnan(v)]
    return float(np.mean(kept)) if kept else float("nan")


def roc_curve(
    scores: Probabilities, positive: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return false and true positive rates at every threshold, from the strictest on.

    Parameters
    ----------
    scores : ndarray of float, shape (n,)
        Higher means more positive.
    positive : ndarray of bool, shape (n,)
        Truth.

    Returns
    -------
    false_positive_rate, true_positive_rate : ndarray of float, shape (thresholds + 1,)
    """
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(positive[order])
    misses = np.cumsum(~positive[order])
    # Equal scores cannot be told apart by a threshold: only the last of each counts.
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    n, m = max(1, int(positive.sum())), max(1, int((~positive).sum()))
    return np.append(0, misses[last] / m), np.append(0, hits[last] / n)


MACRO_METRICS: dict[str, Metric] = {
    "accuracy": accuracy,
    "balanced accuracy": balanced_accuracy,
    "AUC": area_under_curve,
    "F1": f1,
    "MCC": matthews,
    "sensitivity": balanced_accuracy,
    "specificity": macro_specificity,
}
"""Figures over all classes; macro sensitivity is balanced accuracy by definition."""
