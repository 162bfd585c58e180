"""The classifier: shapes, encoders, normalization, attention pooling."""

from __future__ import annotations

import pytest
import torch

from napari_liverdx.models.architectures.cnn_rnn import AttentionPool, CnnRnnClassifier
from napari_liverdx.models.file import LoadedModel


@pytest.mark.parametrize("kind", ["gru", "lstm"])
@pytest.mark.parametrize("hidden", [0, 8])
def test_classifier_shapes(hidden: int, kind: str) -> None:
    network = CnnRnnClassifier(4, "mobilenetv3_small_050", 224, hidden, 16, kind).eval()
    output = network(torch.zeros(2, 3, 224, 224, dtype=torch.uint8))
    assert output.scores.shape == (2, 4)
    assert output.subtile_scores is not None
    assert output.subtile_scores.shape == (2, 4, 7, 7)
    assert output.embedding.shape == (2, 16 + 2 * hidden)
    assert (network.context is None) == (hidden == 0)


def test_other_encoders_and_sizes_fit() -> None:
    network = CnnRnnClassifier(2, "resnet18", tile_size=128, fine=False).eval()
    assert network.subtiles == 4
    assert network(torch.zeros(1, 3, 128, 128, dtype=torch.uint8)).scores.shape == (1, 2)


def test_normalization_is_inside(tiny: LoadedModel) -> None:
    raw = torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.allclose(
            tiny.network(raw).scores, tiny.network(raw.float() / 255).scores, atol=1e-6
        )
    x = tiny.network.normalize(raw)
    assert torch.allclose(x, raw.float() / 127.5 - 1, atol=1e-6)
    tiny.network.set_normalization((0, 0, 0), (1, 1, 1), "BGR")
    assert torch.allclose(tiny.network.normalize(raw), raw.flip(1).float() / 255)


def test_attention_pool_with_a_full_mask_is_the_plain_one() -> None:
    torch.manual_seed(0)
    pool, grid = AttentionPool(4), torch.randn(2, 4, 3, 3)
    assert torch.allclose(pool(grid), pool(grid, torch.ones(2, 3, 3, dtype=torch.bool)))
