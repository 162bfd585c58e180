"""Everything a training run must remember between epochs."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from napari_liverdx._files import atomic_write
from napari_liverdx.core.errors import DataError, storage_errors
from napari_liverdx.training.config import EpochResult, FitSettings
from napari_liverdx.training.keys import Key

__all__ = ["TrainState"]

N = TypeVar("N", bound=nn.Module)


@dataclass(slots=True)
class TrainState(Generic[N]):
    """Optimizer, running mean of the weights, best weights, and how far the run is."""

    optimizer: torch.optim.AdamW
    mean: N
    best_weights: dict[str, Tensor]
    epoch: int = 0
    best_loss: float = math.inf
    since_best: int = 0
    temperature: float = 1.0
    key: Key = field(default_factory=Key)
    scaler: torch.amp.GradScaler | None = None
    history: list[EpochResult] = field(default_factory=list)

    @classmethod
    def start(
        cls,
        network: N,
        rates: Sequence[tuple[Iterable[nn.Parameter], float]],
        weight_decay: float,
        *,
        scaler: torch.amp.GradScaler | None = None,
        key: Key | None = None,
    ) -> TrainState[N]:
        """Return a run that has not begun.

        Parameters
        ----------
        network : Module
            As training starts, on its device.
        rates : sequence of (parameters, float)
            Parameters and their learning rates before decay; groups without any are left out.
        weight_decay : float
            Of AdamW.
        scaler : GradScaler, optional
            For half precision.
        key : Key, optional
            What a checkpoint must agree on to be resumed.
        """
        listed = [(list(parameters), rate) for parameters, rate in rates]
        groups = [{"params": p, "lr": rate, "full_rate": rate} for p, rate in listed if p]
        optimizer = torch.optim.AdamW(groups, weight_decay=weight_decay)
        best = copy.deepcopy(network.state_dict())
        return cls(optimizer, copy.deepcopy(network), best, scaler=scaler, key=key or Key())

    def is_finished(self, settings: FitSettings) -> bool:
        """Return whether all epochs are done, or the last best one is too long ago."""
        return self.epoch >= settings.epochs or self.since_best >= settings.patience

    @torch.no_grad()
    def average(self, network: nn.Module, decay: float) -> None:
        """Move the running mean a step towards the weights; all the way without ``decay``."""
        for kept, new in zip(
            self.mean.state_dict().values(), network.state_dict().values(), strict=True
        ):
            if kept.is_floating_point():
                kept.lerp_(new, 1 - decay)
            else:
                kept.copy_(new)

    def finish_epoch(
        self, loss: float, val_loss: float, accuracy: float, temperature: float, patience: int
    ) -> EpochResult:
        """Count an epoch, keep its weights if it is the best so far, and return its result."""
        self.epoch += 1
        best = val_loss < self.best_loss
        if best:
            self.best_loss, self.temperature, self.since_best = val_loss, temperature, 0
            self.best_weights = copy.deepcopy(self.mean.state_dict())
        else:
            self.since_best += 1
        stopped = self.since_best >= patience
        result = EpochResult(self.epoch, loss, val_loss, accuracy, best, stopped, self.temperature)
        self.history.append(result)
        return result

    def save(self, path: Path, network: nn.Module) -> None:
        """Write the state; the file appears whole or not at all.

        Raises
        ------
        ResultError, StorageFullError
            If it cannot be written, or the disk is full; the state written before is kept.
        """
        stored = {
            "network": network.state_dict(),
            "mean": self.mean.state_dict(),
            "optimiser": self.optimizer.state_dict(),
            "best_weights": self.best_weights,
            "key": self.key.id,
            "scaler": None if self.scaler is None else self.scaler.state_dict(),
            "history": [asdict(epoch) for epoch in self.history],
            "numbers": [self.epoch, self.best_loss, self.since_best, self.temperature],
        }
        kept = "training resumes from the last state that was written, or anew"
        # Through Python's own file, whose errors tell a full disk.
        with (
            storage_errors(path, kept),
            atomic_write(path, make_folder=True) as partial,
            partial.open("wb") as file,
        ):
            torch.save(stored, file)

    def load(self, path: Path, network: nn.Module) -> None:
        """Go on from a written state.

        Raises
        ------
        DataError
            If the file is damaged or of another run.
        """
        device = next(network.parameters()).device
        try:
            stored = torch.load(path, map_location=device, weights_only=True)
            if not self.key.is_of(stored["key"]):
                raise ValueError("its settings, data or split are others")
            network.load_state_dict(stored["network"])
            self.mean.load_state_dict(stored["mean"])
            self.optimizer.load_state_dict(stored["optimiser"])
            if self.scaler is not None and stored["scaler"] is not None:
                self.scaler.load_state_dict(stored["scaler"])
            self.history = [EpochResult(**{**e, "restored": True}) for e in stored["history"]]
            best_weights = stored["best_weights"]
            epoch, best_loss, since_best, temperature = stored["numbers"]
        # What a damaged archive raises has no common base but Exception.
        except Exception as error:
            raise DataError(
                f"{path}: this checkpoint is damaged or of another run ({error}); remove it to "
                "start anew"
            ) from error
        self.best_weights, self.best_loss, self.temperature = best_weights, best_loss, temperature
        self.epoch, self.since_best = int(epoch), int(since_best)
