"""Turning features back."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_liverdx.training.interactive.head import turn_back, turn_grid


@given(st.integers(0, 3), st.integers(0, 1))
def test_turning_back_undoes_turning(turn: int, flip: int) -> None:
    grid = np.arange(2 * 5 * 5).reshape(2, 5, 5)
    assert np.array_equal(turn_back(turn_grid(grid, turn, flip), turn, flip), grid)
