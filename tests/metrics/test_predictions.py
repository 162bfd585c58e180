"""The one record of labeled predictions."""

from __future__ import annotations

import numpy as np

from napari_liverdx.metrics.predictions import LabeledPredictions, softmax


def test_targets_become_labels_and_whether_they_are_clear() -> None:
    targets = np.array([[0, 1, 0], [0.4, 0.6, 0], [1, 0, 0]], np.float32)
    p = LabeledPredictions.of_targets(
        np.array([7, 3, 5]), softmax(targets), targets, np.array(["a", "b", "c"])
    )
    assert p.labels.tolist() == [1, 1, 0]
    assert p.is_clear.tolist() == [True, False, True]
    assert p.only_clear().index.tolist() == [7, 5]
    ordered = LabeledPredictions.joined([p, p]).in_order()
    assert ordered.index.tolist() == [3, 3, 5, 5, 7, 7]
    assert ordered.groups.tolist() == list("bbccaa")
    assert len(ordered) == 6
    assert p.are_of_the_same(p.where(np.arange(3)))
    assert not p.are_of_the_same(ordered)


def test_nothing_is_a_record_too() -> None:
    empty = np.empty((0, 3), np.float32)
    p = LabeledPredictions.of_targets(
        np.empty(0, np.intp), softmax(empty), empty, np.empty(0, "<U1")
    )
    assert len(p.only_clear().in_order()) == 0


def test_softmax_of_large_logits_under_a_temperature() -> None:
    assert softmax(np.array([[1000.0, 1000.0]])).tolist() == [[0.5, 0.5]]
    hot, cold = softmax(np.array([[2.0, 0.0]]), 2.0), softmax(np.array([[2.0, 0.0]]), 0.5)
    assert hot[0, 0] < cold[0, 0]
