"""Transfer learning: a frozen warm-up, then the whole network, with early stopping."""

from __future__ import annotations

import copy
import hashlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from napari_liverdx.core.errors import DataError
from napari_liverdx.engine.augment import dihedral, jitter_stain
from napari_liverdx.engine.samples import Example, Samples
from napari_liverdx.models.base import TileModel, TileOutput
from napari_liverdx.models.calibration import fit_temperature

__all__ = ["EpochResult", "TrainConfig", "fine_tune", "predict_samples"]


class TrainConfig(BaseModel):
    """Settings of a training run.

    Attributes
    ----------
    epochs, warmup_epochs : int
        In all, and at the start with the encoder frozen.
    frozen_share : float
        Share of the encoder's parameter tensors, from the input on, that stay as pre-trained:
        edges and colours need no relearning, and training is twice as fast.
    tiles_per_epoch, batch_size : int
    head_lr, encoder_lr, weight_decay : float
        AdamW; cosine decay to zero after the warm-up.
    ema_decay : float
        Per step, of the running mean of the weights that is validated and kept; 0 for none.
    patience : int
        Epochs without a better validation loss before stopping.
    cell_weight : float
        Weight of the cell loss beside the tile loss.
    stain_sigma : float
        Strength of the stain augmentation.
    seed : int
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(default=12, ge=1)
    warmup_epochs: int = Field(default=2, ge=0)
    frozen_share: float = Field(default=0.31, ge=0, le=1)
    tiles_per_epoch: int = Field(default=480, ge=1)
    batch_size: int = Field(default=24, ge=2)
    head_lr: float = Field(default=1e-3, gt=0)
    encoder_lr: float = Field(default=1.5e-4, gt=0)
    weight_decay: float = Field(default=0.02, ge=0)
    ema_decay: float = Field(default=0.97, ge=0, lt=1)
    patience: int = Field(default=5, ge=1)
    cell_weight: float = Field(default=1.0, ge=0)
    stain_sigma: float = Field(default=0.2, ge=0)
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class EpochResult:
    """What one epoch gave.

    Attributes
    ----------
    epoch : int
        From 1.
    train_loss, val_loss, val_balanced_accuracy : float
    best : bool
        Whether this is the best validation loss so far.
    stopped_early : bool
    temperature : float
        Fitted on the validation samples with the best weights so far.
    """

    epoch: int
    train_loss: float
    val_loss: float
    val_balanced_accuracy: float
    best: bool
    stopped_early: bool
    temperature: float


def fine_tune(
    network: TileModel,
    samples: Samples,
    train: NDArray[np.intp],
    val: NDArray[np.intp],
    *,
    size: int,
    config: TrainConfig,
    device: torch.device | None = None,
    checkpoint: Path | None = None,
) -> Iterator[EpochResult]:
    """Train ``network`` in place; stop it by closing the generator.

    When the generator ends, by itself or closed, the network holds the weights of the epoch with
    the best validation loss. With ``checkpoint`` the state is saved after every epoch and found
    again at the next call; random draws depend on seed and epoch alone, so a resumed run gives
    what an uninterrupted one gives.

    Parameters
    ----------
    network : TileModel
        The network.
    samples : Samples
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
    device = device or torch.device("cpu")
    network.to(device, memory_format=torch.channels_last)
    state = _TrainState.start(network, config)
    state.key = _run_key(samples, train, val, size, config)
    if checkpoint is not None and checkpoint.exists():
        state.load(checkpoint, network, device)
        if state.epoch >= config.epochs or state.since_best >= config.patience:
            network.load_state_dict(state.best_weights)
            network.eval()
            yield state.result(math.nan, math.nan, math.nan, best=False, config=config)
            return
    held_out = [e for i in val for e in samples.fixed(int(i), size, network.cells)]
    try:
        while state.epoch < config.epochs and state.since_best < config.patience:
            loss = _train_epoch(network, samples, train, size, config, state, device)
            logits, targets, _ = predict_samples(state.mean, held_out, device, config.batch_size)
            val_loss = float(cross_entropy(logits, targets))
            if not math.isfinite(loss + val_loss):
                raise DataError(
                    "training diverged (the loss is not finite); lower the learning rate"
                )
            best = state.finish_epoch(val_loss, fit_temperature(logits, targets))
            if checkpoint is not None:
                state.save(checkpoint, network)
            accuracy = _balanced_accuracy(logits.argmax(1).numpy(), targets.argmax(1).numpy())
            yield state.result(loss, val_loss, accuracy, best=best, config=config)
    finally:
        network.load_state_dict(state.best_weights)
        network.eval()


