"""How unlike the training data is a tile? Scores, 1 at the limit for a single tile."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from napari_liverdx.core.ood import OodRule
from napari_liverdx.models.architectures.base import TileModel, TileOutput
from napari_liverdx.models.card import ModelCard

__all__ = [
    "BATCH_NORM_STATISTICS",
    "BatchNormStatistics",
    "EmbeddingStatistics",
    "OodScorer",
    "ood_rule",
    "ood_scorer",
    "overdispersion",
]

_PREFIX = "domain."
_EXPLAINED = 0.99
_MOST = 64
_HALF_MOST = float(np.finfo(np.float16).max)

BATCH_NORM_STATISTICS: dict[str, Any] = {
    "kind": "batch-norm",
    "rate": 0.05,
    "limit": 3.84,
    "how": (
        "Mean squared deviation of the inputs of the batch normalizations from the running mean, "
        "in units of the running variance; it is 1 on average over the training data. The limit "
        "is the 95 % point of chi-squared with one degree of freedom, which bounds the false "
        "alarms at 5 % if these inputs are jointly Gaussian, whatever their correlations (Székely "
        "& Bakirov 2003). No image of the training source was at hand to check it."
    ),
}
"""The domain of a model that carries its training statistics in its batch normalizations."""


class OodScorer(Protocol):
    """Runs a network and scores its tiles on the way."""

    def __call__(self, network: TileModel, tiles: Tensor) -> tuple[TileOutput, Tensor]:
        """Return the network's output for tiles, shape (n, 3, h, w), and scores, shape (n,)."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddingStatistics:
    """Mahalanobis distance of a tile's embedding to those of the training tiles.

    The covariance is that of probabilistic principal components (Tipping & Bishop 1999): the
    leading ones, and one variance for all the rest, so that few tiles suffice. The distance as a
    measure of novelty: Lee et al. 2018, arXiv:1807.03888.

    Attributes
    ----------
    mean : Tensor, shape (features,)
    components : Tensor, shape (k, features)
        Orthonormal principal directions divided by their standard deviations.
    residual : float
        Mean variance along the remaining directions.
    limit : float
        Squared distance from which a tile lies outside.
    """

    mean: Tensor
    components: Tensor
    residual: float
    limit: float

    @classmethod
    def fit(cls, embeddings: NDArray[np.floating]) -> EmbeddingStatistics:
        """Compute statistics of training tiles, shape (n, features); the limit is 1 at first."""
        values = embeddings.astype(np.float64)
        mean = values.mean(axis=0)
        _, spread, directions = np.linalg.svd(values - mean, full_matrices=False)
        variance = spread**2 / max(1, len(values) - 1)
        share = np.cumsum(variance) / max(float(variance.sum()), 1e-300)
        k = min(_MOST, int(np.searchsorted(share, _EXPLAINED)) + 1)
        rest = values.shape[1] - k
        floor = 1e-6 * float(variance[0]) + 1e-12
        residual = max(float(variance[k:].sum()) / max(1, rest), floor)
        components = directions[:k] / np.sqrt(np.maximum(variance[:k], floor))[:, None]
        # Tiles that are all alike have no spread; half precision ends before its inverse.
        components = components.clip(-_HALF_MOST, _HALF_MOST)
        # Rounded as they are stored, so that a limit set now holds later.
        return cls(
            torch.from_numpy(mean).half().float(),
            torch.from_numpy(components).half().float(),
            residual,
            1.0,
        )

    def distances(self, embeddings: Tensor) -> Tensor:
        """Return squared distances of embeddings (n, features) to the training tiles, (n,)."""
        centered = embeddings.float() - self.mean.to(embeddings.device)
        components = self.components.to(embeddings.device)
        along = centered @ components.T
        # The part of each vector that the components do not span. Rounding left them not quite
        # orthogonal, which would leak into the small variance of the rest.
        directions = torch.linalg.qr(components.T)[0]
        beside = centered - (centered @ directions) @ directions.T
        distance: Tensor = along.square().sum(dim=1) + beside.square().sum(dim=1) / self.residual
        return distance

    def __call__(self, network: TileModel, tiles: Tensor) -> tuple[TileOutput, Tensor]:
        """Return the network's output for tiles, shape (n, 3, h, w), and scores, shape (n,)."""
        output: TileOutput = network(tiles)
        # Single precision also under autocast: differences of large numbers are small here.
        with torch.autocast(tiles.device.type, enabled=False):
            return output, self.distances(output.embedding.float()) / self.limit

    def fields(self) -> dict[str, Any]:
        """Return what the card holds."""
        return {"kind": "embedding", "residual": self.residual, "limit": self.limit}

    def tensors(self) -> dict[str, Tensor]:
        """Return what stands beside the weights in the model file."""
        return {f"{_PREFIX}mean": self.mean, f"{_PREFIX}components": self.components}


