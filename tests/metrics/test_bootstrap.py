"""Intervals that respect groups."""

from __future__ import annotations

import numpy as np
import pytest

from napari_liverdx.metrics.bootstrap import (
    balanced_accuracy,
    evaluate_predictions,
    grouped_interval,
)


def test_intervals_respect_groups() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 400)
    right = np.repeat(rng.random(20) < 0.8, 20)
    predicted = np.where(right, labels, 1 - labels)
    probabilities = np.eye(2)[predicted]
    by_group = grouped_interval(
        balanced_accuracy, probabilities, labels, np.repeat(np.arange(20), 20).astype(str)
    )
    by_tile = grouped_interval(balanced_accuracy, probabilities, labels, np.arange(400).astype(str))
    assert by_group.low is not None
    assert by_group.high is not None
    assert by_tile.low is not None
    assert by_tile.high is not None
    assert by_group.high - by_group.low > 2 * (by_tile.high - by_tile.low)
    assert by_group.low <= by_group.value <= by_group.high


def test_metrics_by_hand() -> None:
    labels = np.array([0, 0, 1, 1, 1, 1])
    probabilities = np.eye(3)[[0, 1, 1, 1, 1, 2]]
    rows = evaluate_predictions(
        probabilities, labels, np.array(list("aabbcc")), ["x", "y", "z"], "by hand"
    )
    assert rows["balanced accuracy"].value == pytest.approx((0.5 + 0.75) / 2, abs=1e-4)
    assert rows["sensitivity y"].value == pytest.approx(0.75)
    assert rows["specificity y"].value == pytest.approx(0.5)
    assert rows["specificity z"].value == pytest.approx(5 / 6, abs=1e-4)
    assert "sensitivity z" not in rows
    assert "6 tiles of 3 groups" in rows["balanced accuracy"].how