def _run_key(
    samples: Samples,
    train: NDArray[np.intp],
    val: NDArray[np.intp],
    size: int,
    config: TrainConfig,
) -> str:
    """What a checkpoint must agree on to be resumed."""
    parts = (config.model_dump(), size, samples.names, samples.labels.tolist())
    text = repr((*parts, train.tolist(), val.tolist()))
    return hashlib.sha256(text.encode()).hexdigest()


def _check_split(samples: Samples, train: NDArray[np.intp], val: NDArray[np.intp]) -> None:
    if not len(train) or not len(val):
        raise DataError("training needs samples to learn from and samples to validate on")
    shared = set(samples.groups[train]) & set(samples.groups[val])
    if shared:
        raise DataError(
            f"group {min(shared)!r} stands in training and validation; split by patient or slide"
        )


@dataclass(slots=True)
class _TrainState:
    optimiser: torch.optim.AdamW
    mean: TileModel
    best_weights: dict[str, Tensor]
    epoch: int = 0
    best_loss: float = math.inf
    since_best: int = 0
    temperature: float = 1.0
    key: str = ""

    def result(
        self, loss: float, val_loss: float, accuracy: float, *, best: bool, config: TrainConfig
    ) -> EpochResult:
        """The state as the result of its last epoch."""
        stopped = self.since_best >= config.patience
        return EpochResult(self.epoch, loss, val_loss, accuracy, best, stopped, self.temperature)

    @classmethod
    def start(cls, network: TileModel, config: TrainConfig) -> _TrainState:
        encoder = network.encoder_parameters()
        known = {id(p) for p in encoder}
        heads = [p for p in network.parameters() if id(p) not in known]
        groups: list[dict[str, Any]] = [{"params": heads, "lr": config.head_lr}]
        if encoder:
            groups.append({"params": encoder, "lr": config.encoder_lr})
        optimiser = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
        return cls(optimiser, copy.deepcopy(network), copy.deepcopy(network.state_dict()))

    @torch.no_grad()
    def average(self, network: nn.Module, decay: float) -> None:
        """Move the running mean a step towards the weights."""
        for kept, new in zip(
            self.mean.state_dict().values(), network.state_dict().values(), strict=True
        ):
            if kept.is_floating_point():
                kept.lerp_(new, 1 - decay)
            else:
                kept.copy_(new)

    def finish_epoch(self, loss: float, temperature: float) -> bool:
        """Count the epoch; True if it is the best so far."""
        self.epoch += 1
        if loss < self.best_loss:
            self.best_loss, self.temperature, self.since_best = loss, temperature, 0
            self.best_weights = copy.deepcopy(self.mean.state_dict())
            return True
        self.since_best += 1
        return False

    def save(self, path: Path, network: nn.Module) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        torch.save(
            {
                "network": network.state_dict(),
                "mean": self.mean.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "best_weights": self.best_weights,
                "key": self.key,
                "numbers": [self.epoch, self.best_loss, self.since_best, self.temperature],
            },
            partial,
        )
        os.replace(partial, path)

    def load(self, path: Path, network: nn.Module, device: torch.device) -> None:
        try:
            stored = torch.load(path, map_location=device, weights_only=True)
            if stored["key"] != self.key:
                raise ValueError("its settings, data or split are others")
            network.load_state_dict(stored["network"])
            self.mean.load_state_dict(stored["mean"])
            self.optimiser.load_state_dict(stored["optimiser"])
        # What a damaged archive raises has no common base but Exception.
        except Exception as error:
            raise DataError(
                f"{path}: this checkpoint is damaged or of another run ({error}); remove it to "
                "start anew"
            ) from error
        self.best_weights = stored["best_weights"]
        epoch, self.best_loss, since_best, self.temperature = stored["numbers"]
        self.epoch, self.since_best = int(epoch), int(since_best)


