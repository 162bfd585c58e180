"""A convolutional encoder with a transformer over the regions of the tile."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from napari_liverdx.models.architectures._timm import grid_shape, timm
from napari_liverdx.models.architectures.base import CamLayer, TileModel, TileOutput

__all__ = ["CnnTransformer"]

_WIDEST = 4096


class CnnTransformer(TileModel):
    """Encoder → self-attention among the subtiles of its feature map → subtile and tile logits.

    The hybrid of Dosovitskiy et al. 2021 (arXiv:2010.11929, section 3.1): the feature map's
    subtiles are the tokens, a class token gathers the tile.

    Parameters
    ----------
    n_classes : int
        Number of classes.
    encoder : str
        Any timm model that can give feature maps.
    tile_size : int
        Side of the input in pixels.
    width : int
        Channels of a token.
    depth, heads : int
        Layers, and attention heads in each.
    dropout : float
        In the layers and before the heads, in training.

    Raises
    ------
    ValueError
        If timm has no such encoder or ``width`` cannot be shared among the heads.
    """

    def __init__(
        self,
        n_classes: int,
        encoder: str = "tf_efficientnet_lite0",
        tile_size: int = 224,
        width: int = 128,
        depth: int = 2,
        heads: int = 4,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        if not timm.is_model(encoder) or ":" in encoder:
            raise ValueError(f"timm has no encoder {encoder!r}")
        if not 1 <= width <= _WIDEST or not 1 <= heads <= width or width % heads:
            raise ValueError(f"width {width} must be a multiple of the number of heads, {heads}")
        self.encoder_name = encoder
        self.encoder = timm.create_model(
            encoder, pretrained=False, features_only=True, out_indices=(-1,)
        )
        channels, self.side = grid_shape(lambda x: self.encoder(x)[0], self.encoder, tile_size)
        self.subtiles = self.side
        self.project = nn.Conv2d(channels, width, 1)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.randn(1, self.side**2 + 1, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout, "gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.cell_head = nn.Linear(width, n_classes)
        self.tile_head = nn.Linear(width, n_classes)
        config: Any = self.encoder.pretrained_cfg
        self.set_normalization(config["mean"], config["std"])

    def classify(self, x: Tensor) -> TileOutput:
        """Classify normalized input, shape (n, 3, h, w); scores are logits."""
        grid = self.project(self.encoder(x)[0])
        tokens = torch.cat([self.token.expand(len(grid), -1, -1), grid.flatten(2).mT], dim=1)
        tokens = self.norm(self.layers(tokens + self.positions))
        embedding, regions = tokens[:, 0], self.dropout(tokens[:, 1:])
        subtiles = self.cell_head(regions).mT.unflatten(2, (self.side, self.side))
        return TileOutput(self.tile_head(self.dropout(embedding)), embedding, subtiles)

    def cam_targets(self) -> list[CamLayer]:
        """Return the map that becomes the tokens."""
        return [CamLayer("project", self.project, of_input=True)]

    def encoder_parameters(self) -> list[nn.Parameter]:
        """Return parameters of the encoder."""
        return list(self.encoder.parameters())
