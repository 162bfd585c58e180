"""Operations of a network, counted on paper."""

from __future__ import annotations

import pytest
import torch

from napari_liverdx.experiments.complexity import measure_complexity
from napari_liverdx.models.architectures.registry import build_model


@pytest.mark.slow
def test_operations_by_hand() -> None:
    """Every multiplication and addition of a small network, counted on paper."""
    arguments = {"cells": 4, "pixels": 4, "hidden": 8, "projection": 16, "layers": 1}
    network = build_model("rnn-subtiles", 2, arguments, 32)
    cost = measure_complexity(network, 32, torch.device("cpu"))
    subtiles, pixels, hidden, width = 16, 3 * 16, 8, 16
    project = subtiles * pixels * width
    sweeps = 2 * subtiles * 2 * 3 * hidden * (width + hidden)
    pool = subtiles * (2 * width * 64 + 64)
    heads = subtiles * width * 2 + width * 2
    assert cost.flops == 2 * (project + sweeps + pool + heads)
    assert cost.parameters == sum(p.numel() for p in network.parameters())
    assert cost.tiles_per_second > 0
