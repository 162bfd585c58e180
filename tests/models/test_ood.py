"""Statistics of training data and distances from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn

from napari_liverdx.models.architectures.livernet import LiverNet
from napari_liverdx.models.file import LoadedModel, load_model_file, rewrite_model_file
from napari_liverdx.models.ood import (
    BatchNormStatistics,
    EmbeddingStatistics,
    ood_scorer,
    overdispersion,
)
from napari_liverdx.slides.slide import Slide


def test_overdispersion_tells_independent_from_all_or_none() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat([f"g{i}" for i in range(200)], 10)
    assert overdispersion(rng.random(2000) < 0.2, groups) == 0.05
    assert overdispersion(np.repeat(rng.random(200) < 0.2, 10), groups) == 0.95
    assert overdispersion(np.ones(3, bool), np.array(["a", "b", "c"])) == 0.05


def test_mahalanobis_distance_by_hand() -> None:
    corners = np.array([[3.0, 1, 0], [3, -1, 0], [-3, 1, 0], [-3, -1, 0]])
    ood = EmbeddingStatistics.fit(corners)
    # Variances 12 and 4/3 along the axes; nothing along the third, so it costs very much.
    values = torch.tensor([[0.0, 0, 0], [6, 0, 0], [0, 2, 0], [6, 2, 0]])
    assert ood.distances(values).numpy() == pytest.approx([0, 3, 3, 6], rel=2e-3, abs=1e-6)
    assert float(ood.distances(torch.tensor([[0.0, 0, 1]]))) > 1000


@given(st.integers(0, 2**31), st.integers(2, 40))
@settings(max_examples=25)
def test_distance_does_not_depend_on_rotation(seed: int, features: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(200, features)) * rng.uniform(0.5, 3, features)
    turn = np.linalg.qr(rng.normal(size=(features, features)))[0]
    new = rng.normal(size=(5, features))
    straight = EmbeddingStatistics.fit(values).distances(torch.from_numpy(new))
    turned = EmbeddingStatistics.fit(values @ turn).distances(torch.from_numpy(new @ turn))
    assert straight.numpy() == pytest.approx(turned.numpy(), rel=2e-2)


def test_batch_norm_statistics_know_their_own_data(sample: Slide) -> None:
    """Mean 1 on what the statistics are of, little above the limit; more than 10 on noise."""
    torch.manual_seed(0)
    network = LiverNet(2)
    tiles = [
        sample.read_region(0, 1900 + 150 * (i % 8), 450 + 200 * (i // 8), 64, 64) for i in range(24)
    ]
    batch = torch.from_numpy(np.stack(tiles)).permute(0, 3, 1, 2)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            module.reset_running_stats()
            module.momentum = None
    network.train()
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    with torch.no_grad():
        network(batch)
        network.eval()
        output, scores = BatchNormStatistics(1.0)(network, batch)
        plain = network(batch)
        noise = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
        strange = BatchNormStatistics(1.0)(network, noise)[1]
    assert torch.equal(output.scores, plain.scores), "looking changes nothing"
    assert float(scores.mean()) == pytest.approx(1, abs=0.25)
    assert float((scores > 3.84).float().mean()) < 0.05
    assert float(strange.min()) > 10
    assert not any(m._forward_pre_hooks for m in network.modules()), "hooks are taken off again"


def test_statistics_leave_the_weights_bit_identical(
    tmp_path: Path, tiny: LoadedModel, tiny_file: Path
) -> None:
    rng = np.random.default_rng(0)
    ood = EmbeddingStatistics.fit(rng.normal(size=(60, 32)))
    card = tiny.card.model_copy(update={"ood": {**ood.fields(), "overlap": 0.1}})
    out = tmp_path / "with.safetensors"
    rewrite_model_file(tiny_file, card, ood.tensors(), out)
    before, after = load_file(tiny_file), load_file(out)
    assert set(after) - set(before) == {"domain.mean", "domain.components"}
    for name, tensor in before.items():
        assert after[name].dtype == tensor.dtype
        assert torch.equal(after[name], tensor)
    loaded = load_model_file(out)
    assert isinstance(ood_scorer(loaded.card, loaded.statistics), EmbeddingStatistics)
    assert ood_scorer(tiny.card, tiny.statistics) is None
