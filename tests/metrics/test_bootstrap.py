"""Intervals respect groups; all draws at once give what one after the other gives."""

from __future__ import annotations

import numpy as np
import pytest

from napari_liverdx.metrics import classification as m
from napari_liverdx.metrics.bootstrap import GroupBootstrap, group_draws, grouped_interval
from napari_liverdx.metrics.predictions import LabeledPredictions


def by_chance(seed: int, n: int = 120, classes: int = 3, groups: int = 9) -> LabeledPredictions:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    owners = rng.integers(0, groups, n).astype(str)
    return LabeledPredictions.of(rng.dirichlet(np.ones(classes), n), labels, owners)


def test_intervals_respect_groups() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 400)
    right = np.repeat(rng.random(20) < 0.8, 20)
    probabilities = np.eye(2)[np.where(right, labels, 1 - labels)]
    by_group, by_tile = (
        grouped_interval(
            m.balanced_accuracy, LabeledPredictions.of(probabilities, labels, owners.astype(str))
        )
        for owners in (np.repeat(np.arange(20), 20), np.arange(400))
    )
    assert by_group.low is not None
    assert by_group.high is not None
    assert by_tile.low is not None
    assert by_tile.high is not None
    assert by_group.high - by_group.low > 2 * (by_tile.high - by_tile.low)
    assert by_group.low <= by_group.value <= by_group.high


@pytest.mark.parametrize(
    "metric",
    [
        m.accuracy,
        m.balanced_accuracy,
        m.macro_specificity,
        m.f1,
        m.matthews,
        m.sensitivity(1),
        m.specificity(2),
    ],
    ids=["accuracy", "balanced", "specificity", "F1", "MCC", "sensitivity 1", "specificity 2"],
)
@pytest.mark.parametrize("n", [120, 7])
def test_all_draws_at_once_are_those_one_after_the_other(metric: m.ConfusionMetric, n: int) -> None:
    """Few samples too: then classes are missing from draws and figures are not defined."""
    p = by_chance(n, n)
    draws = list(group_draws(p.groups, 60, 3))
    expected = [metric(p.probabilities[d], p.labels[d]) for d in draws]
    found = GroupBootstrap.of(p.groups, 60, 3).values(metric, p)
    assert found == pytest.approx(np.array(expected), nan_ok=True, abs=1e-12)
    assert n < 120 or np.ptp(found) > 0


def test_what_ranks_decide_is_found_draw_by_draw() -> None:
    p = by_chance(1)
    expected = [
        m.area_under_curve(p.probabilities[d], p.labels[d]) for d in group_draws(p.groups, 20)
    ]
    found = GroupBootstrap.of(p.groups, 20).values(m.area_under_curve, p)
    assert found == pytest.approx(np.array(expected))
