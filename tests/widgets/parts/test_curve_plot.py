"""Curves rise with their values."""

from __future__ import annotations

import numpy as np
import pytest

from napari_liverdx.training.config import EpochResult
from napari_liverdx.widgets.parts.curve_plot import CurvePlot
from tests.support.window import grabbed


def test_curves_rise_with_their_values(qtbot: object) -> None:
    """A point twice as high stands twice as far above the axis."""
    plot = CurvePlot("A", [("val_loss", "validation")], (0, 1))
    plot.resize(300, 150)
    low = EpochResult(1, 0.5, 0.25, 0.5, True, False, 1.0)
    high = EpochResult(1, 0.5, 0.75, 0.5, True, False, 1.0)
    heights = []
    for epoch in (low, high):
        plot.show_epochs([epoch], 5)
        pixels = grabbed(plot)
        orange = (pixels[..., 2] - pixels[..., 0]) > 90
        heights.append(np.argwhere(orange[24:])[:, 0].mean())
    area = 150 - 24 - 22
    assert heights[0] - heights[1] == pytest.approx(area / 2, abs=2)
    plot.deleteLater()
