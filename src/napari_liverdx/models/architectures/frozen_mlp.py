"""A frozen encoder with a multilayer perceptron on top."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from napari_liverdx.models.architectures._timm import timm
from napari_liverdx.models.architectures.base import TileModel, TileOutput

__all__ = ["FrozenEncoderMlp"]


class FrozenEncoderMlp(TileModel):
    """A frozen encoder and a multilayer perceptron (Deshpande et al. 2024).

    Parameters
    ----------
    n_classes : int
        Number of classes.
    encoder : str
        Any timm model; never trained.
    hidden : int
        Units of the hidden layer, which is the embedding.
    dropout : float
        On the encoder's features and on the hidden layer, in training.

    Raises
    ------
    ValueError
        If timm has no such model.
    """

    frozen_encoder = True

    def __init__(
        self,
        n_classes: int,
        encoder: str = "tf_efficientnet_lite0",
        hidden: int = 256,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        if not timm.is_model(encoder) or ":" in encoder:
            raise ValueError(f"timm has no encoder {encoder!r}")
        self.encoder_name = encoder
        self.encoder = timm.create_model(encoder, pretrained=False, num_classes=0)
        encoder_width: Any = self.encoder.num_features
        width = int(getattr(self.encoder, "head_hidden_size", encoder_width))
        self.hidden = nn.Sequential(
            nn.BatchNorm1d(width), nn.Dropout(dropout), nn.Linear(width, hidden), nn.GELU()
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, n_classes)
        config: Any = self.encoder.pretrained_cfg
        self.set_normalization(config["mean"], config["std"])

    def classify(self, x: Tensor) -> TileOutput:
        """Classify normalized input, shape (n, 3, h, w); scores are logits."""
        # Training leaves the encoder alone; who explains an answer needs its gradient.
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.training):
            features = self.encoder(x)
        embedding = self.hidden(features)
        return TileOutput(self.head(self.dropout(embedding)), embedding)

    def encoder_parameters(self) -> list[nn.Parameter]:
        """Return parameters of the encoder."""
        return list(self.encoder.parameters())
