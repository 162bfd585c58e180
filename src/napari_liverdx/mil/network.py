"""Recurrent context over the tiles of a slide, and the slide-level prediction."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from napari_liverdx.core.classes import ClassScheme
from napari_liverdx.core.errors import ModelFileError
from napari_liverdx.models.architectures.attention_pool import AttentionPool
from napari_liverdx.models.architectures.recurrent_grid import RecurrentContext

__all__ = ["NORMAL", "SlideContext", "SlideOutput", "slide_classes"]

NORMAL = "normal"
"""The slide class of a slide without any pathological class."""

_WIDEST = 4096


def slide_classes(scheme: ClassScheme) -> tuple[str, ...]:
    """Return the classes of a slide as a whole: normal, or one of the pathological ones.

    Raises
    ------
    ModelFileError
        If the tile model knows no pathological class.
    """
    names = tuple(scheme[i].name for i in scheme.pathological)
    if not names:
        raise ModelFileError(
            f"the tile model's classes ({', '.join(scheme.names)}) hold no pathological one, so "
            "there is nothing to predict for a slide; use another tile model"
        )
    return (NORMAL, *names)


class SlideOutput(NamedTuple):
    """What `SlideContext` says of n slides.

    Attributes
    ----------
    tile_logits : Tensor, shape (n, classes, rows, columns), float
        Refined; zero where no tile exists.
    slide_logits : Tensor, shape (n, slide classes), float
    attention : Tensor, shape (n, rows, columns), float
        How much each tile counts for the slide; sums to 1, zero where no tile exists.
    """

    tile_logits: Tensor
    slide_logits: Tensor
    attention: Tensor


class SlideContext(nn.Module):
    """Tile embeddings on the slide's grid → recurrent context → tile logits and slide logits.

    The same operator as within a tile (ReNet, Visin et al. 2015, arXiv:1505.00393) runs over the
    grid of tiles; its correction is added to the tile model's own logits, and gated attention
    pooling (Ilse et al. 2018, arXiv:1802.04712) gives the slide's logits. What is learned from
    slide labels alone follows the idea of global labels of Sun et al. 2020
    (doi 10.1109/JBHI.2019.2949837).

    Each slide is swept over the bounding box of its own tiles, so its result does not depend on
    how much empty margin surrounds it or on what it shares a batch with.

    Parameters
    ----------
    features : int
        Length of the tile model's embedding.
    n_classes : int
        Classes of the tile model.
    n_slide_classes : int
        Classes of a slide.
    hidden : int
        Units per direction of the recurrent sweeps; 0 leaves the recurrent network out, so that
        each tile is judged alone.
    projection : int
        Channels to which the embedding is reduced first; 0 leaves the embedding out, so that only
        the tile model's probabilities are read. There is little to learn then, and few slides
        suffice.
    kind : {"gru", "lstm"}
        Kind of recurrent unit.
    dropout : float
        On the embedding and before the heads, in training.
    residual : bool
        Whether tile logits are the tile model's own plus a correction. Without it the tile
        model's logits are not read, so that no tile label of its training comes in.

    Attributes
    ----------
    arguments : dict
        Arguments after the first three, for the card.

    Raises
    ------
    ValueError
        If a size is out of range.
    """

    centre: Tensor
    spread: Tensor

    def __init__(
        self,
        features: int,
        n_classes: int,
        n_slide_classes: int,
        hidden: int = 32,
        projection: int = 64,
        kind: str = "gru",
        dropout: float = 0.3,
        residual: bool = True,
    ) -> None:
        super().__init__()
        sizes = (features, max(projection, 1), max(hidden, 1), n_classes, n_slide_classes)
        if not all(1 <= s <= _WIDEST for s in sizes) or min(hidden, projection) < 0:
            raise ValueError(
                f"features, projection, hidden and classes must lie between 1 and {_WIDEST}; "
                "projection and hidden may be 0"
            )
        if not projection and not residual:
            raise ValueError("without embeddings and the tile model's logits there is no input")
        self.features, self.n_classes, self.residual = features, n_classes, residual
        self.arguments: dict[str, Any] = {
            "hidden": hidden,
            "projection": projection,
            "kind": kind,
            "dropout": dropout,
            "residual": residual,
        }
        self.register_buffer("centre", torch.zeros(features))
        self.register_buffer("spread", torch.ones(features))
        self.project = (
            nn.Sequential(nn.Dropout(dropout), nn.Conv2d(features, projection, 1), nn.SiLU())
            if projection
            else None
        )
        width = projection + (n_classes if residual else 0)
        self.context = RecurrentContext(width, hidden, kind) if hidden else None
        width += 2 * hidden
        self.dropout = nn.Dropout(dropout)
        self.tile_head = nn.Conv2d(width, n_classes, 1)
        self.pool = AttentionPool(width, 32)
        self.slide_head = nn.Linear(width, n_slide_classes)
        # Training starts from what the tile model says.
        nn.init.zeros_(self.tile_head.weight)
        assert self.tile_head.bias is not None
        nn.init.zeros_(self.tile_head.bias)

    def set_statistics(self, center: Tensor, spread: Tensor) -> None:
        """Fix mean and standard deviation of the embeddings, each of shape (features,)."""
        self.centre.copy_(center)
        self.spread.copy_(spread.clamp_min(1e-4))

    def usual_embeddings(self, rows: int) -> Tensor:
        """Return embeddings as spread as those it learned from, shape (1, features, rows, 1)."""
        wave = torch.arange(self.features * rows).reshape(1, -1, rows, 1).sin()
        return self.centre[:, None, None] + self.spread[:, None, None] * wave

    def forward(self, embeddings: Tensor, tile_logits: Tensor, mask: Tensor) -> SlideOutput:
        """Refine tiles and judge slides.

        Parameters
        ----------
        embeddings : Tensor, shape (n, features, rows, columns), float
            Of the tile model; anything where no tile exists.
        tile_logits : Tensor, shape (n, classes, rows, columns), float
            Of the tile model.
        mask : Tensor, shape (n, rows, columns), bool
            True where a tile exists; at least one in each slide.
        """
        missing = ~mask[:, None]
        # Filled, not multiplied: what stands there may be NaN.
        tile_logits = tile_logits.masked_fill(missing, 0)
        parts = []
        if self.project is not None:
            x = (embeddings - self.centre[:, None, None]) / self.spread[:, None, None]
            parts.append(self.project(x.masked_fill(missing, 0)).masked_fill(missing, 0))
        if self.residual:
            parts.append(tile_logits.softmax(dim=1).masked_fill(missing, 0))
        grid = torch.cat(parts, dim=1)
        if self.context is not None:
            grid = torch.cat([grid, self._sweep(self.context, grid, mask)], dim=1)
        grid = self.dropout(grid)
        refined = self.tile_head(grid).masked_fill(missing, 0)
        if self.residual:
            refined = refined + tile_logits
        weights = self.pool.weights(grid, mask)
        pooled = (grid * weights[:, None]).sum(dim=(2, 3))
        return SlideOutput(refined, self.slide_head(pooled), weights)

    @staticmethod
    def _sweep(context: RecurrentContext, grid: Tensor, mask: Tensor) -> Tensor:
        boxes = [_bounding_box(m) for m in mask]
        alike: dict[tuple[int, int], list[int]] = defaultdict(list)
        for i, (rows, cols) in enumerate(boxes):
            alike[(rows.stop - rows.start, cols.stop - cols.start)].append(i)
        n, _, height, width = grid.shape
        out = grid.new_zeros(n, context.out_channels, height, width)
        for members in alike.values():
            part = torch.stack([grid[i][(slice(None), *boxes[i])] for i in members])
            kept = torch.stack([mask[i][boxes[i]] for i in members])
            for i, swept in zip(members, context(part, kept), strict=True):
                out[i][(slice(None), *boxes[i])] = swept.to(out.dtype)
        return out


def _bounding_box(mask: Tensor) -> tuple[slice, slice]:
    """Return rows and columns that hold all True subtiles."""
    rows, cols = mask.any(dim=1).nonzero(), mask.any(dim=0).nonzero()
    return (
        slice(int(rows[0]), int(rows[-1]) + 1),
        slice(int(cols[0]), int(cols[-1]) + 1),
    )
