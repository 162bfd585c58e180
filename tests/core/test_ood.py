"""When a slide is unlike the training data."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_liverdx.core.ood import OodRule, OodState, assess_ood


def test_slide_is_judged_by_how_many_tiles_lie_outside() -> None:
    rule = OodRule(0.05, 0.1)
    assert rule.judge(0, 0) is OodState.UNKNOWN
    assert rule.judge(5, 100) is OodState.IN_DISTRIBUTION
    assert rule.judge(40, 100) is OodState.BORDERLINE
    assert rule.judge(60, 100) is OodState.OUT_OF_DISTRIBUTION
    assert rule.judge(1, 1) is not OodState.OUT_OF_DISTRIBUTION, "one tile condemns no slide"
    reading = assess_ood(np.array([[0.2, np.nan], [1.5, 0.9]]), rule)
    assert (reading.tiles, reading.outside) == (3, 1)
    assert "1 of 3 tiles (33 %)" in str(reading)


@given(st.integers(1, 3000), st.floats(0.05, 0.6))
def test_usual_count_is_that_of_a_beta_binomial(tiles: int, overlap: float) -> None:
    rule = OodRule(0.05, overlap)
    usual = rule.usual(tiles, 0.95)
    assert 0 <= usual <= tiles
    rng = np.random.default_rng(0)
    strength = 1 / overlap - 1
    drawn = rng.binomial(tiles, rng.beta(0.05 * strength, 0.95 * strength, 4000))
    assert (drawn > usual).mean() < 0.05 + 0.02
    assert (drawn > usual - 1 - tiles // 500).mean() > 0.05 - 0.02 or usual == 0


def test_without_held_out_specimens_only_markov_holds() -> None:
    rule = OodRule(0.05, None)
    assert rule.judge(25, 100) is OodState.IN_DISTRIBUTION
    assert rule.judge(26, 100) is OodState.BORDERLINE
    assert rule.judge(50, 100) is OodState.BORDERLINE
    assert rule.judge(51, 100) is OodState.OUT_OF_DISTRIBUTION
