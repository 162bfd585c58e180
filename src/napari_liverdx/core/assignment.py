"""Which class a map pixel or a tile belongs to: decided here, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.core.classes import ClassKind, ClassScheme
from napari_liverdx.core.prediction_sets import uncertain_mask

__all__ = ["DEFAULT_THRESHOLD", "Assignment", "assign"]

DEFAULT_THRESHOLD = 0.5
"""Probability from which a pathological class counts unless another is chosen."""


@dataclass(frozen=True, slots=True, eq=False)
class Assignment:
    """What counts where, on a map of any size.

    Attributes
    ----------
    scheme : ClassScheme
        The classes.
    thresholds : mapping of str to float
        Of each pathological class, as it was applied.
    quantile : float or None
        Of the calibration scores, as it was applied.
    counted : ndarray of bool, shape (classes, rows, columns)
        Where each class counts. Two pathological classes may both count a place.
    uncertain : ndarray of bool, shape (rows, columns)
        Where the prediction set does not hold exactly one class; no class counts there. Nowhere
        without a quantile.
    labels : ndarray of int16, shape (rows, columns)
        One class for each place: 1 plus its index, `uncertain_label` where it is uncertain, 0
        where nothing was analyzed and where no class counts. Of several pathological classes that
        count a place the most probable one.
    """

    scheme: ClassScheme
    thresholds: Mapping[str, float]
    quantile: float | None
    counted: NDArray[np.bool_]
    uncertain: NDArray[np.bool_]
    labels: NDArray[np.int16]

    @property
    def uncertain_label(self) -> int:
        """What ``labels`` holds where the model cannot decide."""
        return len(self.scheme) + 1


def assign(
    probabilities: NDArray[np.floating],
    tissue: NDArray[np.bool_],
    scheme: ClassScheme,
    thresholds: Mapping[str, float] | None = None,
    quantile: float | None = None,
) -> Assignment:
    """Decide which class each place of a map belongs to.

    A pathological class counts where its probability reaches its threshold; thresholds are
    independent. Where no pathological class counts, the most probable of the others does. Where
    the prediction set does not hold exactly one class, none does.

    Parameters
    ----------
    probabilities : ndarray of float, shape (classes, rows, columns)
        Values in 0 to 1.
    tissue : ndarray of bool, shape (rows, columns)
        Places that were analyzed and lie on tissue.
    scheme : ClassScheme
        Classes, in the order of the first axis.
    thresholds : mapping of str to float, optional
        Per pathological class; `DEFAULT_THRESHOLD` where absent.
    quantile : float, optional
        Of the calibration scores for the chosen error rate, of map pixels or of tiles, whichever
        the map holds; without it nothing is uncertain.
    """
    given = thresholds or {}
    cuts = {
        scheme[i].name: float(given.get(scheme[i].name, DEFAULT_THRESHOLD))
        for i in (scheme.pathological)
    }
    uncertain = np.zeros(tissue.shape, np.bool_)
    if quantile is not None:
        uncertain = uncertain_mask(probabilities, quantile) & tissue
    sure = tissue & ~uncertain
    counted = np.zeros((len(scheme), *tissue.shape), np.bool_)
    for i in scheme.pathological:
        counted[i] = (probabilities[i] >= cuts[scheme[i].name]) & sure
    others = [i for i, c in enumerate(scheme) if c.kind is not ClassKind.PATHOLOGICAL]
    left = sure & ~counted.any(axis=0)
    best = _most_probable(probabilities, others)
    for i in others:
        counted[i] = (best == i) & left
    labels = np.where(left, best + 1, 0).astype(np.int16)
    found = _most_probable(probabilities, scheme.pathological, counted)
    labels[found >= 0] = found[found >= 0] + 1
    labels[uncertain] = len(scheme) + 1
    return Assignment(scheme, cuts, quantile, counted, uncertain, labels)


def _most_probable(
    probabilities: NDArray[np.floating],
    classes: Sequence[int],
    where: NDArray[np.bool_] | None = None,
) -> NDArray[np.int16]:
    """Return the most probable of some classes, the first of equal ones; -1 where there is none.

    Class by class, which is several times faster than along the first axis.
    """
    best = np.full(probabilities.shape[1:], -1, np.int16)
    highest = np.full(probabilities.shape[1:], -np.inf, probabilities.dtype)
    for i in classes:
        better = probabilities[i] > highest
        if where is not None:
            better &= where[i]
        best[better] = i
        np.copyto(highest, probabilities[i], where=better)
    return best
