"""Figures for people: training curves, comparisons, ROC, confusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_liverdx._files import atomic_write
from napari_liverdx.core.errors import storage_errors
from napari_liverdx.experiments.compare import ComparisonResult
from napari_liverdx.metrics.classification import area_under_curve, roc_curve
from napari_liverdx.models.calibration import expected_calibration_error, reliability_bins
from napari_liverdx.training.curves import PALETTE, new_figure

__all__ = [
    "confusion_figure",
    "forest_figure",
    "reliability_figure",
    "roc_figure",
    "save_figures",
    "speed_figure",
]

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TICKS = tuple(m * 10**e for e in range(-1, 5) for m in (1, 2, 5))


def forest_figure(
    result: ComparisonResult, title: str, metric: str = "balanced accuracy"
) -> Figure:
    """Plot one line for each model: a metric with its interval, the best on top."""
    rows = sorted(result.models.items(), key=lambda kv: kv[1].metrics[metric].value)
    figure, (axis,) = new_figure(7.5, 0.34 * len(rows) + 1.3)
    for y, (name, model) in enumerate(rows):
        value = model.metrics[metric]
        low = value.value if value.low is None else value.low
        high = value.value if value.high is None else value.high
        color = PALETTE[0] if name == result.first else "#555555"
        axis.plot([low, high], [y, y], color=color, linewidth=2)
        marker = "o" if "ImageNet" in model.start else "s"
        axis.plot(value.value, y, marker, color=color, markersize=7)
    axis.set_yticks(range(len(rows)), [name for name, _ in rows])
    axis.set_xlabel(
        f"{metric}, 95 % interval over {result.groups} groups\n"
        "circle: starts from ImageNet, square: from nothing"
    )
    axis.set_title(title, loc="left", fontsize=11)
    return figure


def speed_figure(result: ComparisonResult, title: str, metric: str = "balanced accuracy") -> Figure:
    """Plot a metric against tiles per second, each model a numbered point."""
    from matplotlib.ticker import NullFormatter, ScalarFormatter

    figure, (axis,) = new_figure(8.5, 4.2)
    for number, (name, model) in enumerate(result.models.items(), 1):
        x, y = model.complexity.tiles_per_second, model.metrics[metric].value
        color = PALETTE[0] if name == result.first else "#555555"
        marker = "o" if "ImageNet" in model.start else "s"
        axis.plot(x, y, marker, color=color, markersize=13, alpha=0.85, label=f"{number}  {name}")
        place: dict[str, Any] = {"ha": "center", "va": "center", "color": "white", "fontsize": 7}
        axis.annotate(str(number), (x, y), **place)
    device = next(iter(result.models.values())).complexity.device
    axis.set(xscale="log", xlabel=f"tiles per second ({device})", ylabel=metric)
    axis.xaxis.set_major_formatter(ScalarFormatter())
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_xticks([t for t in _TICKS if axis.get_xlim()[0] <= t <= axis.get_xlim()[1]])
    axis.set_title(title, loc="left", fontsize=11)
    axis.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), markerscale=0.5)
    return figure


def roc_figure(
    probabilities: NDArray[np.float64], labels: NDArray[np.intp], names: Sequence[str]
) -> Figure:
    """Plot the receiver operating characteristic of each class against the others."""
    figure, (axis,) = new_figure(4.6, 4.4)
    for c, name in enumerate(names):
        positive = labels == c
        if positive.all() or not positive.any():
            continue
        x, y = roc_curve(probabilities[:, c], positive)
        both = np.stack([1 - probabilities[:, c], probabilities[:, c]], axis=1)
        area = area_under_curve(both, positive.astype(np.intp))
        color = PALETTE[c % len(PALETTE)]
        axis.plot(x, y, color=color, label=f"{name}: {area:.3f}")
    axis.plot([0, 1], [0, 1], color="#999999", linestyle=":")
    axis.set(xlabel="1 − specificity", ylabel="sensitivity", aspect="equal")
    axis.legend(frameon=False, title="area under curve", loc="lower right")
    return figure


def confusion_figure(table: NDArray[np.intp], names: Sequence[str]) -> Figure:
    """Plot counts by true and predicted class; color is the share of the true class."""
    side = 1.6 + 0.9 * len(names)
    figure, (axis,) = new_figure(side + 0.6, side)
    axis.grid(visible=False)
    share = table / np.maximum(1, table.sum(axis=1, keepdims=True))
    axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, col), count in np.ndenumerate(table):
        color = "white" if share[row, col] > 0.55 else "black"
        axis.text(col, row, str(count), ha="center", va="center", color=color)
    axis.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axis.set_yticks(range(len(names)), names)
    axis.set(xlabel="predicted", ylabel="true")
    return figure


def save_figures(folder: Path, figures: Mapping[str, Figure]) -> None:
    """Write each figure as PNG under its name."""
    for name, figure in figures.items():
        path = folder / f"{name}.png"
        with (
            storage_errors(path, "the tables are kept"),
            atomic_write(path, make_folder=True) as partial,
        ):
            figure.savefig(partial, format="png", metadata={"Software": None})


def reliability_figure(
    probabilities: NDArray[np.floating], labels: NDArray[np.intp], bins: int = 15
) -> Figure:
    """Plot a reliability diagram (Guo et al. 2017): accuracy and counts by confidence.

    Parameters
    ----------
    probabilities : ndarray of float, shape (n, classes)
        Predicted probabilities.
    labels : ndarray of int, shape (n,)
        True classes.
    bins : int
        Bins of equal width.

    Raises
    ------
    DataError
        If matplotlib is not installed.
    """
    figure, (left, right) = new_figure(7, 3.2, 2)
    found = reliability_bins(probabilities, labels, bins)
    left.plot([0, 1], [0, 1], color="#8b8f98", linewidth=1, linestyle="--", label="perfect")
    confidence, accuracy = [b.confidence for b in found], [b.accuracy for b in found]
    left.plot(confidence, accuracy, "o-", color=PALETTE[0], label="model")
    left.set(xlim=(0, 1), ylim=(0, 1), xlabel="Confidence", ylabel="Accuracy", aspect="equal")
    error = expected_calibration_error(np.asarray(probabilities, np.float64), labels, bins)
    left.set_title(f"Expected calibration error {error:.3f}", fontsize=10)
    left.legend(frameon=False)
    right.bar([b.low for b in found], [b.count for b in found], 1 / bins, 0, align="edge")
    right.set(xlim=(0, 1), xlabel="Confidence", ylabel="Samples")
    return figure