def _train_epoch(
    network: TileModel,
    samples: Samples,
    train: NDArray[np.intp],
    size: int,
    config: TrainConfig,
    state: _TrainState,
    device: torch.device,
) -> float:
    rng = np.random.default_rng((config.seed, state.epoch))
    generator = torch.Generator().manual_seed(config.seed * 1_000_003 + state.epoch)
    torch.manual_seed(config.seed * 1_000_003 + state.epoch)
    frozen = state.epoch < config.warmup_epochs
    network.train()
    _freeze_encoder(network, 1.0 if frozen else config.frozen_share)
    order = _balanced_order(samples.labels[train], config.tiles_per_epoch, rng)
    steps = max(1, len(order) // config.batch_size)
    total = 0.0
    for step in range(steps):
        _set_rates(state.optimiser, config, state.epoch + step / steps)
        chosen = train[order[step * config.batch_size : (step + 1) * config.batch_size]]
        batch = [samples.draw(int(i), size, network.cells, rng) for i in chosen]
        tiles, target, cells = _collate(batch)
        grids = dihedral([tiles] if cells is None else [tiles, cells], generator)
        x = jitter_stain(grids[0], generator, sigma=config.stain_sigma)
        x = x.to(device).contiguous(memory_format=torch.channels_last)
        output = _as_logits(network, network(x))
        loss = _loss(
            output, target.to(device), None if cells is None else grids[1].to(device), config
        )
        state.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        state.optimiser.step()
        state.average(network, config.ema_decay)
        total += loss.item()
    return total / steps


def _loss(output: TileOutput, target: Tensor, cells: Tensor | None, config: TrainConfig) -> Tensor:
    loss = cross_entropy(output.scores, target)
    if cells is not None and output.cell_scores is not None:
        loss = loss + config.cell_weight * cross_entropy(output.cell_scores, cells)
    return loss


def _as_logits(network: TileModel, output: TileOutput) -> TileOutput:
    """The output with logits; the logarithm of probabilities is as good."""
    if network.output == "logits":
        return output
    cells = None if output.cell_scores is None else output.cell_scores.clamp_min(1e-7).log()
    return output._replace(scores=output.scores.clamp_min(1e-7).log(), cell_scores=cells)


def _freeze_encoder(network: TileModel, share: float) -> None:
    parameters = network.encoder_parameters()
    for position, parameter in enumerate(parameters):
        parameter.requires_grad_(position >= share * len(parameters))
    known = {id(p) for p in parameters}
    # Batches are too small to re-estimate ImageNet's batch statistics.
    for module in network.modules():
        own = list(module.parameters(recurse=False))
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and own and id(own[0]) in known:
            module.eval()


def _set_rates(optimiser: torch.optim.Optimizer, config: TrainConfig, progress: float) -> None:
    span = max(1e-9, config.epochs - config.warmup_epochs)
    done = min(1.0, max(0.0, progress - config.warmup_epochs) / span)
    factor = 0.5 * (1 + math.cos(math.pi * done))
    for group, rate in zip(
        optimiser.param_groups, (config.head_lr, config.encoder_lr), strict=False
    ):
        group["lr"] = rate * factor


def _balanced_order(
    labels: NDArray[np.intp], count: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """``count`` positions, each class as often as the others."""
    sizes = np.bincount(labels)
    weights = 1.0 / sizes[labels]
    return rng.choice(len(labels), size=count, p=weights / weights.sum())


def _collate(batch: list[Example]) -> tuple[Tensor, Tensor, Tensor | None]:
    tiles = torch.from_numpy(np.stack([e.tile for e in batch])).permute(0, 3, 1, 2)
    target = torch.from_numpy(np.stack([e.target for e in batch]))
    cells = [e.cells for e in batch if e.cells is not None]
    if len(cells) < len(batch):
        return tiles, target, None
    return tiles, target, torch.from_numpy(np.stack(cells))


@torch.inference_mode()
def predict_samples(
    network: TileModel, examples: list[Example], device: torch.device, batch_size: int = 32
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Logits for labelled examples.

    Returns
    -------
    logits : Tensor, shape (n, classes), float32
    targets : Tensor, shape (n, classes), float32
    cell_logits : Tensor or None, shape (n, classes, k, k), float32
    """
    network.eval()
    scores, cells = [], []
    for start in range(0, len(examples), batch_size):
        tiles, _, _ = _collate(examples[start : start + batch_size])
        tiles = tiles.to(device).contiguous(memory_format=torch.channels_last)
        output = _as_logits(network, network(tiles))
        scores.append(output.scores.float().cpu())
        if output.cell_scores is not None:
            cells.append(output.cell_scores.float().cpu())
    targets = torch.from_numpy(np.stack([e.target for e in examples]))
    return torch.cat(scores), targets, torch.cat(cells) if cells else None


def _balanced_accuracy(predicted: NDArray[np.intp], labels: NDArray[np.intp]) -> float:
    return float(np.mean([np.mean(predicted[labels == c] == c) for c in np.unique(labels)]))
