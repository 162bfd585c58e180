"""Figures of merit are those of scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_liverdx.metrics import classification as m


@st.composite
def predictions(draw: st.DrawFn) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    n, k = draw(st.integers(6, 40)), draw(st.integers(2, 4))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    labels = rng.integers(0, k, n)
    labels[:k] = np.arange(k)
    return rng.dirichlet(np.ones(k), n), labels


@given(predictions())
def test_metrics_are_those_of_scikit_learn(
    case: tuple[NDArray[np.float64], NDArray[np.intp]],
) -> None:
    from sklearn import metrics as sk

    p, labels = case
    said = p.argmax(1)
    assert m.accuracy(p, labels) == pytest.approx(sk.accuracy_score(labels, said))
    assert m.balanced_accuracy(p, labels) == pytest.approx(
        sk.recall_score(labels, said, average="macro", zero_division=0)
    )
    assert m.f1(p, labels) == pytest.approx(
        sk.f1_score(labels, said, average="macro", zero_division=0)
    )
    assert m.matthews(p, labels) == pytest.approx(sk.matthews_corrcoef(labels, said), abs=1e-9)
    areas = [sk.roc_auc_score(labels == c, p[:, c]) for c in range(p.shape[1])]
    assert m.area_under_curve(p, labels) == pytest.approx(np.mean(areas))
    x, y = m.roc_curve(p[:, 0], labels == 0)
    assert np.trapezoid(y, x) == pytest.approx(areas[0])
    table = m.confusion_matrix(p, labels)
    assert (table == sk.confusion_matrix(labels, said, labels=range(p.shape[1]))).all()


def test_auc_counts_ties_half() -> None:
    p = np.array([[0.5, 0.5], [0.5, 0.5]])
    assert m.area_under_curve(p, np.array([0, 1])) == pytest.approx(0.5)
    assert np.isnan(m.area_under_curve(p, np.array([1, 1])))
