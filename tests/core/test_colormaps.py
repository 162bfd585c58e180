"""Colormaps grow brighter all the way."""

from __future__ import annotations

import numpy as np
import pytest

from napari_liverdx.core.colormaps import CIVIDIS, COOL_WARM, INFERNO, table_rgb


@pytest.mark.parametrize("table", [CIVIDIS, INFERNO])
def test_colors_grow_brighter_all_the_way(table: str) -> None:
    light = table_rgb(table) @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(light) > 0).all()


def test_difference_colors_mirror_in_brightness() -> None:
    light = table_rgb(COOL_WARM) @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(light[:9]) > 0).all()
    assert (np.diff(light[8:]) < 0).all()
