"""What a slide-level model is asked to do: batches of slides and the loss on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional

from napari_liverdx.mil.bags import UNKNOWN, Bag
from napari_liverdx.mil.network import SlideOutput
from napari_liverdx.training.config import FitSettings

__all__ = ["BagBatch", "LearnFrom", "MilConfig", "MilLoss", "class_weights"]

LearnFrom = Literal["tiles", "slides", "both"]


class MilConfig(BaseModel):
    """Settings of a training run.

    Attributes
    ----------
    learn_from : {"tiles", "slides", "both"}
        Which labels count; the others do not, even where they are there.
    epochs, patience : int
        In all, and without a better validation loss before stopping.
    batch_size : int
        Slides.
    learning_rate, weight_decay : float
        AdamW; cosine decay to zero.
    slide_weight, instance_weight : float
        Of the slide loss and of the loss that slide labels put on tiles, beside the tile loss.
    top_share : float
        Share of a diseased slide's tiles that must be diseased, at least one tile.
    drop_tiles : float
        Share of the tiles that are hidden at random in training.
    seed : int
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    learn_from: LearnFrom = "both"
    epochs: int = Field(default=40, ge=1)
    patience: int = Field(default=8, ge=1)
    batch_size: int = Field(default=8, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    slide_weight: float = Field(default=1.0, ge=0)
    instance_weight: float = Field(default=1.0, ge=0)
    top_share: float = Field(default=0.05, gt=0, le=1)
    drop_tiles: float = Field(default=0.1, ge=0, lt=1)
    seed: int = 0

    @property
    def fit_settings(self) -> FitSettings:
        """What of them is the training loop's; slides are few, so gradients are kept small."""
        return FitSettings(self.epochs, self.patience, clip=1.0)


@dataclass(frozen=True, slots=True, eq=False)
class BagBatch:
    """Bags of any size, padded at their right and lower edge to the largest."""

    embeddings: Tensor
    logits: Tensor
    mask: Tensor
    tile_labels: Tensor
    slide_labels: Tensor

    @classmethod
    def of(cls, bags: Sequence[Bag], device: torch.device) -> BagBatch:
        """Batch these bags on a device."""
        rows = max(b.mask.shape[0] for b in bags)
        cols = max(b.mask.shape[1] for b in bags)

        def stack(arrays: Sequence[NDArray[np.generic]], fill: int) -> Tensor:
            padded = [
                np.pad(
                    a,
                    [(0, 0)] * (a.ndim - 2) + [(0, rows - a.shape[-2]), (0, cols - a.shape[-1])],
                    constant_values=fill,
                )
                for a in arrays
            ]
            return torch.from_numpy(np.stack(padded)).to(device)

        return cls(
            stack([b.embeddings for b in bags], 0),
            stack([b.logits for b in bags], 0),
            stack([b.mask for b in bags], 0),
            stack([b.tile_labels for b in bags], UNKNOWN),
            torch.tensor([b.slide_label for b in bags], device=device),
        )


@dataclass(frozen=True, slots=True, eq=False)
class MilLoss:
    """The loss of a batch of slides.

    Attributes
    ----------
    config : MilConfig
    class_weights : Tensor, shape (classes,)
    pathological : tuple of int
        Tile class of each slide class after the first.
    """

    config: MilConfig
    class_weights: Tensor
    pathological: tuple[int, ...]

    def __call__(self, output: SlideOutput, batch: BagBatch) -> Tensor:
        """Compute the loss; zero where no label counts."""
        loss = output.slide_logits.sum() * 0
        tiles = batch.mask & (batch.tile_labels != UNKNOWN)
        if self.config.learn_from != "slides" and tiles.any():
            logits = output.tile_logits.movedim(1, -1)[tiles]
            weights = self.class_weights.to(logits.device)
            loss = loss + functional.cross_entropy(logits, batch.tile_labels[tiles], weights)
        known = batch.slide_labels != UNKNOWN
        if self.config.learn_from != "tiles" and known.any():
            loss = loss + self.config.slide_weight * functional.cross_entropy(
                output.slide_logits[known], batch.slide_labels[known]
            )
            instances = [
                self._instances(output.tile_logits[i], batch.mask[i], int(batch.slide_labels[i]))
                for i in known.nonzero().flatten().tolist()
            ]
            loss = loss + self.config.instance_weight * torch.stack(instances).mean()
        return loss

    def _instances(self, logits: Tensor, mask: Tensor, label: int) -> Tensor:
        chances = logits[:, mask].log_softmax(dim=0)
        if label == 0:
            others = [c for c in range(len(chances)) if c not in self.pathological]
            return -chances[others].logsumexp(dim=0).mean()
        wanted = chances[self.pathological[label - 1]]
        count = max(1, round(self.config.top_share * len(wanted)))
        return -wanted.topk(count).values.mean()


def class_weights(bags: Sequence[Bag], n_classes: int) -> Tensor:
    """Return weights under which all classes that occur count alike; their mean over tiles is 1."""
    labels = np.concatenate([b.tile_labels[b.mask & (b.tile_labels != UNKNOWN)] for b in bags])
    counts = np.bincount(labels, minlength=n_classes)
    present = counts > 0
    weights = np.ones(n_classes, np.float32)
    if present.any():
        weights[present] = counts.sum() / (present.sum() * counts[present])
    return torch.from_numpy(weights)
