"""Prediction sets cover new groups as promised."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_liverdx.core.errors import PlanError
from napari_liverdx.core.prediction_sets import Quantiles, prediction_sets
from napari_liverdx.models.conformal import calibrate_conformal, conformal_quantiles
from napari_liverdx.models.file import LoadedModel
from tests.support.predictions import grouped_draw


@given(st.integers(0, 2**31), st.sampled_from([0.1, 0.2, 0.3]), st.integers(20, 60))
@settings(max_examples=15)
def test_sets_cover_new_groups_as_promised(seed: int, rate: float, groups: int) -> None:
    rng = np.random.default_rng(seed)
    covered = []
    for _ in range(60):
        seen, new = grouped_draw(rng, groups), grouped_draw(rng, 40)
        quantile = calibrate_conformal(seen.probabilities, seen.labels, seen.groups).quantile(rate)
        sets = prediction_sets(new.probabilities, quantile)
        hit = sets[np.arange(len(new.labels)), new.labels]
        covered.append(np.mean([hit[new.groups == g].mean() for g in np.unique(new.groups)]))
    # The mean of 60 × 40 groups; its standard error is below 0.012.
    assert np.mean(covered) > 1 - rate - 0.04
    assert np.mean(covered) < 1 - rate + 1 / (groups + 1) + 0.04


def test_few_groups_promise_little(tiny: LoadedModel) -> None:
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
    scores = calibrate_conformal(p, np.array([0, 0, 1]), np.array(["a", "b", "c"]))
    assert scores.quantile(0.1) == np.inf, "three groups cannot promise one error in ten"
    assert scores.quantile(0.25) == pytest.approx(0.3, abs=1e-5)
    assert scores.quantile(0.5) == pytest.approx(0.2, abs=1e-5)
    assert prediction_sets(p, np.inf).all()
    with pytest.raises(PlanError, match="between"):
        scores.quantile(0.7)
    assert conformal_quantiles(tiny.card, None) == Quantiles(None, None)
    with pytest.raises(PlanError, match="no calibration scores"):
        conformal_quantiles(tiny.card, 0.1)
