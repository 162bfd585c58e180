"""Tuning what stands behind an encoder that stays as it is: the encoder looks once."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_liverdx.models.architectures.base import TileModel
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.training.augment import jitter_stain
from napari_liverdx.training.config import EpochResult, TrainConfig
from napari_liverdx.training.interactive.corrections import AnnotationDataset
from napari_liverdx.training.loop import OnBatch, TrainTask, Validation, fit
from napari_liverdx.training.losses import training_loss
from napari_liverdx.training.transfer import TrainJob, judge_tiles, start_state

__all__ = ["EncodingProgress", "finetune_head", "turn_back", "turn_grid"]

_LOOKS = 8
_FEWEST, _MOST = 160, 480


@dataclass(frozen=True, slots=True)
class EncodingProgress:
    """How many tiles the encoder has embedded.

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
    network: TileModel,
    job: TrainJob[AnnotationDataset],
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
        The earlier version: what subtiles without annotation are to go on saying.
    network : TileModel
        A copy of its network.
    job : TrainJob
        Annotations and settings; ``tiles_per_epoch`` and the encoder's are of no effect.
    on_batch : callable, optional
        See `fit`.

    Yields
    ------
    EncodingProgress, EpochResult

    Raises
    ------
    DataError
        If the loss is no longer finite.
    """
    config = job.config
    network.to(job.device).eval()
    teacher = copy.deepcopy(network)
    rng = np.random.default_rng(config.seed)
    torch.manual_seed(config.seed)
    chosen = _chosen(job.samples.labels[job.train], job.train, rng)
    total = len(chosen) + len(job.val)
    parts: list[_CachedFeatures] = []
    for start in range(0, len(chosen), config.batch_size):
        batch = chosen[start : start + config.batch_size]
        parts.append(_encode(model, teacher, job, batch, rng))
        yield EncodingProgress(start + len(batch), total)
        if on_batch is not None and not on_batch(0, 1):
            return
    task = _HeadTask(config, _joined(parts), _encode_plainly(teacher, job))
    yield EncodingProgress(total, total)
    state = start_state(network, config, torch.float32)
    yield from fit(network, task, config.fit_settings, state, on_batch=on_batch)


class _HeadTask(TrainTask[TileModel, _CachedFeatures]):
    """Batches of what the encoder made of tiles."""

    def __init__(self, config: TrainConfig, bank: _CachedFeatures, held: _CachedFeatures) -> None:
        self.config, self.bank, self.held = config, bank, held

    @property
    def steps(self) -> int:
        # As many as fill whole batches: a batch of one has no spread to normalize by.
        return max(1, len(self.bank.target) // self.config.batch_size)

    def prepare(self, network: TileModel, epoch: int) -> None:
        """Leave the encoder alone: it does not run."""

    def batches(self, epoch: int) -> Iterator[_CachedFeatures]:
        bank, size = self.bank, self.config.batch_size
        order = torch.randperm(len(bank.target))
        for step in range(self.steps):
            part = order[step * size : (step + 1) * size]
            # What inference mode made cannot be kept for a backward pass, a copy can.
            yield _CachedFeatures(
                bank.features[part].clone(),
                bank.target[part].clone(),
                None if bank.subtiles is None else bank.subtiles[part].clone(),
            )

    def loss(self, network: TileModel, batch: _CachedFeatures) -> Tensor:
        return training_loss(
            network.heads(batch.features),
            batch.target,
            batch.subtiles,
            None,
            gamma=self.config.focal_gamma,
            weights=None,
            subtile_weight=self.config.subtile_weight,
        )

    @torch.inference_mode()
    def validate(self, network: TileModel) -> Validation:
        network.eval()
        return judge_tiles(network.heads(self.held.features).scores.float(), self.held.target)


def _chosen(
    labels: NDArray[np.intp], train: NDArray[np.intp], rng: np.random.Generator
) -> NDArray[np.intp]:
    """Choose tiles to train on: each class as often, each tile of a class as often."""
    classes = np.unique(labels)
    count = int(np.clip(_LOOKS * len(train), _FEWEST, _MOST)) // len(classes)
    parts = []
    for c in classes:
        own = train[labels == c]
        rounds = [rng.permutation(own) for _ in range(-(-count // len(own)))]
        parts.append(np.concatenate(rounds)[:count])
    return rng.permutation(np.concatenate(parts))


@torch.inference_mode()
def _encode(
    model: LoadedModel,
    teacher: TileModel,
    job: TrainJob[AnnotationDataset],
    batch: NDArray[np.intp],
    rng: np.random.Generator,
) -> _CachedFeatures:
    samples, size, device = job.samples, job.size, job.device
    places = [samples.drawn_place(int(i), rng) for i in batch]
    turns, flips = rng.integers(0, 4, len(batch)), rng.integers(0, 2, len(batch))
    tiles = np.stack(
        [
            turn_grid(np.moveaxis(samples.look(int(i), place, size), 2, 0), turn, flip)
            for i, place, turn, flip in zip(batch, places, turns, flips, strict=True)
        ]
    )
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    x = jitter_stain(torch.from_numpy(tiles), generator, sigma=job.config.stain_sigma).to(device)
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


def turn_grid(grid: NDArray[Any], turn: int, flip: int) -> NDArray[Any]:
    """Return a grid, mirrored if ``flip``, then turned by ``turn`` quarters; shape (..., n, n)."""
    flipped = grid[..., ::-1] if flip else grid
    return np.ascontiguousarray(np.rot90(flipped, turn, (-2, -1)))


def turn_back(grid: NDArray[Any], turn: int, flip: int) -> NDArray[Any]:
    """Undo `turn_grid`."""
    back = np.rot90(grid, -turn, (-2, -1))
    return np.ascontiguousarray(back[..., ::-1] if flip else back)


@torch.inference_mode()
def _encode_plainly(teacher: TileModel, job: TrainJob[AnnotationDataset]) -> _CachedFeatures:
    samples, chosen, device = job.samples, job.val, job.device
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
