"""Settings of a training run and what its epochs report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["EpochResult", "FitSettings", "TrainConfig", "history_csv"]


@dataclass(frozen=True, slots=True)
class FitSettings:
    """What the training loop itself must know.

    Attributes
    ----------
    epochs, patience : int
        In all, and without a better validation loss before stopping.
    warmup_epochs : int
        At the full learning rate, before it decays.
    ema_decay : float
        Per step, of the running mean of the weights that is validated and kept; 0 for none.
    clip : float
        Largest norm of the gradient.
    """

    epochs: int
    patience: int
    warmup_epochs: int = 0
    ema_decay: float = 0.0
    clip: float = 5.0


class TrainConfig(BaseModel):
    """Settings of a training run.

    Attributes
    ----------
    epochs, warmup_epochs : int
        In all, and at the start with the encoder frozen.
    frozen_share : float
        Share of the encoder's parameter tensors, from the input on, that stay as pre-trained:
        edges and colors need no relearning, and training is twice as fast.
    tiles_per_epoch, batch_size : int
    head_lr, encoder_lr, weight_decay : float
        AdamW; cosine decay to zero after the warm-up.
    ema_decay : float
        Per step, of the running mean of the weights that is validated and kept; 0 for none.
    patience : int
        Epochs without a better validation loss before stopping.
    subtile_weight : float
        Weight of the subtile loss beside the tile loss.
    stain_sigma : float
        Strength of the stain augmentation in HED space; see `augment.jitter_stain`.
    balance : {"draw", "weights", "none"}
        Against unequal classes: draw each as often, weigh the loss by inverse frequency, or leave
        them as they are.
    focal_gamma : float
        Exponent of the focal loss (Lin et al. 2017, arXiv:1708.02002); 0 is cross entropy.
    mixup : float
        Parameter of mixup's beta distribution (Zhang et al. 2018, arXiv:1710.09412); 0 for none.
    precision : {"auto", "float32", "float16", "bfloat16"}
        Arithmetic of the forward pass (automatic mixed precision); ``auto`` is float16 with loss
        scaling on CUDA, float32 elsewhere.
    seed : int
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )

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
    subtile_weight: float = Field(default=1.0, ge=0, alias="cell_weight")
    stain_sigma: float = Field(default=0.2, ge=0)
    balance: Literal["draw", "weights", "none"] = "draw"
    focal_gamma: float = Field(default=0.0, ge=0)
    mixup: float = Field(default=0.0, ge=0)
    precision: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    seed: int = 0

    @property
    def fit_settings(self) -> FitSettings:
        """What of them is the training loop's."""
        return FitSettings(self.epochs, self.patience, self.warmup_epochs, self.ema_decay)

    @model_validator(mode="before")
    @classmethod
    def _newer_name_wins(cls, fields: Any) -> Any:
        # A recipe may be laid over another that spells this setting in the first version's way.
        if isinstance(fields, dict) and {"subtile_weight", "cell_weight"} <= fields.keys():
            return {k: v for k, v in fields.items() if k != "cell_weight"}
        return fields


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
    restored : bool
        Whether the epoch was trained before this run was resumed.
    """

    epoch: int
    train_loss: float
    val_loss: float
    val_balanced_accuracy: float
    best: bool
    stopped_early: bool
    temperature: float
    restored: bool = False


def history_csv(epochs: Sequence[EpochResult]) -> str:
    """Return the course of a training as CSV, a line for each epoch."""
    lines = ["epoch,train_loss,val_loss,val_balanced_accuracy,best,temperature"]
    lines += [
        f"{e.epoch},{e.train_loss:.6f},{e.val_loss:.6f},{e.val_balanced_accuracy:.6f},"
        f"{int(e.best)},{e.temperature:.4f}"
        for e in epochs
    ]
    return "\n".join(lines) + "\n"
