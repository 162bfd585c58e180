"""The ImageNet encoder comes offline."""

from __future__ import annotations

import torch

from napari_liverdx.models.architectures.cnn_rnn import CnnRnnClassifier
from napari_liverdx.models.architectures.pretrained import load_imagenet_encoder


def test_imagenet_encoder_comes_offline() -> None:
    torch.manual_seed(0)
    model = CnnRnnClassifier(3)
    source = load_imagenet_encoder(model.encoder, "tf_efficientnet_lite0")
    assert "ImageNet" in source
    # Filters of a trained first layer are smooth; those of a fresh one are noise.
    stem = model.encoder.conv_stem.weight.detach()
    smooth = (stem[..., 1:] - stem[..., :-1]).abs().mean() / stem.abs().mean()
    fresh = torch.randn_like(stem)
    assert smooth < 0.8 * (fresh[..., 1:] - fresh[..., :-1]).abs().mean() / fresh.abs().mean()
