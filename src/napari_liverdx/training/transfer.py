"""Transfer learning: a frozen warm-up, then the whole network, with early stopping."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from napari_liverdx.core.errors import DataError
from napari_liverdx.metrics.classification import balanced_accuracy
from napari_liverdx.models.architectures.base import TileModel
from napari_liverdx.models.calibration import fit_temperature
from napari_liverdx.training.augment import dihedral, jitter_stain
from napari_liverdx.training.config import EpochResult, TrainConfig
from napari_liverdx.training.data._all import Example, TileDataset
from napari_liverdx.training.distributed import world
from napari_liverdx.training.examples import as_logits, predict_examples
from napari_liverdx.training.keys import Key, run_key
from napari_liverdx.training.loop import OnBatch, TrainTask, Validation, fit, prefetch
from napari_liverdx.training.losses import class_weights, mix, training_loss
from napari_liverdx.training.state import TrainState

__all__ = ["TrainJob", "fine_tune", "judge_tiles", "start_state"]

D = TypeVar("D", bound=TileDataset, covariant=True)


@dataclass(frozen=True, slots=True, eq=False)
class TrainJob(Generic[D]):
    """What a network for tiles learns from, and how.

    Attributes
    ----------
    samples : TileDataset
        The labeled pictures.
    train, val : ndarray of int
        Which samples to learn from and which to choose the epoch and the temperature by.
    size : int
        Side of the tiles in pixels.
    config : TrainConfig
    device : torch.device
        CPU by default.
    """

    samples: D
    train: NDArray[np.intp]
    val: NDArray[np.intp]
    size: int
    config: TrainConfig
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))


def fine_tune(
    network: TileModel,
    job: TrainJob[TileDataset],
    *,
    checkpoint: Path | None = None,
    on_batch: OnBatch | None = None,
) -> Generator[EpochResult, None, None]:
    """Train ``network`` in place; stop it by closing the generator.

    Random draws depend on seed and epoch alone. Among several processes (``torchrun``) each batch
    is shared out. See `fit` for what the network holds at the end and how a run is resumed.

    Parameters
    ----------
    network : TileModel
        The network.
    job : TrainJob
        Samples and settings.
    checkpoint : Path, optional
        File that keeps the state between epochs.
    on_batch : callable, optional
        See `fit`.

    Yields
    ------
    EpochResult

    Raises
    ------
    DataError
        If there is nothing to train or validate on, a group stands on both sides, or the loss
        is no longer finite.
    """
    _check_split(job)
    config, processes = job.config, world()[1]
    if config.batch_size < 2 * processes:
        raise DataError(
            f"batches of {config.batch_size} cannot be shared among {processes} processes; give "
            f"batch_size = {2 * processes} or more"
        )
    network.to(job.device).to(memory_format=torch.channels_last)
    key = run_key(network, job.samples, job.train, job.val, job.size, config, processes)
    state = start_state(network, config, _dtype(config, job.device), key)
    task = _TileTask(network, job)
    yield from fit(
        network, task, config.fit_settings, state, checkpoint=checkpoint, on_batch=on_batch
    )


def start_state(
    network: TileModel, config: TrainConfig, dtype: torch.dtype, key: Key | None = None
) -> TrainState[TileModel]:
    """Return the state in which training of a network for tiles starts.

    Parameters
    ----------
    network : TileModel
        On its device.
    config : TrainConfig
        Learning rates of encoder and heads.
    dtype : torch.dtype
        Arithmetic of the forward pass; half precision needs scaled losses.
    key : Key, optional
        Of the checkpoint.
    """
    encoder = network.encoder_parameters()
    known = {id(p) for p in encoder}
    heads = [p for p in network.parameters() if id(p) not in known]
    # What is learned from nothing learns as fast as the heads.
    rate = config.encoder_lr if network.pretrained else config.head_lr
    device = next(network.parameters()).device
    scaler = torch.amp.GradScaler(device.type) if dtype is torch.float16 else None
    rates = [(heads, config.head_lr), (encoder, rate)]
    return TrainState.start(network, rates, config.weight_decay, scaler=scaler, key=key)


def judge_tiles(logits: Tensor, targets: Tensor) -> Validation:
    """Judge logits, shape (n, classes), by target distributions of the same shape."""
    labels = targets.argmax(dim=1).cpu().numpy()
    return Validation(
        float(cross_entropy(logits, targets)),
        balanced_accuracy(logits.cpu().numpy(), labels),
        fit_temperature(logits.cpu(), targets.cpu()),
    )


def _dtype(config: TrainConfig, device: torch.device) -> torch.dtype:
    """Return the arithmetic of the forward pass."""
    if config.precision == "auto":
        return torch.float16 if device.type == "cuda" else torch.float32
    dtype: torch.dtype = getattr(torch, config.precision)
    return dtype


def _check_split(job: TrainJob[TileDataset]) -> None:
    if not len(job.train) or not len(job.val):
        raise DataError("training needs samples to learn from and samples to validate on")
    groups = job.samples.groups
    shared = set(groups[job.train]) & set(groups[job.val])
    if shared:
        raise DataError(
            f"group {min(shared)!r} stands in training and validation; split by patient or slide"
        )


class _Batch(NamedTuple):
    tiles: Tensor
    target: Tensor
    subtiles: Tensor | None
    attributes: Tensor | None


class _TileTask(TrainTask[TileModel, _Batch]):
    """Augmented tiles of a data set; this process's share of them among several."""

    def __init__(self, network: TileModel, job: TrainJob[TileDataset]) -> None:
        self.job = job
        self.subtiles = network.subtiles
        self.dtype = _dtype(job.config, job.device)

    @property
    def steps(self) -> int:
        return max(1, self.job.config.tiles_per_epoch // self.job.config.batch_size)

    def prepare(self, network: TileModel, epoch: int) -> None:
        config = self.job.config
        frozen = epoch < config.warmup_epochs and network.pretrained
        _freeze_encoder(network, 1.0 if frozen else config.frozen_share)

    def batches(self, epoch: int) -> Iterator[_Batch]:
        batches = self._drawn(epoch)
        return prefetch(batches) if self.job.device.type == "cuda" else batches

    def loss(self, network: TileModel, batch: _Batch) -> Tensor:
        config, device = self.job.config, self.job.device
        batch = _Batch._make(None if t is None else t.to(device, non_blocking=True) for t in batch)
        x = batch.tiles.contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, self.dtype, enabled=self.dtype is not torch.float32):
            output = as_logits(network, network(x))
        return training_loss(
            output,
            batch.target,
            batch.subtiles,
            batch.attributes,
            gamma=config.focal_gamma,
            weights=self.weights,
            subtile_weight=config.subtile_weight,
        )

    def validate(self, network: TileModel) -> Validation:
        job = self.job
        found = predict_examples(network, self.held_out, job.device, job.config.batch_size)
        return judge_tiles(
            found.logits, torch.from_numpy(np.stack([e.target for e in self.held_out]))
        )

    @cached_property
    def held_out(self) -> list[Example]:
        """The validation tiles."""
        samples = self.job.samples
        tiles = [samples.eval_tiles(int(i), self.job.size, self.subtiles) for i in self.job.val]
        return [e for found in tiles for e in found]

    @cached_property
    def weights(self) -> Tensor | None:
        """Weights of the classes in the loss."""
        if self.job.config.balance != "weights":
            return None
        labels = self.job.samples.labels[self.job.train]
        return class_weights(labels, len(self.held_out[0].target))

    def _drawn(self, epoch: int) -> Iterator[_Batch]:
        samples, train, config = self.job.samples, self.job.train, self.job.config
        rng = np.random.default_rng((config.seed, epoch))
        seed = config.seed * 1_000_003 + epoch
        rank, n_processes = world()
        if config.balance == "draw":
            order = _balanced_order(samples.labels[train], config.tiles_per_epoch, rng)
        else:
            order = rng.choice(len(train), size=config.tiles_per_epoch)
        if n_processes > 1:
            rng = np.random.default_rng((config.seed, epoch, rank))
            seed = seed * n_processes + rank
        generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)
        for start in range(
            0, max(1, len(order) // config.batch_size) * config.batch_size, config.batch_size
        ):
            chosen = train[order[start : start + config.batch_size]][rank::n_processes]
            drawn = [
                samples.sample_train(int(i), self.job.size, self.subtiles, rng) for i in chosen
            ]
            batch = _collate(drawn)
            grids = dihedral([g for g in (batch.tiles, batch.subtiles) if g is not None], generator)
            x = jitter_stain(grids[0], generator, sigma=config.stain_sigma)
            parts: list[Tensor | None] = [
                x,
                batch.target,
                None if batch.subtiles is None else grids[1],
                batch.attributes,
            ]
            if config.mixup:
                mixed = iter(mix([p for p in parts if p is not None], config.mixup, rng))
                parts = [None if p is None else next(mixed) for p in parts]
            yield _Batch._make(parts)


def _freeze_encoder(network: TileModel, share: float) -> None:
    if network.frozen_encoder:
        share = 1.0
    elif not network.pretrained:
        return
    parameters = network.encoder_parameters()
    for position, parameter in enumerate(parameters):
        parameter.requires_grad_(position >= share * len(parameters))
    known = {id(p) for p in parameters}
    # Batches are too small to re-estimate ImageNet's batch statistics.
    for module in network.modules():
        own = list(module.parameters(recurse=False))
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and own and id(own[0]) in known:
            module.eval()


def _balanced_order(
    labels: NDArray[np.intp], count: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Return ``count`` positions, each class as often as the others."""
    sizes = np.bincount(labels)
    weights = 1.0 / sizes[labels]
    return rng.choice(len(labels), size=count, p=weights / weights.sum())


def _collate(batch: list[Example]) -> _Batch:
    tiles = torch.from_numpy(np.stack([e.tile for e in batch])).permute(0, 3, 1, 2)
    target = torch.from_numpy(np.stack([e.target for e in batch]))
    subtiles = [e.subtiles for e in batch if e.subtiles is not None]
    attributes = [e.attributes for e in batch if e.attributes is not None]
    return _Batch(
        tiles,
        target,
        torch.from_numpy(np.stack(subtiles)) if len(subtiles) == len(batch) else None,
        torch.from_numpy(np.stack(attributes)) if len(attributes) == len(batch) else None,
    )
