"""Temperature and reliability."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_liverdx.experiments.plots import reliability_figure
from napari_liverdx.models.calibration import (
    expected_calibration_error,
    fit_temperature,
    reliability_bins,
)


def test_reliability_bins_by_hand() -> None:
    p = np.array([[0.95, 0.05], [0.91, 0.09], [0.4, 0.6], [0.45, 0.55]])
    labels = np.array([0, 1, 1, 0])
    low, high = reliability_bins(p, labels, 10)[:2], reliability_bins(p, labels, 10)[-1]
    assert (high.low, high.count, high.accuracy) == (0.9, 2, 0.5)
    assert high.confidence == pytest.approx(0.93)
    assert sum(b.count for b in low) == 2
    assert expected_calibration_error(p, labels, 10) == pytest.approx(
        0.5 * 0.43 + 0.25 * 0.4 + 0.25 * 0.55
    )
    assert reliability_bins(p[:0], labels[:0]) == ()
    figure = reliability_figure(p, labels)
    assert figure.axes[0].get_ylabel() == "Accuracy"


def test_temperature_recovers_overconfidence() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4000, 3, generator=generator) * 1.5
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    assert fit_temperature(logits * 2.5, labels) == pytest.approx(2.5, rel=0.1)
    assert fit_temperature(logits[:0], labels[:0]) == 1.0


def test_calibration_error() -> None:
    confident = np.array([[1.0, 0.0]] * 10)
    assert expected_calibration_error(confident, np.zeros(10, int)) == 0
    assert expected_calibration_error(confident, np.ones(10, int)) == 1
    assert np.isnan(expected_calibration_error(confident[:0], np.zeros(0, int)))
