"""Whether two models differ on the same samples by more than chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_liverdx.metrics.bootstrap import GroupBootstrap, as_interval, weighted_tables
from napari_liverdx.metrics.classification import balanced_accuracy
from napari_liverdx.metrics.predictions import LabeledPredictions
from napari_liverdx.models.card import Interval

__all__ = ["PairedTest", "holm", "paired_test"]


@dataclass(frozen=True, slots=True)
class PairedTest:
    """Difference of a model from the first one, on the same tiles.

    Attributes
    ----------
    difference : Interval
        Of balanced accuracy, model minus first; bootstrap over groups.
    p_value : float
        Two-sided permutation test: in each group the two models' answers are exchanged at random.
    p_adjusted : float
        The same after Holm's correction for the number of models.
    """

    difference: Interval
    p_value: float
    p_adjusted: float


def paired_test(
    first: LabeledPredictions, other: LabeledPredictions, *, draws: int = 1000, seed: int = 0
) -> PairedTest:
    """Return how ``other`` differs from ``first`` on the same tiles.

    The interval is a bootstrap over groups of the difference in balanced accuracy. The p-value is
    that of a permutation test that exchanges the two models' answers group by group, since tiles
    of one patient are right or wrong together.

    Parameters
    ----------
    first, other : LabeledPredictions
        Of the same tiles.
    draws : int
        Bootstrap draws and permutations.
    seed : int
        Of the random numbers.
    """
    bootstrap = GroupBootstrap.of(first.groups, draws, seed)
    a, b = bootstrap.tables(first), bootstrap.tables(other)
    score = balanced_accuracy.of_tables
    observed = float(score(b.sum(axis=0)) - score(a.sum(axis=0)))
    counts = bootstrap.counts
    drawn = score(weighted_tables(counts, b)) - score(weighted_tables(counts, a))
    rng = np.random.default_rng(seed)
    swap = (rng.random((draws, bootstrap.n_groups)) < 0.5).astype(np.float64)
    one = weighted_tables(1 - swap, a) + weighted_tables(swap, b)
    two = weighted_tables(1 - swap, b) + weighted_tables(swap, a)
    beyond = np.abs(score(two) - score(one)) >= abs(observed) - 1e-12
    p = (1 + int(beyond.sum())) / (draws + 1)
    return PairedTest(as_interval(observed, drawn), p, p)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number (Holm 1979)."""
    order = np.argsort(p_values)
    adjusted = np.empty(len(p_values))
    running = 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = running
    return [float(p) for p in adjusted]
