"""Figures of merit of a classifier; each from probabilities and labels to one number.

Figures over several classes are means over the classes that occur ("macro"), so that a rare class
counts as much as a common one. Where a figure is not defined, as AUC with one class, it is NaN.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

__all__ = [
    "MACRO_METRICS",
    "Metric",
    "accuracy",
    "area_under_curve",
    "balanced_accuracy",
    "confusion_matrix",
    "f1",
    "matthews",
    "roc_curve",
    "sensitivity",
    "specificity",
]

Metric = Callable[[NDArray[np.float64], NDArray[np.intp]], float]


def confusion_matrix(
    probabilities: NDArray[np.float64], labels: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Counts by true class (row) and predicted class (column).

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
    n = probabilities.shape[1]
    places = labels * n + probabilities.argmax(axis=1)
    return np.bincount(places, minlength=n * n).reshape(n, n)


def accuracy(probabilities: NDArray[np.float64], labels: NDArray[np.intp]) -> float:
    """Share of right answers."""
    return float(np.mean(probabilities.argmax(axis=1) == labels))


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> float:
    kept = whole > 0
    return float(np.mean(part[kept] / whole[kept])) if kept.any() else float("nan")


def balanced_accuracy(probabilities: NDArray[np.float64], labels: NDArray[np.intp]) -> float:
    """Mean sensitivity of the classes that occur."""
    table = confusion_matrix(probabilities, labels).astype(float)
    return _ratio(np.diag(table), table.sum(axis=1))


def macro_specificity(probabilities: NDArray[np.float64], labels: NDArray[np.intp]) -> float:
    """Mean specificity of the classes that occur."""
    table = confusion_matrix(probabilities, labels).astype(float)
    present = table.sum(axis=1) > 0
    others = table.sum() - table.sum(axis=1)
    wrong = table.sum(axis=0) - np.diag(table)
    return _ratio((others - wrong)[present], others[present])


def sensitivity(c: int) -> Metric:
    """Share of class ``c`` that is found."""

    def metric(probabilities: NDArray[np.float64], labels: NDArray[np.intp]) -> float:
        hits = probabilities.argmax(axis=1)[labels == c] == c
        return float(hits.mean()) if len(hits) else float("nan")

    return metric


def specificity(c: int) -> Metric:
    """Share of the other classes that is not taken for class ``c``."""

    def metric(probabilities: NDArray[np.float64], labels: NDArray[np.intp]) -> float:
        misses = probabilities.argmax(axis=1)[labels != c] != c
        return float(misses.mean()) if len(misses) else float("nan")

    return metric


def f1(probabilities: NDArray[np.float64], labels: NDArray[np.intp]) -> float:
    """Mean F1 score of the classes that occur."""
    table = confusion_matrix(probabilities, labels).astype(float)
    present = table.sum(axis=1) > 0
    both = table.sum(axis=0) + table.sum(axis=1)
    return _ratio(2 * np.diag(table)[present], both[present])


def matthews(probabilities: NDArray[np.float64], labels: NDArray[np.intp]) -> float:
    """Matthews correlation coefficient for any number of classes (Gorodkin 2004).

    0 where only one class occurs or is predicted.
    """
    table = confusion_matrix(probabilities, labels).astype(float)
    total, right = table.sum(), np.trace(table)
    true, said = table.sum(axis=1), table.sum(axis=0)
    below = np.sqrt((total**2 - said @ said) * (total**2 - true @ true))
    return float((right * total - said @ true) / below) if below else 0.0


def _binary_auc(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    n = int(positive.sum())
    m = len(positive) - n
    if not n or not m:
        return float("nan")
    return float((rankdata(scores)[positive].sum() - n * (n + 1) / 2) / (n * m))


def area_under_curve(probabilities: NDArray[np.float64], labels: NDArray[np.intp]) -> float:
    """Mean area under the ROC curves of each occurring class against the others."""
    values = [_binary_auc(probabilities[:, c], labels == c) for c in range(probabilities.shape[1])]
    kept = [v for v in values if not np.isnan(v)]
    return float(np.mean(kept)) if kept else float("nan")


def roc_curve(
    scores: NDArray[np.float64], positive: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """False and true positive rates at every threshold, from the strictest on.

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
