"""All figures at once, of models on the same tiles."""

from __future__ import annotations

import numpy as np
import pytest

from napari_liverdx.core.errors import DataError
from napari_liverdx.metrics.figures import figures_of_merit
from napari_liverdx.metrics.predictions import LabeledPredictions


def test_figures_by_hand() -> None:
    labels = np.array([0, 0, 1, 1, 1, 1])
    probabilities = np.eye(3)[[0, 1, 1, 1, 1, 2]]
    one = LabeledPredictions.of(probabilities, labels, list("aabbcc"))
    rows = figures_of_merit({"one": one}, ["x", "y", "z"], draws=50, how="by hand")["one"]
    assert rows["balanced accuracy"].value == pytest.approx((0.5 + 0.75) / 2, abs=1e-4)
    assert rows["sensitivity y"].value == pytest.approx(0.75)
    assert rows["specificity y"].value == pytest.approx(0.5)
    assert rows["specificity z"].value == pytest.approx(5 / 6, abs=1e-4)
    assert "sensitivity z" not in rows
    assert rows["expected calibration error"].value == pytest.approx(2 / 6, abs=1e-4)
    assert rows["balanced accuracy"].how == "by hand"


def test_models_must_be_tested_on_the_same_tiles() -> None:
    p = LabeledPredictions.of(np.eye(2), [0, 1], ["a", "b"])
    with pytest.raises(DataError, match="different tiles"):
        figures_of_merit({"one": p, "two": p.where(np.array([1, 0]))}, ["x", "y"], draws=2)
