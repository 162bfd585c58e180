"""LiverNet's sizes and gradients."""

from __future__ import annotations

import torch

from napari_liverdx.models.architectures.livernet import LiverNet


def test_other_number_of_classes_and_size() -> None:
    with torch.inference_mode():
        output = LiverNet(3).eval()(torch.zeros(2, 3, 64, 96, dtype=torch.uint8))
    assert output.scores.shape == (2, 3)
    torch.testing.assert_close(output.scores.sum(dim=1), torch.ones(2))


def test_gradients_reach_every_parameter() -> None:
    model = LiverNet(2)
    model(torch.rand(2, 3, 32, 32)).scores[:, 0].sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
