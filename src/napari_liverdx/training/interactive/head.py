"""Tuning what stands behind an encoder that stays as it is: the encoder looks once."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from napari_liverdx.core.errors import DataError
from napari_liverdx.metrics.bootstrap import balanced_accuracy
from napari_liverdx.models.architectures.cnn_rnn import CnnRnnClassifier
from napari_liverdx.models.calibration import fit_temperature
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.training.augment import jitter_stain
from napari_liverdx.training.interactive.corrections import AnnotationDataset
from napari_liverdx.training.loop import EpochResult, OnBatch, TrainConfig
from napari_liverdx.training.losses import training_loss
from napari_liverdx.training.state import TrainState

__all__ = ["EncodingProgress", "finetune_head", "turn_back", "turn_grid"]

_LOOKS = 8
_FEWEST, _MOST = 160, 480


@dataclass(frozen=True, slots=True)
class EncodingProgress:
    """How many tiles the encoder has looked at.

    Attributes
    ----------
    done, total : int
    """

    done: int
    total: int


@dataclass(frozen=True, slots=True, eq=False)
class _CachedFeatures:
    """What the encoder made of tiles, and what they are to say."""

    features: Tensor
    target: Tensor
    subtiles: Tensor | None


def finetune_head(
    model: LoadedModel,
    network: CnnRnnClassifier,
    samples: AnnotationDataset,
    train: NDArray[np.intp],
    val: NDArray[np.intp],
    config: TrainConfig,
    device: torch.device,
    on_batch: OnBatch | None = None,
) -> Iterator[EncodingProgress | EpochResult]:
    """Train all of ``network`` but its encoder, in place.

    Each class is drawn as often as the others, every tile several times, moved, scaled, turned and
    stained otherwise; the encoder sees each of these once, after which an epoch takes about a
    second on a processor. At the end the network holds the weights of the epoch with the lowest
    validation loss.

    Parameters
    ----------
    model : LoadedModel
        The earlier version: what untaught cells are to go on saying.
    network : CnnRnnClassifier
        A copy of its network.
    samples : AnnotationDataset
        What was taught.
    train, val : ndarray of int
        Which samples to learn from and which to choose the epoch by.
    config : TrainConfig
        Settings; ``tiles_per_epoch`` and the encoder's are of no effect.
    device : torch.device
        Where to run.
    on_batch : callable, optional
        See `fine_tune`.

    Yields
    ------
    Looked, EpochResult

    Raises
    ------
    DataError
        If the loss is no longer finite.
    """
    network.to(device).eval()
    teacher = copy.deepcopy(network)
    rng = np.random.default_rng(config.seed)
    torch.manual_seed(config.seed)
    chosen = _chosen(samples.labels[train], train, rng)
    total = len(chosen) + len(val)
    parts: list[_CachedFeatures] = []
    for start in range(0, len(chosen), config.batch_size):
        batch = chosen[start : start + config.batch_size]
        parts.append(_look(model, teacher, samples, batch, config, device, rng))
        yield EncodingProgress(start + len(batch), total)
        if on_batch is not None and not on_batch(0, 1):
            return
    bank = _joined(parts)
    held = _look_plainly(teacher, samples, val, device)
    yield EncodingProgress(total, total)
    state = TrainState.start(network, config, device)
    try:
        while state.epoch < config.epochs and state.since_best < config.patience:
            loss = _epoch(network, bank, config, state, on_batch)
            if loss is None:
                return
            yield _judged(state, held, loss, config)
    finally:
        network.load_state_dict(state.best_weights)
        network.eval()


def _chosen(
    labels: NDArray[np.intp], train: NDArray[np.intp], rng: np.random.Generator
) -> NDArray[np.intp]:
    """Which tiles to look at: each class as often, each tile of a class as often."""
    classes = np.unique(labels)
    count = int(np.clip(_LOOKS * len(train), _FEWEST, _MOST)) // len(classes)
    parts = []
    for c in classes:
        own = train[labels == c]
        rounds = [rng.permutation(own) for _ in range(-(-count // len(own)))]
        parts.append(np.concatenate(rounds)[:count])
    return rng.permutation(np.concatenate(parts))


@torch.inference_mode()
def _look(
    model: LoadedModel,
    teacher: CnnRnnClassifier,
    samples: AnnotationDataset,
    batch: NDArray[np.intp],
    config: TrainConfig,
    device: torch.device,
    rng: np.random.Generator,
) -> _CachedFeatures:
    size = model.card.tile_size
    places = [samples.drawn_place(int(i), rng) for i in batch]
    turns, flips = rng.integers(0, 4, len(batch)), rng.integers(0, 2, len(batch))
    tiles = np.stack(
        [
            turn_grid(np.moveaxis(samples.look(int(i), place, size), 2, 0), turn, flip)
            for i, place, turn, flip in zip(batch, places, turns, flips, strict=True)
        ]
    )
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    x = jitter_stain(torch.from_numpy(tiles), generator, sigma=config.stain_sigma).to(device)
    features = teacher.features(teacher.normalize(x))
    target = torch.from_numpy(np.stack([samples.target(int(i)) for i in batch]))
    scores = teacher.heads(features).subtile_scores
    if model.network.subtiles == 1 or scores is None:
        return _CachedFeatures(features, target.to(device), None)
    before = model.probabilities(scores).float().cpu().numpy()
    subtiles = np.stack(
        [
            turn_grid(
                samples.subtile_target(int(i), place, turn_back(before[n], turns[n], flips[n])),
                turns[n],
                flips[n],
            )
            for n, (i, place) in enumerate(zip(batch, places, strict=True))
        ]
    )
    return _CachedFeatures(features, target.to(device), torch.from_numpy(subtiles).to(device))


def turn_grid(grid: NDArray, turn: int, flip: int) -> NDArray:
    """Return a grid, mirrored if ``flip``, then turned by ``turn`` quarters; shape (..., n, n)."""
    flipped = grid[..., ::-1] if flip else grid
    return np.ascontiguousarray(np.rot90(flipped, turn, (-2, -1)))


def turn_back(grid: NDArray, turn: int, flip: int) -> NDArray:
    """Undo `turn_grid`."""
    back = np.rot90(grid, -turn, (-2, -1))
    return np.ascontiguousarray(back[..., ::-1] if flip else back)


@torch.inference_mode()
def _look_plainly(
    teacher: CnnRnnClassifier,
    samples: AnnotationDataset,
    chosen: NDArray[np.intp],
    device: torch.device,
) -> _CachedFeatures:
    tiles = np.stack([np.moveaxis(samples.picture(int(i)), 2, 0) for i in chosen])
    features = [
        teacher.features(teacher.normalize(torch.from_numpy(part.copy()).to(device)))
        for part in np.array_split(tiles, -(-len(tiles) // 16))
    ]
    target = torch.from_numpy(np.stack([samples.target(int(i)) for i in chosen]))
    return _CachedFeatures(torch.cat(features), target.to(device), None)


def _joined(parts: list[_CachedFeatures]) -> _CachedFeatures:
    subtiles = [p.subtiles for p in parts if p.subtiles is not None]
    return _CachedFeatures(
        torch.cat([p.features for p in parts]),
        torch.cat([p.target for p in parts]),
        torch.cat(subtiles) if len(subtiles) == len(parts) else None,
    )


def _epoch(
    network: CnnRnnClassifier,
    bank: _CachedFeatures,
    config: TrainConfig,
    state: TrainState,
    on_batch: OnBatch | None,
) -> float | None:
    network.train()
    network.encoder.eval()
    # As many as fill whole batches: a batch of one has no spread to normalize by.
    steps = max(1, len(bank.target) // config.batch_size)
    order = torch.randperm(len(bank.target))
    total = 0.0
    for step in range(steps):
        part = order[step * config.batch_size : (step + 1) * config.batch_size]
        done = (state.epoch + step / steps) / config.epochs
        for group in state.optimizer.param_groups:
            group["lr"] = group["full_rate"] * 0.5 * (1 + math.cos(math.pi * done))
        # What inference mode made cannot be kept for a backward pass, a copy can.
        features = bank.features[part].clone()
        subtiles = None if bank.subtiles is None else bank.subtiles[part].clone()
        loss = training_loss(
            network.heads(features),
            bank.target[part].clone(),
            subtiles,
            None,
            gamma=config.focal_gamma,
            weights=None,
            subtile_weight=config.subtile_weight,
        )
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        state.optimizer.step()
        state.average(network, config.ema_decay)
        total += loss.item()
        if on_batch is not None and not on_batch(step + 1, steps):
            return None
    return total / steps


@torch.inference_mode()
def _judged(
    state: TrainState, held: _CachedFeatures, loss: float, config: TrainConfig
) -> EpochResult:
    mean = state.mean.eval()
    assert isinstance(mean, CnnRnnClassifier)
    logits = mean.heads(held.features).scores.float()
    val_loss = float(cross_entropy(logits, held.target))
    if not math.isfinite(loss + val_loss):
        raise DataError("training diverged (the loss is not finite); teach more tiles")
    labels = held.target.argmax(1).cpu().numpy()
    accuracy = balanced_accuracy(logits.softmax(1).cpu().numpy().astype(np.float64), labels)
    best = state.finish_epoch(val_loss, fit_temperature(logits.cpu(), held.target.cpu()))
    return state.record(loss, val_loss, accuracy, best=best, config=config)
