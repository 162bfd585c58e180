"""Transfer learning: a frozen warm-up, then the whole network, with early stopping."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from napari_liverdx.core.errors import DataError
from napari_liverdx.models.architectures.base import TileModel
from napari_liverdx.models.calibration import fit_temperature
from napari_liverdx.training.augment import dihedral, jitter_stain
from napari_liverdx.training.config import EpochResult, TrainConfig
from napari_liverdx.training.data._all import Example, TileDataset
from napari_liverdx.training.distributed import (
    average_buffers,
    average_gradients,
    from_first,
    world,
)
from napari_liverdx.training.examples import as_logits, predict_examples
from napari_liverdx.training.keys import run_key
from napari_liverdx.training.losses import class_weights, mix, training_loss
from napari_liverdx.training.state import TrainState, training_dtype

__all__ = ["EpochResult", "OnBatch", "TrainConfig", "fine_tune", "predict_dataset", "prefetch"]

T = TypeVar("T")
OnBatch = Callable[[int, int], bool]


def fine_tune(
    network: TileModel,
    samples: TileDataset,
    train: NDArray[np.intp],
    val: NDArray[np.intp],
    *,
    size: int,
    config: TrainConfig,
    device: torch.device | None = None,
    checkpoint: Path | None = None,
    on_batch: OnBatch | None = None,
) -> Iterator[EpochResult]:
    """Train ``network`` in place; stop it by closing the generator.

    When the generator ends, by itself or closed, the network holds the weights of the epoch with
    the best validation loss. With ``checkpoint`` the state is saved after every epoch and found
    again at the next call, which first yields the epochs that were trained before; random draws
    depend on seed and epoch alone, so a resumed run gives what an uninterrupted one gives. Among
    several processes (``torchrun``) each batch is shared out and gradients are averaged.

    Parameters
    ----------
    network : TileModel
        The network.
    samples : TileDataset
        The labelled pictures.
    train, val : ndarray of int
        Which samples to learn from and which to choose the epoch and the temperature by.
    size : int
        Side of the tiles in pixels.
    config : TrainConfig
        Settings of the run.
    device : torch.device, optional
        CPU by default.
    checkpoint : Path, optional
        File that keeps the state between epochs.
    on_batch : callable, optional
        Called after each batch with its number, from 1, and how many there are; training ends at
        once when it answers False, and the epoch under way counts for nothing.

    Yields
    ------
    EpochResult

    Raises
    ------
    DataError
        If there is nothing to train or validate on, a group stands on both sides, or the loss
        is no longer finite.
    """
    _check_split(samples, train, val)
    if config.batch_size < 2 * world()[1]:
        raise DataError(
            f"batches of {config.batch_size} cannot be shared among {world()[1]} processes; give "
            f"batch_size = {2 * world()[1]} or more"
        )
    device = device or torch.device("cpu")
    network.to(device, memory_format=torch.channels_last)
    state = TrainState.start(network, config, device)
    state.key = run_key(network, samples, train, val, size, config, world()[1])
    if checkpoint is not None and checkpoint.exists():
        state.load(checkpoint, network, device)
    try:
        yield from list(state.history)
        if _finished(state, config):
            return
        held_out = [e for i in val for e in samples.eval_tiles(int(i), size, network.subtiles)]
        while not _finished(state, config):
            loss = _train_epoch(network, samples, train, size, config, state, device, on_batch)
            if loss is None:
                return
            average_buffers(network, state.mean)
            logits, targets, _ = predict_dataset(state.mean, held_out, device, config.batch_size)
            accuracy = _balanced_accuracy(logits.argmax(1).numpy(), targets.argmax(1).numpy())
            loss, val_loss, accuracy, temperature = from_first(
                [
                    loss,
                    float(cross_entropy(logits, targets)),
                    accuracy,
                    fit_temperature(logits, targets),
                ]
            )
            if not math.isfinite(loss + val_loss):
                raise DataError(
                    "training diverged (the loss is not finite); lower the learning rate"
                )
            best = state.finish_epoch(val_loss, temperature)
            result = state.record(loss, val_loss, accuracy, best=best, config=config)
            if checkpoint is not None and world()[0] == 0:
                state.save(checkpoint, network)
            yield result
    finally:
        network.load_state_dict(state.best_weights)
        network.eval()


def _finished(state: TrainState, config: TrainConfig) -> bool:
    return state.epoch >= config.epochs or state.since_best >= config.patience


def _check_split(samples: TileDataset, train: NDArray[np.intp], val: NDArray[np.intp]) -> None:
    if not len(train) or not len(val):
        raise DataError("training needs samples to learn from and samples to validate on")
    shared = set(samples.groups[train]) & set(samples.groups[val])
    if shared:
        raise DataError(
            f"group {min(shared)!r} stands in training and validation; split by patient or slide"
        )


class _Batch(NamedTuple):
    tiles: Tensor
    target: Tensor
    subtiles: Tensor | None
    attributes: Tensor | None


def _train_epoch(
    network: TileModel,
    samples: TileDataset,
    train: NDArray[np.intp],
    size: int,
    config: TrainConfig,
    state: TrainState,
    device: torch.device,
    on_batch: OnBatch | None,
) -> float | None:
    frozen = state.epoch < config.warmup_epochs and network.pretrained
    network.train()
    _freeze_encoder(network, 1.0 if frozen else config.frozen_share)
    dtype = training_dtype(config, device)
    weights = None
    if config.balance == "weights":
        weights = class_weights(samples.labels[train], _n_classes(samples, network, train, size))
    batches = _batches(samples, train, size, network.subtiles, config, state.epoch)
    steps = max(1, config.tiles_per_epoch // config.batch_size)
    total = 0.0
    for step, batch in enumerate(prefetch(batches) if device.type == "cuda" else batches):
        _set_rates(state.optimizer, config, state.epoch + step / steps)
        batch = _Batch(*(None if t is None else t.to(device, non_blocking=True) for t in batch))
        x = batch.tiles.contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, dtype, enabled=dtype is not torch.float32):
            output = as_logits(network, network(x))
        loss = training_loss(
            output,
            batch.target,
            batch.subtiles,
            batch.attributes,
            gamma=config.focal_gamma,
            weights=weights,
            subtile_weight=config.subtile_weight,
        )
        _step(network, loss, state)
        state.average(network, config.ema_decay)
        total += loss.item()
        if on_batch is not None and not on_batch(step + 1, steps):
            return None
    return total / steps


def _step(network: TileModel, loss: Tensor, state: TrainState) -> None:
    optimizer, scaler = state.optimizer, state.scaler
    optimizer.zero_grad(set_to_none=True)
    (loss if scaler is None else scaler.scale(loss)).backward()
    average_gradients(network)
    if scaler is not None:
        scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(network.parameters(), 5.0)
    if scaler is None:
        optimizer.step()
    else:
        scaler.step(optimizer)
        scaler.update()


def _batches(
    samples: TileDataset,
    train: NDArray[np.intp],
    size: int,
    subtiles: int,
    config: TrainConfig,
    epoch: int,
) -> Iterator[_Batch]:
    """The augmented batches of an epoch; this process's share of them among several."""
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
        drawn = [samples.sample_train(int(i), size, subtiles, rng) for i in chosen]
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
        yield _Batch(*parts)


