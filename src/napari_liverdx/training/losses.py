"""What training minimizes."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, log_softmax

from napari_liverdx.models.architectures.base import TileOutput

__all__ = ["class_weights", "focal_cross_entropy", "mix", "training_loss"]


def class_weights(labels: NDArray[np.intp], n_classes: int) -> Tensor:
    """Return weights inverse to how often a class occurs, with mean 1 over the samples.

    Parameters
    ----------
    labels : ndarray of int, shape (n,)
        Class of each sample.
    n_classes : int
        Number of classes; one that is no sample's class has weight 1, since subtiles may be of it.

    Returns
    -------
    Tensor, shape (n_classes,), float32
    """
    counts = np.bincount(labels, minlength=n_classes)[:n_classes].astype(np.float64)
    present = counts > 0
    weights = np.where(present, len(labels) / (present.sum() * np.maximum(counts, 1)), 1)
    return torch.from_numpy(weights.astype(np.float32))


def focal_cross_entropy(
    scores: Tensor, target: Tensor, *, gamma: float = 0.0, weights: Tensor | None = None
) -> Tensor:
    """Compute the focal loss (Lin et al. 2017, arXiv:1708.02002) for target distributions.

    Parameters
    ----------
    scores : Tensor, shape (n, classes, ...), float
        Logits.
    target : Tensor, shape (n, classes, ...), float
        Target distributions along axis 1.
    gamma : float
        How much what is already right is discounted; 0 gives cross entropy.
    weights : Tensor, shape (classes,), optional
        Factor of each class.

    Returns
    -------
    Tensor, scalar
        Mean over everything but the classes.
    """
    logs = log_softmax(scores.float(), dim=1)
    terms = -target * logs
    if gamma:
        terms = terms * (1 - logs.exp()).clamp_min(0) ** gamma
    if weights is not None:
        terms = terms * weights.to(terms.device).view(1, -1, *[1] * (terms.ndim - 2))
    return terms.sum(dim=1).mean()


def mix(tensors: list[Tensor], alpha: float, rng: np.random.Generator) -> list[Tensor]:
    """Blend a batch with itself in another order: mixup (Zhang et al. 2018, arXiv:1710.09412).

    Parameters
    ----------
    tensors : list of Tensor, shape (n, ...), float
        Tiles and targets, blended alike.
    alpha : float
        Parameter of the beta distribution of the shares.
    rng : numpy.random.Generator
        Source of the random numbers.
    """
    share = float(rng.beta(alpha, alpha))
    order = torch.from_numpy(rng.permutation(len(tensors[0])))
    return [share * t + (1 - share) * t[order] for t in tensors]


def training_loss(
    output: TileOutput,
    target: Tensor,
    subtiles: Tensor | None,
    attributes: Tensor | None,
    *,
    gamma: float,
    weights: Tensor | None,
    subtile_weight: float,
) -> Tensor:
    """Sum the losses of the tile, of its subtiles if both have them, and of known attributes.

    Parameters
    ----------
    output : TileOutput
        Logits.
    target : Tensor, shape (n, classes)
        Target distributions.
    subtiles : Tensor or None, shape (n, classes, k, k)
        Target distributions of the subtiles.
    attributes : Tensor or None, shape (n, attributes)
        1, 0, or NaN where not known.
    gamma, weights
        See `focal_cross_entropy`.
    subtile_weight : float
        Weight of the subtiles' loss.
    """
    loss = focal_cross_entropy(output.scores, target, gamma=gamma, weights=weights)
    if subtiles is not None and output.subtile_scores is not None:
        loss = loss + subtile_weight * focal_cross_entropy(
            output.subtile_scores, subtiles, gamma=gamma, weights=weights
        )
    if attributes is not None and output.attribute_scores is not None:
        known = ~attributes.isnan()
        if known.any():
            loss = loss + binary_cross_entropy_with_logits(
                output.attribute_scores.float()[known], attributes[known]
            )
    return loss
