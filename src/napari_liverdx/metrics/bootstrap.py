"""Intervals that respect who the samples come from: whole groups are drawn, never single tiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.metrics.classification import ConfusionMetric, Metric, confusion_matrices
from napari_liverdx.metrics.predictions import LabeledPredictions
from napari_liverdx.models.card import Interval

__all__ = [
    "GroupBootstrap",
    "as_interval",
    "group_draws",
    "grouped_interval",
    "weighted_tables",
]


@dataclass(frozen=True, slots=True, eq=False)
class GroupBootstrap:
    """Draws of whole groups with replacement; figures that are to be compared share them.

    Tiles of one patient are not independent, so patients are drawn (Field & Welsh 2007).

    Attributes
    ----------
    owners : ndarray of int, shape (n,)
        Group of each sample, as a number.
    picked : ndarray of int, shape (draws, groups)
        Groups of each draw.
    """

    owners: NDArray[np.intp]
    picked: NDArray[np.intp]

    @classmethod
    def of(cls, groups: NDArray[np.str_], draws: int = 1000, seed: int = 0) -> GroupBootstrap:
        """Draw whole groups.

        Parameters
        ----------
        groups : ndarray of str, shape (n,)
            Patient or slide of each sample.
        draws, seed : int
            Number of draws and their seed.
        """
        names, owners = np.unique(groups, return_inverse=True)
        rng = np.random.default_rng(seed)
        picked = [rng.integers(0, len(names), size=len(names)) for _ in range(draws)]
        return cls(owners, np.array(picked, np.intp).reshape(draws, len(names)))

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return int(self.picked.shape[1])

    @property
    def counts(self) -> NDArray[np.float64]:
        """How often each group is in each draw, shape (draws, groups)."""
        draws, n = self.picked.shape
        places = self.picked + n * np.arange(draws)[:, None]
        counted = np.bincount(places.ravel(), minlength=draws * n)
        return counted.reshape(draws, n).astype(np.float64)

    def samples(self) -> Iterator[NDArray[np.intp]]:
        """Yield the indices of the samples in each draw."""
        members = [np.flatnonzero(self.owners == g) for g in range(self.n_groups)]
        for groups in self.picked:
            yield np.concatenate([members[g] for g in groups])

    def values(self, metric: Metric, predictions: LabeledPredictions) -> NDArray[np.float64]:
        """Return a metric of predictions in each draw, shape (draws,).

        What the confusion matrix decides is found for all draws at once, from the matrices of the
        groups and how often each group is drawn.
        """
        p, labels = predictions.probabilities, predictions.labels
        if isinstance(metric, ConfusionMetric):
            return metric.of_tables(weighted_tables(self.counts, self.tables(predictions)))
        return np.array([metric(p[d], labels[d]) for d in self.samples()])

    def tables(self, predictions: LabeledPredictions) -> NDArray[np.float64]:
        """Return the confusion matrix of each group, shape (groups, classes, classes)."""
        return confusion_matrices(
            predictions.probabilities, predictions.labels, self.owners, self.n_groups
        ).astype(np.float64)

    def interval(
        self, metric: Metric, predictions: LabeledPredictions, *, how: str = ""
    ) -> Interval:
        """Return a metric with its 95 % percentile interval; `how` is kept with the value.

        Where every draw gives the same value, as for a class without a single error, the interval
        has no width; read it with the number of groups.
        """
        value = metric(predictions.probabilities, predictions.labels)
        return as_interval(value, self.values(metric, predictions), how=how)


def weighted_tables(weights: NDArray[np.float64], tables: NDArray[np.float64]) -> NDArray[Any]:
    """Return the sums of tables of groups under each row of weights, shape (rows, k, k)."""
    groups, *sides = tables.shape
    return (weights @ tables.reshape(groups, -1)).reshape(len(weights), *sides)


def as_interval(value: float, drawn: NDArray[np.float64], *, how: str = "") -> Interval:
    """Return a value with the 95 % percentile interval of what draws gave."""
    if np.isnan(drawn).all():
        return Interval(value=value, how=how)
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return Interval(
        value=round(value, 4), low=round(float(low), 4), high=round(float(high), 4), how=how
    )


def group_draws(
    groups: NDArray[np.str_], draws: int = 1000, seed: int = 0
) -> Iterator[NDArray[np.intp]]:
    """Yield bootstrap draws of whole groups: indices of the samples in each draw.

    Parameters
    ----------
    groups : ndarray of str, shape (n,)
        Patient or slide of each sample.
    draws, seed : int
        Number of draws and their seed.
    """
    return GroupBootstrap.of(groups, draws, seed).samples()


def grouped_interval(
    metric: Metric,
    predictions: LabeledPredictions,
    *,
    how: str = "",
    draws: int = 1000,
    seed: int = 0,
) -> Interval:
    """Return a metric with its 95 % percentile bootstrap interval over groups.

    Parameters
    ----------
    metric : callable
        From probabilities and labels to a number.
    predictions : LabeledPredictions
        At least one.
    how : str
        Kept with the value.
    draws, seed : int
        Number of bootstrap draws and their seed.
    """
    return GroupBootstrap.of(predictions.groups, draws, seed).interval(metric, predictions, how=how)
