"""Splitting samples so that no patient or slide stands on both sides."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.core.errors import DataError
from napari_liverdx.engine.samples import Samples

__all__ = ["grouped_folds"]


def grouped_folds(
    samples: Samples, chosen: NDArray[np.intp], n: int, seed: int
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Stratified splits in which no group stands on both sides.

    Returns
    -------
    list of (rest, part)
        Index arrays into ``samples``.
    """
    try:
        from sklearn.model_selection import StratifiedGroupKFold
    except ImportError as error:
        raise DataError(
            "splitting into folds needs scikit-learn; pip install 'napari-liverdx[train]'"
        ) from error
    if len(np.unique(samples.groups[chosen])) < n:
        raise DataError(f"{n} folds need at least {n} groups (patients or slides)")
    splitter = StratifiedGroupKFold(n, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # A class with fewer samples than folds is left out of some; the tables count samples.
        warnings.filterwarnings("ignore", "The least populated class")
        try:
            return [
                (chosen[rest], chosen[part])
                for rest, part in splitter.split(
                    chosen, samples.labels[chosen], samples.groups[chosen]
                )
            ]
        except ValueError as error:
            raise DataError(f"the samples cannot be split into {n} folds ({error})") from error