def prefetch(items: Iterable[T]) -> Iterator[T]:
    """Yield the items, each made in a thread while the one before is used."""
    source = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="liverdx-draw") as pool:
        coming = pool.submit(next, source, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, source, None)
            yield item


def _n_classes(samples: TileDataset, network: TileModel, train: NDArray[np.intp], size: int) -> int:
    return len(samples.eval_tiles(int(train[0]), size, network.subtiles)[0].target)


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


def _set_rates(optimizer: torch.optim.Optimizer, config: TrainConfig, progress: float) -> None:
    span = max(1e-9, config.epochs - config.warmup_epochs)
    done = min(1.0, max(0.0, progress - config.warmup_epochs) / span)
    factor = 0.5 * (1 + math.cos(math.pi * done))
    for group in optimizer.param_groups:
        group["lr"] = group["full_rate"] * factor


def _balanced_order(
    labels: NDArray[np.intp], count: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """``count`` positions, each class as often as the others."""
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


def predict_dataset(
    network: TileModel, examples: list[Example], device: torch.device, batch_size: int = 32
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Logits for labelled examples; see `predict_examples` for more.

    Returns
    -------
    logits : Tensor, shape (n, classes), float32
    targets : Tensor, shape (n, classes), float32
    subtile_logits : Tensor or None, shape (n, classes, k, k), float32
    """
    found = predict_examples(network, examples, device, batch_size)
    targets = torch.from_numpy(np.stack([e.target for e in examples]))
    return found.logits, targets, found.subtile_logits


def _balanced_accuracy(predicted: NDArray[np.intp], labels: NDArray[np.intp]) -> float:
    return float(np.mean([np.mean(predicted[labels == c] == c) for c in np.unique(labels)]))
