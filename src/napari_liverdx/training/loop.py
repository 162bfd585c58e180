"""The one training loop: epochs of batches, a running mean that is validated, the best kept."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from napari_liverdx.core.errors import DataError
from napari_liverdx.training.config import EpochResult, FitSettings
from napari_liverdx.training.distributed import average_buffers, data_parallel, from_first, world
from napari_liverdx.training.state import TrainState

__all__ = ["OnBatch", "TrainTask", "Validation", "fit", "prefetch"]

T = TypeVar("T")
N = TypeVar("N", bound=nn.Module)
B = TypeVar("B")

OnBatch = Callable[[int, int], bool]
"""Called after each batch with its number, from 1, and how many there are; False ends training."""


@dataclass(frozen=True, slots=True)
class Validation:
    """What validation samples say of a network.

    Attributes
    ----------
    loss : float
    balanced_accuracy : float
        NaN where it is not measured.
    temperature : float
        Fitted on the same samples.
    """

    loss: float
    balanced_accuracy: float = math.nan
    temperature: float = 1.0


class TrainTask(ABC, Generic[N, B]):
    """What a network is to learn: batches, their loss, and how it is judged."""

    @property
    @abstractmethod
    def steps(self) -> int:
        """Number of batches in an epoch."""

    @abstractmethod
    def prepare(self, network: N, epoch: int) -> None:
        """Freeze what stays as it is in an epoch; the network is in training mode."""

    @abstractmethod
    def batches(self, epoch: int) -> Iterator[B]:
        """Yield the batches of an epoch; random draws depend on seed and epoch alone."""

    @abstractmethod
    def loss(self, network: N, batch: B) -> Tensor:
        """Return the loss of a network on a batch, a scalar."""

    @abstractmethod
    def validate(self, network: N) -> Validation:
        """Judge a network on samples that it does not learn from."""


class _Objective(nn.Module, Generic[N, B]):
    """A network and its loss as one module: what several processes share the gradients of."""

    def __init__(self, network: N, task: TrainTask[N, B]) -> None:
        super().__init__()
        self.network = network
        self._task = task

    def forward(self, batch: B) -> Tensor:
        return self._task.loss(self.network, batch)


def fit(
    network: N,
    task: TrainTask[N, B],
    settings: FitSettings,
    state: TrainState[N],
    *,
    checkpoint: Path | None = None,
    on_batch: OnBatch | None = None,
) -> Generator[EpochResult, None, None]:
    """Train ``network`` in place; stop it by closing the generator.

    When the generator ends, by itself or closed, the network holds the weights of the epoch with
    the best validation loss and is in evaluation mode. With ``checkpoint`` the state is saved
    after every epoch and found again at the next call, which first yields the epochs that were
    trained before; a resumed run gives what an uninterrupted one gives. Among several processes
    gradients are averaged.

    Parameters
    ----------
    network : Module
        On the device to train on.
    task : TrainTask
        Batches, loss and validation.
    settings : FitSettings
        How many epochs, learning rate over time, running mean, when to stop.
    state : TrainState
        Optimizer and running mean, as `TrainState.start` makes them.
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
        If the loss is no longer finite, or the checkpoint is of another run.
    """
    if checkpoint is not None and checkpoint.exists():
        state.load(checkpoint, network)
    try:
        yield from list(state.history)
        while not state.is_finished(settings):
            loss = _train_epoch(network, task, settings, state, on_batch)
            if loss is None:
                return
            average_buffers(network, state.mean)
            seen = task.validate(state.mean)
            loss, *values = from_first([loss, seen.loss, seen.balanced_accuracy, seen.temperature])
            seen = Validation(*values)
            if not math.isfinite(loss + seen.loss):
                raise DataError(
                    "training diverged (the loss is not finite); lower the learning rate or learn "
                    "from more samples"
                )
            result = state.finish_epoch(
                loss, seen.loss, seen.balanced_accuracy, seen.temperature, settings.patience
            )
            if checkpoint is not None and world()[0] == 0:
                state.save(checkpoint, network)
            yield result
    finally:
        network.load_state_dict(state.best_weights)
        network.eval()


def _train_epoch(
    network: N,
    task: TrainTask[N, B],
    settings: FitSettings,
    state: TrainState[N],
    on_batch: OnBatch | None,
) -> float | None:
    """Train an epoch and return its mean loss; None if it was stopped."""
    network.train()
    task.prepare(network, state.epoch)
    # Anew for each epoch: what is frozen takes no part in the exchange of gradients.
    objective = data_parallel(_Objective(network, task))
    total = 0.0
    for step, batch in enumerate(task.batches(state.epoch)):
        _set_rates(state.optimizer, settings, state.epoch + step / task.steps)
        loss = objective(batch)
        _step(network, loss, state, settings.clip)
        state.average(network, settings.ema_decay)
        total += loss.item()
        if on_batch is not None and not on_batch(step + 1, task.steps):
            return None
    return total / task.steps


def _step(network: nn.Module, loss: Tensor, state: TrainState[N], clip: float) -> None:
    optimizer, scaler = state.optimizer, state.scaler
    optimizer.zero_grad(set_to_none=True)
    (loss if scaler is None else scaler.scale(loss)).backward()  # type: ignore[no-untyped-call]
    if scaler is not None:
        scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(network.parameters(), clip)
    if scaler is None:
        optimizer.step()
    else:
        scaler.step(optimizer)
        scaler.update()


def _set_rates(optimizer: torch.optim.Optimizer, settings: FitSettings, progress: float) -> None:
    """Set the rates by cosine decay to zero after the warm-up."""
    span = max(1e-9, settings.epochs - settings.warmup_epochs)
    done = min(1.0, max(0.0, progress - settings.warmup_epochs) / span)
    factor = 0.5 * (1 + math.cos(math.pi * done))
    for group in optimizer.param_groups:
        group["lr"] = group["full_rate"] * factor


def prefetch(items: Iterable[T]) -> Iterator[T]:
    """Yield the items, each made in a thread while the one before is used."""
    source = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="liverdx-draw") as pool:
        coming = pool.submit(next, source, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, source, None)
            yield item
