"""A recurrent network over raw sub-tiles: the ablation without a convolutional encoder."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import interpolate, pixel_unshuffle

from napari_liverdx.models.architectures.attention_pool import AttentionPool
from napari_liverdx.models.architectures.base import TileModel, TileOutput
from napari_liverdx.models.architectures.recurrent_grid import RecurrentContext

__all__ = ["SubtileRnn"]


class SubtileRnn(TileModel):
    """The pixels of each subtile, flattened, stand on a grid that is swept by a recurrent network.

    Parameters
    ----------
    n_classes : int
        Number of classes.
    tile_size : int
        Side of the input in pixels.
    subtiles : int
        Sub-tiles along a side.
    pixels : int
        To which each sub-tile's side is reduced before it is flattened.
    hidden : int
        Units per direction of the sweeps.
    projection : int
        Channels to which a flattened sub-tile is reduced.
    kind : {"gru", "lstm"}
        Kind of recurrent unit.
    layers : int
        Sweeps one after the other.
    dropout : float
        Before the heads, in training.

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    def __init__(
        self,
        n_classes: int,
        tile_size: int = 224,
        subtiles: int = 14,
        pixels: int = 8,
        hidden: int = 64,
        projection: int = 128,
        kind: str = "gru",
        layers: int = 2,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        if not 1 <= subtiles * pixels <= 2 * tile_size or layers < 1:
            raise ValueError(
                f"{subtiles} sub-tiles of {pixels} px do not fit a tile of {tile_size} px"
            )
        self.subtiles = self.side = subtiles
        self.pixels = pixels
        self.project = nn.Sequential(nn.Conv2d(3 * pixels**2, projection, 1), nn.GELU())
        widths = [projection] + [2 * hidden] * (layers - 1)
        self.sweeps = nn.ModuleList([RecurrentContext(w, hidden, kind) for w in widths])
        self.dropout = nn.Dropout(dropout)
        self.cell_head = nn.Conv2d(2 * hidden, n_classes, 1)
        self.pool = AttentionPool(2 * hidden)
        self.tile_head = nn.Linear(2 * hidden, n_classes)
        self.set_normalization((0.75, 0.6, 0.75), (0.2, 0.2, 0.2))

    def classify(self, x: Tensor) -> TileOutput:
        """Classify normalized input, shape (n, 3, h, w); scores are logits."""
        side = self.side * self.pixels
        small = interpolate(x, (side, side), mode="bilinear", antialias=True, align_corners=False)
        grid = self.project(pixel_unshuffle(small, self.pixels))
        for sweep in self.sweeps:
            grid = sweep(grid)
        grid = self.dropout(grid)
        embedding = self.pool(grid)
        return TileOutput(self.tile_head(embedding), embedding, self.cell_head(grid))
