"""Splitting samples so that no patient or slide stands on both sides."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.core.errors import DataError
from napari_liverdx.training.data.base import TileDataset

__all__ = [
    "Split",
    "assigned_split",
    "folds_of",
    "grouped_folds",
    "joined_groups",
    "of_sources",
    "shares_of",
]


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Which samples train, which choose the epoch, and which test.

    Attributes
    ----------
    train, val, test : ndarray of int
        Indices; ``test`` may be empty.
    """

    train: NDArray[np.intp]
    val: NDArray[np.intp]
    test: NDArray[np.intp]

    @property
    def parts(self) -> dict[str, NDArray[np.intp]]:
        """The parts by name, without empty ones."""
        parts = {"train": self.train, "val": self.val, "test": self.test}
        return {name: index for name, index in parts.items() if len(index)}


def of_sources(samples: TileDataset, sources: Sequence[str]) -> NDArray[np.intp]:
    """Return indices of the samples of some sources; of all if none is named.

    Raises
    ------
    DataError
        If there is no such sample.
    """
    if not sources:
        return np.arange(len(samples))
    chosen = np.flatnonzero(np.isin(samples.sources, list(sources)))
    if not len(chosen):
        raise DataError(f"no sample is of source {', '.join(sources)}")
    return chosen


def assigned_split(
    samples: TileDataset,
    val_folds: int,
    seed: int,
    *,
    test_folds: int = 5,
    chosen: NDArray[np.intp] | None = None,
) -> Split:
    """Return the split that the data state, or else a grouped and stratified one.

    Where the data state training and test but no validation, one of ``val_folds`` grouped parts
    of the training samples validates. A stated split is taken as it is, even if a group stands on
    both sides: see `audit`.

    Parameters
    ----------
    samples : TileDataset
        The labeled pictures.
    val_folds, test_folds : int
        One of so many parts validates, or tests where the data state nothing.
    seed : int
        Random seed.
    chosen : ndarray of int, optional
        Samples to split; all by default.

    Raises
    ------
    DataError
        If only some samples state a part, none is for training, or there are too few groups.
    """
    chosen = np.arange(len(samples)) if chosen is None else chosen
    stated = samples.splits[chosen]
    if not (stated != "").any():
        rest, test = grouped_folds(samples, chosen, test_folds, seed)[0]
        train, val = grouped_folds(samples, rest, val_folds, seed)[0]
        return Split(train, val, test)
    if (stated == "").any():
        raise DataError(
            f"{np.count_nonzero(stated == '')} of {len(chosen)} samples state no split; give all "
            "of them train, val or test, or none"
        )
    train, val, test = (chosen[stated == name] for name in ("train", "val", "test"))
    if not len(train):
        raise DataError("no sample is for training; the split column needs train, val and test")
    if not len(val):
        train, val = grouped_folds(samples, train, val_folds, seed)[0]
    return Split(train, val, test)


def joined_groups(groups: NDArray[np.str_], pairs: NDArray[np.intp]) -> NDArray[np.str_]:
    """Join groups so that both samples of every pair stand together.

    Parameters
    ----------
    groups : ndarray of str, shape (n,)
        Patients or slides.
    pairs : ndarray of int, shape (m, 2)
        Samples that must not be separated, for example near-identical pictures.

    Returns
    -------
    ndarray of str, shape (n,)
        Joined groups bear the alphabetically first of their names.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    names, number = np.unique(groups, return_inverse=True)
    links = number[np.asarray(pairs, np.intp).reshape(-1, 2)]
    graph = coo_array((np.ones(len(links)), links.T), shape=(len(names), len(names)))
    _, component = connected_components(graph, directed=False)
    # np.unique sorts the names, so the first of a component is the alphabetically first.
    _, first = np.unique(component, return_index=True)
    return np.asarray(names[first[component[number]]])


def shares_of(
    labels: NDArray[np.intp],
    groups: NDArray[np.str_],
    shares: Mapping[str, float],
    seed: int,
) -> dict[str, NDArray[np.intp]]:
    """Split all samples into grouped and stratified parts of about the given shares.

    Each part is made of the folds of a grouped cross-validation of what is left, so shares are
    met to about a twentieth and only if groups are small.

    Returns
    -------
    dict of str to ndarray of int
        The parts without what is left over, those of share 0 empty.

    Raises
    ------
    DataError
        If the shares leave nothing over, or there are too few groups.
    """
    if min(shares.values()) < 0 or sum(shares.values()) >= 1:
        raise DataError("shares must be 0 or more and together below 1")
    parts = {}
    rest, total = np.arange(len(labels)), len(labels)
    for name, share in shares.items():
        n, want = _folds_for(share * total / len(rest), len(np.unique(groups[rest])))
        tested = (
            [part for _, part in folds_of(labels, groups, rest, n, seed)][:want] if want else []
        )
        parts[name] = np.sort(np.concatenate([rest[:0], *tested]))
        rest = np.setdiff1d(rest, parts[name])
    return parts


def _folds_for(share: float, n_groups: int) -> tuple[int, int]:
    """Return the number of folds, and how many of them make about ``share``."""
    if share <= 0:
        return 2, 0
    n = max(2, min(n_groups, round(1 / max(share, 0.05)) if share < 0.4 else 20))
    return n, min(n - 1, max(1, round(share * n)))


def grouped_folds(
    samples: TileDataset, chosen: NDArray[np.intp], n: int, seed: int
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Return stratified splits in which no group stands on both sides.

    Returns
    -------
    list of (rest, part)
        Index arrays into ``samples``.
    """
    return folds_of(samples.labels, samples.groups, chosen, n, seed)


def folds_of(
    labels: NDArray[np.intp],
    groups: NDArray[np.str_],
    chosen: NDArray[np.intp],
    n: int,
    seed: int,
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Return `grouped_folds` for labels and groups that stand alone.

    Raises
    ------
    DataError
        If there are too few groups, or scikit-learn is missing.
    """
    try:
        from sklearn.model_selection import StratifiedGroupKFold
    except ImportError as error:
        raise DataError(
            "splitting into folds needs scikit-learn; pip install 'napari-liverdx[train]'"
        ) from error
    if len(np.unique(groups[chosen])) < n:
        raise DataError(f"{n} folds need at least {n} groups (patients or slides)")
    splitter = StratifiedGroupKFold(n, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # A class with fewer samples than folds is left out of some; the tables count samples.
        warnings.filterwarnings("ignore", "The least populated class")
        try:
            return [
                (chosen[rest], chosen[part])
                for rest, part in splitter.split(chosen, labels[chosen], groups[chosen])
            ]
        except ValueError as error:
            raise DataError(f"the samples cannot be split into {n} folds ({error})") from error
