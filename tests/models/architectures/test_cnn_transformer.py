"""The transformer sees the whole tile."""

from __future__ import annotations

import torch

from napari_liverdx.models.architectures.cnn_transformer import CnnTransformer
from tests.support.models import SMALL


def test_transformer_sees_the_whole_tile() -> None:
    """A change in one corner moves the score of the opposite subtile."""
    torch.manual_seed(0)
    network = CnnTransformer(2, SMALL, 224, width=32).eval()
    tiles = torch.zeros(1, 3, 224, 224)
    changed = tiles.clone()
    changed[..., :32, :32] = 1
    with torch.inference_mode():
        a, b = network(tiles).subtile_scores, network(changed).subtile_scores
    assert a is not None
    assert b is not None
    assert (a - b)[0, :, -1, -1].abs().max() > 1e-6
