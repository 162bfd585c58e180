"""The paired test and its correction."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_liverdx.metrics.bootstrap import group_draws
from napari_liverdx.metrics.classification import balanced_accuracy
from napari_liverdx.metrics.predictions import LabeledPredictions
from napari_liverdx.metrics.significance import holm, paired_test


def as_predictions(
    p: NDArray[np.float64], labels: NDArray[np.intp], groups: int
) -> LabeledPredictions:
    n = len(labels)
    owner = (np.arange(n) * groups // n).astype(str)
    return LabeledPredictions.of(p, labels, owner)


def test_paired_test_finds_a_difference_and_no_other() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 300)
    good = np.where(rng.random(300) < 0.95, labels, 1 - labels)
    poor = np.where(rng.random(300) < 0.75, labels, 1 - labels)
    alike = np.where(rng.random(300) < 0.95, labels, 1 - labels)
    one, two, three = (as_predictions(np.eye(2)[s], labels, 30) for s in (good, poor, alike))
    worse = paired_test(one, two, draws=400)
    assert worse.p_value < 0.01
    assert worse.difference.high is not None
    assert worse.difference.high < 0
    assert paired_test(one, three, draws=400).p_value > 0.05
    same = paired_test(one, one, draws=50)
    assert same.p_value == 1
    assert same.difference.value == 0


def test_paired_test_respects_groups() -> None:
    """The same tiles in few groups say less."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    right = np.repeat(rng.random(10) < 0.6, 20)
    one = as_predictions(np.eye(2)[labels], labels, 200)
    by_tile = as_predictions(np.eye(2)[np.where(right, labels, 1 - labels)], labels, 200)
    p_tiles = paired_test(one, by_tile, draws=400).p_value
    few = np.repeat(np.arange(10), 20).astype(str)
    grouped = [LabeledPredictions.of(p.probabilities, p.labels, few) for p in (one, by_tile)]
    p_groups = paired_test(*grouped, draws=400).p_value
    assert p_groups > p_tiles


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_all_permutations_at_once_are_those_one_after_the_other() -> None:
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 3, 90)
    one, two = (as_predictions(rng.dirichlet(np.ones(3), 90), labels, 12) for _ in range(2))
    found = paired_test(one, two, draws=80, seed=4)
    draws = list(group_draws(one.groups, 80, 4))
    a, b = one.probabilities, two.probabilities
    drawn = [balanced_accuracy(b[d], labels[d]) - balanced_accuracy(a[d], labels[d]) for d in draws]
    low, high = np.percentile(drawn, [2.5, 97.5])
    assert (found.difference.low, found.difference.high) == (round(low, 4), round(high, 4))
    _, owners = np.unique(one.groups, return_inverse=True)
    observed = balanced_accuracy(b, labels) - balanced_accuracy(a, labels)
    rng, beyond = np.random.default_rng(4), 1
    for _ in range(80):
        swap = (rng.random(owners.max() + 1)[owners] < 0.5)[:, None]
        difference = balanced_accuracy(np.where(swap, a, b), labels) - balanced_accuracy(
            np.where(swap, b, a), labels
        )
        beyond += abs(difference) >= abs(observed) - 1e-12
    assert found.p_value == beyond / 81
