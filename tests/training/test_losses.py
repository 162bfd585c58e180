"""Losses by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_liverdx.training.losses import class_weights, focal_cross_entropy, mix


def test_cross_entropy_is_the_plain_case() -> None:
    torch.manual_seed(0)
    scores, target = torch.randn(6, 3, 4, 4), torch.rand(6, 3, 4, 4).softmax(1)
    own = focal_cross_entropy(scores, target)
    assert torch.allclose(own, torch.nn.functional.cross_entropy(scores, target), atol=1e-6)


def test_focal_loss_by_hand() -> None:
    scores = torch.log(torch.tensor([[0.9, 0.1], [0.4, 0.6]]))
    target = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    expected = (-np.log(0.9) * 0.1**2 - np.log(0.4) * 0.6**2) / 2
    assert float(focal_cross_entropy(scores, target, gamma=2)) == pytest.approx(expected, rel=1e-5)
    weighted = focal_cross_entropy(scores, target, weights=torch.tensor([3.0, 1.0]))
    assert float(weighted) == pytest.approx(3 * (-np.log(0.9) - np.log(0.4)) / 2, rel=1e-5)


def test_class_weights_balance() -> None:
    labels = np.array([0] * 9 + [1] * 3)
    weights = class_weights(labels, 3).numpy()
    assert weights[2] == 1
    assert weights[0] * 9 == pytest.approx(weights[1] * 3)
    assert weights[labels].mean() == pytest.approx(1)


def test_mixup_blends_tiles_and_targets_alike() -> None:
    rng = np.random.default_rng(0)
    tiles = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 2, 2)
    target = torch.eye(4)
    x, t = mix([tiles, target], 0.4, rng)
    assert torch.allclose(t.sum(1), torch.ones(4))
    assert torch.allclose(x[:, 0, 0, 0], t @ torch.arange(4.0))
