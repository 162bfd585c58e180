"""Everything a training run must remember between epochs."""

from __future__ import annotations

import copy
import math
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from napari_liverdx.core.errors import DataError
from napari_liverdx.models.architectures.base import TileModel
from napari_liverdx.training.config import EpochResult, TrainConfig
from napari_liverdx.training.keys import Key

__all__ = ["TrainState", "training_dtype"]


def training_dtype(config: TrainConfig, device: torch.device) -> torch.dtype:
    """Arithmetic of the forward pass on ``device``."""
    if config.precision == "auto":
        return torch.float16 if device.type == "cuda" else torch.float32
    dtype: torch.dtype = getattr(torch, config.precision)
    return dtype


@dataclass(slots=True)
class TrainState:
    """Optimiser, running mean of the weights, best weights, and how far the run is."""

    optimizer: torch.optim.AdamW
    mean: TileModel
    best_weights: dict[str, Tensor]
    epoch: int = 0
    best_loss: float = math.inf
    since_best: int = 0
    temperature: float = 1.0
    key: Key = field(default_factory=Key)
    scaler: torch.amp.GradScaler | None = None
    history: list[EpochResult] = field(default_factory=list)

    def record(
        self, loss: float, val_loss: float, accuracy: float, *, best: bool, config: TrainConfig
    ) -> EpochResult:
        """Keep and return the result of the last epoch."""
        stopped = self.since_best >= config.patience
        result = EpochResult(self.epoch, loss, val_loss, accuracy, best, stopped, self.temperature)
        self.history.append(result)
        return result

    @classmethod
    def start(cls, network: TileModel, config: TrainConfig, device: torch.device) -> TrainState:
        """A run that has not begun."""
        encoder = network.encoder_parameters()
        known = {id(p) for p in encoder}
        heads = [p for p in network.parameters() if id(p) not in known]
        groups: list[dict[str, Any]] = [{"params": heads, "lr": config.head_lr}]
        if encoder:
            # What is learned from nothing learns as fast as the heads.
            rate = config.encoder_lr if network.pretrained else config.head_lr
            groups.append({"params": encoder, "lr": rate})
        for group in groups:
            group["full_rate"] = group["lr"]
        optimizer = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
        half = training_dtype(config, device) is torch.float16
        scaler = torch.amp.GradScaler(device.type) if half else None
        best = copy.deepcopy(network.state_dict())
        return cls(optimizer, copy.deepcopy(network), best, scaler=scaler)

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
        """Write the state; the file appears whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        torch.save(
            {
                "network": network.state_dict(),
                "mean": self.mean.state_dict(),
                "optimiser": self.optimizer.state_dict(),
                "best_weights": self.best_weights,
                "key": self.key.id,
                "scaler": None if self.scaler is None else self.scaler.state_dict(),
                "history": [asdict(epoch) for epoch in self.history],
                "numbers": [self.epoch, self.best_loss, self.since_best, self.temperature],
            },
            partial,
        )
        os.replace(partial, path)

    def load(self, path: Path, network: nn.Module, device: torch.device) -> None:
        """Go on from a written state.

        Raises
        ------
        DataError
            If the file is damaged or of another run.
        """
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
        # What a damaged archive raises has no common base but Exception.
        except Exception as error:
            raise DataError(
                f"{path}: this checkpoint is damaged or of another run ({error}); remove it to "
                "start anew"
            ) from error
        self.best_weights = stored["best_weights"]
        epoch, self.best_loss, since_best, self.temperature = stored["numbers"]
        self.epoch, self.since_best = int(epoch), int(since_best)