class BatchNormStatistics:
    """Deviation from the statistics that batch normalization kept of the training data.

    For every channel that a batch normalization sees, the mean of the squared deviation from the
    running mean, in units of the running variance, is 1 on average over the training data. The
    score is the mean over channels, then over layers. Where some layers see one value per tile
    (behind global pooling), these are used: within-tile variation hides no shift there.

    Running statistics are those of the training data only if they were learned with the network;
    an encoder whose statistics stayed frozen still carries those of its pre-training.

    Parameters
    ----------
    limit : float
        Mean squared deviation from which a tile lies outside.
    """

    # Hooks stand on a network that two workers may share.
    _lock = threading.Lock()

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def __call__(self, network: TileModel, tiles: Tensor) -> tuple[TileOutput, Tensor]:
        """Return the network's output for tiles, shape (n, 3, h, w), and scores, shape (n,)."""
        pooled: list[Tensor] = []
        spatial: list[Tensor] = []

        def look(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            x = inputs[0].float()
            assert isinstance(module, _BatchNorm)
            assert module.running_mean is not None
            assert module.running_var is not None
            shape = (1, -1, *[1] * (x.ndim - 2))
            centered = x - module.running_mean.view(shape)
            scaled = centered.square() / (module.running_var.view(shape) + module.eps)
            one_value = x.ndim == 2 or x.shape[2:].numel() == 1
            (pooled if one_value else spatial).append(scaled.flatten(1).mean(dim=1))

        with self._lock:
            hooks = [
                m.register_forward_pre_hook(look)
                for m in network.modules()
                if isinstance(m, _BatchNorm) and m.track_running_stats
            ]
            try:
                output: TileOutput = network(tiles)
            finally:
                for hook in hooks:
                    hook.remove()
        used = pooled or spatial
        return output, torch.stack(used).mean(dim=0) / self.limit


def ood_scorer(card: ModelCard, tensors: Mapping[str, Tensor]) -> OodScorer | None:
    """Return what scores tiles for a model; None if its card holds no statistics.

    Parameters
    ----------
    card : ModelCard
        Card of the model.
    tensors : mapping of str to Tensor
        What stands beside the weights in its file.
    """
    ood = card.ood
    if ood.get("kind") == "batch-norm":
        return BatchNormStatistics(float(ood["limit"]))
    if ood.get("kind") == "embedding" and f"{_PREFIX}mean" in tensors:
        return EmbeddingStatistics(
            tensors[f"{_PREFIX}mean"].float(),
            tensors[f"{_PREFIX}components"].float(),
            float(ood["residual"]),
            float(ood["limit"]),
        )
    return None


def ood_rule(card: ModelCard) -> OodRule | None:
    """Return how many tiles of a slide may lie outside; None without statistics."""
    if "limit" not in card.ood:
        return None
    overlap = card.ood.get("overlap")
    rate = float(card.ood.get("rate", 0.05))
    return OodRule(rate, None if overlap is None else float(overlap))


def overdispersion(outside: NDArray[np.bool_], groups: NDArray[np.str_]) -> float:
    """Estimate how alike tiles of one group are, by moments for a beta-binomial.

    The analysis-of-variance estimate of the intraclass correlation of a yes-or-no value (Ridout
    et al. 1999), not below 0.05, since few groups cannot show that there is none.

    Parameters
    ----------
    outside : ndarray of bool, shape (n,)
        Which tiles lie outside.
    groups : ndarray of str, shape (n,)
        Their patients or slides.

    Returns
    -------
    float
        Between 0.05 and 0.95.
    """
    _, inverse, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    n, count = len(outside), len(sizes)
    hits = np.bincount(inverse, weights=outside.astype(np.float64), minlength=count)
    if count < 2 or n == count:
        return 0.05
    share = hits.sum() / n
    between = float((sizes * (hits / sizes - share) ** 2).sum()) / (count - 1)
    within = float((hits * (1 - hits / sizes)).sum()) / (n - count)
    typical = (n - float((sizes.astype(np.float64) ** 2).sum()) / n) / (count - 1)
    total = between + (typical - 1) * within
    value = (between - within) / total if total > 0 else 0.0
    return float(np.clip(value, 0.05, 0.95))
