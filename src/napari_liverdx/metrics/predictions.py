"""What a classifier says of labeled samples: the one record that figures are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["LabeledPredictions", "softmax"]

_CLEAR = 0.999


@dataclass(frozen=True, slots=True, eq=False)
class LabeledPredictions:
    """Predictions for n samples and what is true of each.

    Attributes
    ----------
    index : ndarray of int, shape (n,)
        Sample of the data set that each belongs to; several tiles may come from one sample.
    probabilities : ndarray of float, shape (n, classes)
    labels : ndarray of int, shape (n,)
        Class that each is closest to.
    groups : ndarray of str, shape (n,)
        Patient or slide.
    is_clear : ndarray of bool, shape (n,)
        Whether the truth is a single class; see `LabelRule`.
    """

    index: NDArray[np.intp]
    probabilities: NDArray[np.floating[Any]]
    labels: NDArray[np.intp]
    groups: NDArray[np.str_]
    is_clear: NDArray[np.bool_]

    @classmethod
    def of(
        cls, probabilities: NDArray[np.floating[Any]], labels: ArrayLike, groups: ArrayLike
    ) -> LabeledPredictions:
        """Return predictions for samples that are each of one class."""
        n = len(probabilities)
        every = np.ones(n, np.bool_)
        return cls(
            np.arange(n), probabilities, np.asarray(labels, np.intp), np.asarray(groups), every
        )

    @classmethod
    def of_targets(
        cls,
        index: NDArray[np.intp],
        probabilities: NDArray[np.floating[Any]],
        targets: NDArray[np.floating[Any]],
        groups: NDArray[np.str_],
    ) -> LabeledPredictions:
        """Return predictions for samples whose truth is a distribution, shape (n, classes)."""
        is_clear = targets.max(axis=1, initial=0) >= _CLEAR
        return cls(index, probabilities, targets.argmax(axis=1), groups, is_clear)

    @classmethod
    def joined(cls, parts: Sequence[LabeledPredictions]) -> LabeledPredictions:
        """Return the predictions of all parts, one after the other; at least one part."""
        return cls(
            np.concatenate([p.index for p in parts]),
            np.concatenate([p.probabilities for p in parts]),
            np.concatenate([p.labels for p in parts]),
            np.concatenate([p.groups for p in parts]),
            np.concatenate([p.is_clear for p in parts]),
        )

    def __len__(self) -> int:
        return len(self.labels)

    def where(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> LabeledPredictions:
        """Return those that a mask or an index chooses."""
        return LabeledPredictions(
            self.index[chosen],
            self.probabilities[chosen],
            self.labels[chosen],
            self.groups[chosen],
            self.is_clear[chosen],
        )

    def only_clear(self) -> LabeledPredictions:
        """Return those of which the truth is a single class."""
        return self.where(self.is_clear)

    def in_order(self) -> LabeledPredictions:
        """Return them in the order of the samples."""
        return self.where(np.argsort(self.index, kind="stable"))

    def are_of_the_same(self, other: LabeledPredictions) -> bool:
        """Return whether both are for the same samples in the same order."""
        return np.array_equal(self.index, other.index) and np.array_equal(self.labels, other.labels)


def softmax(logits: NDArray[Any], temperature: float = 1.0) -> NDArray[np.float64]:
    """Return probabilities from logits, shape (n, classes)."""
    scaled = logits.astype(np.float64) / temperature
    scaled = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(scaled / scaled.sum(axis=1, keepdims=True))
