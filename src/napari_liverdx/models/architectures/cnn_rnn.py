"""A convolutional encoder with a recurrent network over the regions of the tile."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_unshuffle

from napari_liverdx.models.architectures._timm import grid_shape, timm
from napari_liverdx.models.architectures.attention_pool import AttentionPool
from napari_liverdx.models.architectures.base import CamLayer, TileModel, TileOutput
from napari_liverdx.models.architectures.recurrent_grid import RecurrentContext

__all__ = ["CnnRnnClassifier"]

_WIDEST = 4096


class CnnRnnClassifier(TileModel):
    """Encoder → recurrent context over its feature map → subtile logits and tile logits.

    Parameters
    ----------
    n_classes : int
        Number of classes.
    encoder : str
        Any timm model that can give feature maps.
    tile_size : int
        Side of the input in pixels.
    hidden : int
        Units per direction of the recurrent sweeps; 0 leaves the recurrent network out.
    projection : int
        Channels to which the encoder's features are reduced first.
    kind : {"gru", "lstm"}
        Kind of recurrent unit.
    dropout : float
        Before the heads, in training.
    fine : bool
        Add the encoder's next finer features, each subtile's pixels stacked as channels, so that
        small structures keep their place.
    """

    def __init__(
        self,
        n_classes: int,
        encoder: str = "tf_efficientnet_lite0",
        tile_size: int = 224,
        hidden: int = 64,
        projection: int = 128,
        kind: str = "gru",
        dropout: float = 0.2,
        fine: bool = True,
    ) -> None:
        super().__init__()
        # timm would fetch "hf-hub:…" and read "local-dir:…"; a model file may not cause that.
        if not timm.is_model(encoder) or ":" in encoder:
            raise ValueError(f"timm has no encoder {encoder!r}")
        if not (0 <= hidden <= _WIDEST and 1 <= projection <= _WIDEST):
            raise ValueError(f"hidden and projection must be between 0 and {_WIDEST}")
        self.encoder_name = encoder
        self.encoder = timm.create_model(
            encoder, pretrained=False, features_only=True, out_indices=(-2, -1) if fine else (-1,)
        )
        channels, self.subtiles = grid_shape(self.features, self.encoder, tile_size)
        self.project = nn.Sequential(
            nn.Conv2d(channels, projection, 1, bias=False),
            nn.BatchNorm2d(projection),
            nn.SiLU(),
        )
        self.context = RecurrentContext(projection, hidden, kind) if hidden else None
        width = projection + (2 * hidden if hidden else 0)
        self.dropout = nn.Dropout(dropout)
        self.cell_head = nn.Conv2d(width, n_classes, 1)
        self.pool = AttentionPool(width)
        self.tile_head = nn.Linear(width, n_classes)
        config: Any = self.encoder.pretrained_cfg
        self.set_normalization(config["mean"], config["std"])

    def features(self, x: Tensor) -> Tensor:
        """Compute the features of normalized input, shape (n, channels, rows, columns)."""
        *finer, features = self.encoder(x)
        for more in finer:
            factor = more.shape[-1] // features.shape[-1]
            features = torch.cat([features, pixel_unshuffle(more, factor)], dim=1)
        grid: Tensor = features
        return grid

    def heads(self, features: Tensor) -> TileOutput:
        """Compute scores from encoder features."""
        grid = self.project(features)
        if self.context is not None:
            # The projection goes along unchanged: the sweeps add what lies around a subtile.
            grid = torch.cat([grid, self.context(grid)], dim=1)
        grid = self.dropout(grid)
        embedding = self.pool(grid)
        return TileOutput(self.tile_head(embedding), embedding, self.cell_head(grid))

    def classify(self, x: Tensor) -> TileOutput:
        """Classify normalized input, shape (n, 3, h, w); scores are logits."""
        return self.heads(self.features(x))

    def cam_targets(self) -> list[CamLayer]:
        """Return the map at the projection, with the finer features that were joined to it."""
        return [CamLayer("project", self.project, of_input=True)]

    def encoder_parameters(self) -> list[nn.Parameter]:
        """Return parameters of the encoder."""
        return list(self.encoder.parameters())
