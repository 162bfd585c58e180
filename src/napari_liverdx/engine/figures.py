"""Figures about how far probabilities can be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.engine.plots import PALETTE, new_figure
from napari_liverdx.models.calibration import expected_calibration_error, reliability_bins

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["reliability_figure"]


def reliability_figure(
    probabilities: NDArray[np.floating], labels: NDArray[np.intp], bins: int = 15
) -> Figure:
    """A reliability diagram (Guo et al. 2017): accuracy against confidence, and how many samples.

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
