"""What grouped cross-validation showed, as numbers for the card and the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.experiments.crossval import Fold
from napari_liverdx.metrics.bootstrap import evaluate_predictions
from napari_liverdx.models.calibration import expected_calibration_error
from napari_liverdx.models.card import Interval
from napari_liverdx.training.data._all import TileDataset

__all__ = ["softmax", "summarise_folds"]


def softmax(scores: NDArray[Any], temperature: float = 1.0) -> NDArray[np.float64]:
    """Probabilities from logits, shape (n, classes)."""
    scaled = scores.astype(np.float64) / temperature
    scaled = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(scaled / scaled.sum(axis=1, keepdims=True))


def summarise_folds(
    folds: Sequence[Fold], samples: TileDataset, class_names: Sequence[str]
) -> dict[str, dict[str, Interval]]:
    """Metrics over all folds, each sample predicted by the model that did not see it.

    A tile is *clear* if its target is one class; tiles between two classes (see `LabelRule`)
    are counted in the sections named ``all``, under the class they are closer to.

    Returns
    -------
    dict of section to dict of metric to Interval
        Sections ``clear``, ``all``, ``subtiles``, ``second source clear`` and ``second source all``
        where they apply.
    """
    index = np.concatenate([f.index for f in folds])
    targets = np.concatenate([f.targets for f in folds])
    before = np.concatenate([softmax(f.scores) for f in folds])
    after = np.concatenate([softmax(f.scores, f.temperature) for f in folds])
    labels = targets.argmax(axis=1)
    groups = samples.groups[index]
    sections: dict[str, dict[str, Interval]] = {}
    for name, keep in (("clear", targets.max(axis=1) >= 0.999), ("all", targets.max(axis=1) > 0)):
        rows = evaluate_predictions(
            after[keep], labels[keep], groups[keep], class_names, f"grouped folds, {name} tiles"
        )
        rows["expected calibration error before temperature scaling"] = Interval(
            value=round(expected_calibration_error(before[keep], labels[keep]), 4)
        )
        sections[name] = rows
    sections |= _cells(folds, groups, class_names)
    sections |= _second_source(folds, samples, class_names)
    return sections


def _cells(
    folds: Sequence[Fold], groups: NDArray[np.str_], class_names: Sequence[str]
) -> dict[str, dict[str, Interval]]:
    parts = [
        (f.subtile_scores, f.subtile_targets)
        for f in folds
        if f.subtile_scores is not None and f.subtile_targets is not None
    ]
    if len(parts) < len(folds):
        return {}
    scores = np.concatenate([np.moveaxis(s, 1, -1) for s, _ in parts])
    targets = np.concatenate([np.moveaxis(t, 1, -1) for _, t in parts])
    owners = np.broadcast_to(groups[:, None, None], targets.shape[:3]).ravel()
    scores, targets = (a.reshape(-1, a.shape[-1]) for a in (scores, targets))
    clear = targets.max(axis=1) >= 0.999
    return {
        "cells": evaluate_predictions(
            softmax(scores[clear]),
            targets[clear].argmax(axis=1),
            owners[clear],
            class_names,
            "grouped folds, clear cells",
        )
    }


def _second_source(
    folds: Sequence[Fold], samples: TileDataset, class_names: Sequence[str]
) -> dict[str, dict[str, Interval]]:
    if not len(folds[0].second_index):
        return {}
    # Each fold's model answers for every tile: the mean of their metrics is that of one model,
    # so tiles are repeated rather than their probabilities averaged into an ensemble.
    index = np.concatenate([f.second_index for f in folds])
    targets = np.concatenate([f.second_targets for f in folds])
    after = np.concatenate([softmax(f.second_scores, f.temperature) for f in folds])
    labels, groups = targets.argmax(axis=1), samples.groups[index]
    sections = {}
    for name, keep in (("clear", targets.max(axis=1) >= 0.999), ("all", targets.max(axis=1) > 0)):
        sections[f"second source {name}"] = evaluate_predictions(
            after[keep],
            labels[keep],
            groups[keep],
            class_names,
            f"second source, {name} tiles, all {len(folds)} fold models",
        )
    return sections
