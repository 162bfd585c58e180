"""The course of a training as a table and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_liverdx._files import atomic_write
from napari_liverdx.core.errors import DataError, storage_errors
from napari_liverdx.training.config import EpochResult, history_csv

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["PALETTE", "new_figure", "training_figure", "write_curves", "write_history"]

_WHOLE = "the model itself is whole"

# Okabe & Ito 2008: told apart by people with any color vision.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def new_figure(width: float, height: float, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """Create an empty figure with plain axes side by side; sizes in inches.

    Raises
    ------
    DataError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DataError("figures need matplotlib; pip install 'napari-liverdx[train]'") from error
    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    axes = [figure.add_subplot(1, columns, i + 1) for i in range(columns)]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(visible=True, color="#e6e6e6", linewidth=0.8)
        axis.set_axisbelow(True)
    return figure, axes


def training_figure(epochs: Sequence[EpochResult]) -> Figure:
    """Plot losses and balanced accuracy by epoch; the kept epoch is marked."""
    figure, (left, right) = new_figure(8, 3.2, 2)
    from matplotlib.ticker import AutoLocator

    numbers = [e.epoch for e in epochs]
    left.plot(numbers, [e.train_loss for e in epochs], "o-", color=PALETTE[0], label="training")
    left.plot(numbers, [e.val_loss for e in epochs], "o-", color=PALETTE[1], label="validation")
    left.set(xlabel="epoch", ylabel="loss")
    right.plot(numbers, [e.val_balanced_accuracy for e in epochs], "o-", color=PALETTE[1])
    right.set(xlabel="epoch", ylabel="balanced accuracy, validation", ylim=(0, 1.02))
    kept = [e.epoch for e in epochs if e.best]
    for axis in (left, right):
        locator = AutoLocator()
        locator.set_params(integer=True)
        axis.xaxis.set_major_locator(locator)
        if kept:
            axis.axvline(kept[-1], color="#999999", linestyle=":", label=f"kept: {kept[-1]}")
    left.legend(frameon=False)
    return figure


def write_history(model_file: Path, history: Sequence[EpochResult]) -> Path:
    """Write the epochs of a training beside its model, as ``MODEL.history.csv``.

    Raises
    ------
    ResultError, StorageFullError
        If it cannot be written, or the disk is full.
    """
    path = _beside(model_file, "history.csv")
    with storage_errors(path, _WHOLE), atomic_write(path) as partial:
        partial.write_text(history_csv(history), encoding="utf-8")
    return path


def write_curves(model_file: Path, history: Sequence[EpochResult]) -> Path:
    """Draw the epochs of a training beside its model, as ``MODEL.curves.png``.

    Raises
    ------
    DataError
        If matplotlib is not installed.
    ResultError, StorageFullError
        If it cannot be written, or the disk is full.
    """
    path = _beside(model_file, "curves.png")
    figure = training_figure(history)
    with storage_errors(path, _WHOLE), atomic_write(path) as partial:
        figure.savefig(partial, format="png", metadata={"Software": None})
    return path


def _beside(model_file: Path, name: str) -> Path:
    base = model_file.name.removesuffix(".safetensors")
    return model_file.with_name(f"{base}.{name}")
