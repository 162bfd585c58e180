"""All figures of merit of models on the same samples, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from napari_liverdx.core.errors import DataError
from napari_liverdx.metrics.bootstrap import GroupBootstrap
from napari_liverdx.metrics.classification import (
    MACRO_METRICS,
    Metric,
    sensitivity,
    specificity,
)
from napari_liverdx.metrics.predictions import LabeledPredictions
from napari_liverdx.models.calibration import expected_calibration_error
from napari_liverdx.models.card import Interval

__all__ = ["CALIBRATION", "class_metrics", "figures_of_merit"]

CALIBRATION = "expected calibration error"
"""Name of the calibration error among the figures."""


def class_metrics(predictions: LabeledPredictions, class_names: Sequence[str]) -> dict[str, Metric]:
    """Return sensitivity and specificity of each class for which there are samples."""
    metrics: dict[str, Metric] = {}
    for c, name in enumerate(class_names):
        if (predictions.labels == c).any():
            metrics[f"sensitivity {name}"] = sensitivity(c)
        if (predictions.labels != c).any():
            metrics[f"specificity {name}"] = specificity(c)
    return metrics


def figures_of_merit(
    predictions: Mapping[str, LabeledPredictions],
    class_names: Sequence[str],
    *,
    draws: int = 1000,
    macro: Mapping[str, Metric] = MACRO_METRICS,
    how: str = "",
) -> dict[str, dict[str, Interval]]:
    """Return every metric of every model with its interval; all models share the draws.

    Metrics that are not defined for the data are left out.

    Parameters
    ----------
    predictions : mapping of str to LabeledPredictions
        Of each model, for the same samples; at least one.
    class_names : sequence of str
        Names in output order.
    draws : int
        Bootstrap draws of groups.
    macro : mapping of str to Metric
        Figures over all classes.
    how : str
        What the samples are, kept with every value.

    Raises
    ------
    DataError
        If the models were not tested on the same tiles.
    """
    one = next(iter(predictions.values()))
    if any(not one.are_of_the_same(p) for p in predictions.values()):
        raise DataError(
            "the models were tested on different tiles; give all models of a comparison the same "
            "tile size"
        )
    metrics: dict[str, Metric] = {
        **macro,
        **class_metrics(one, class_names),
        CALIBRATION: expected_calibration_error,
    }
    bootstrap = GroupBootstrap.of(one.groups, draws)
    found = {}
    for model, p in predictions.items():
        rows = {name: bootstrap.interval(metric, p, how=how) for name, metric in metrics.items()}
        found[model] = {name: row for name, row in rows.items() if not np.isnan(row.value)}
    return found
