"""Predictions made by chance."""

from __future__ import annotations

import numpy as np

from napari_liverdx.metrics.predictions import LabeledPredictions


def grouped_draw(rng: np.random.Generator, groups: int) -> LabeledPredictions:
    """Groups that differ: each has its own difficulty and its own number of samples."""
    sizes = rng.integers(1, 12, groups)
    names = np.repeat([f"g{i}" for i in range(groups)], sizes)
    ease = np.repeat(rng.uniform(0.2, 4, groups), sizes)
    labels = rng.integers(0, 3, len(names))
    logits = rng.normal(size=(len(names), 3))
    logits[np.arange(len(names)), labels] += ease
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return LabeledPredictions.of(p.astype(np.float32), labels, names)
