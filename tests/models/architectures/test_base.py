"""What every architecture has, and what it may lack."""

from __future__ import annotations

import pytest
import torch

from napari_liverdx.models.architectures.base import TileOutput
from napari_liverdx.models.architectures.registry import build_model
from tests.support.models import SMALL


def test_features_and_heads_make_the_scores_or_are_missing() -> None:
    whole = build_model("cnn-rnn", 3, {"encoder": SMALL, "hidden": 8, "projection": 16}, 64).eval()
    assert whole.is_split
    x = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(whole.heads(whole.features(x)).scores, whole.classify(x).scores)
    other = build_model("rnn-subtiles", 3, {"subtiles": 4, "hidden": 8, "projection": 16}, 64)
    assert not other.is_split
    with pytest.raises(NotImplementedError, match="no features apart from its heads"):
        other.features(x)
    with pytest.raises(NotImplementedError, match="no heads apart from its features"):
        other.heads(x)
    assert isinstance(other.classify(x), TileOutput)
