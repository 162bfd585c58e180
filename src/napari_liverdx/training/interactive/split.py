"""Held-out annotations that lie near nothing that trained the model or its ancestors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.core.classes import ClassScheme
from napari_liverdx.core.errors import DataError
from napari_liverdx.training.interactive.corrections import GAP, AnnotationDataset

__all__ = [
    "LEAST_ANNOTATED",
    "LEAST_HELD_OUT",
    "AnnotationSplit",
    "blocking_reason",
    "missing",
    "split_annotations",
]

LEAST_ANNOTATED, LEAST_HELD_OUT = 4, 2
"""Fewest tiles of a class to teach with, and to hold out."""

_SHARE = 1 / 3
_FEW = 12
_DRAWS = 4096
_CHOOSE_EVERY = 4


@dataclass(frozen=True, slots=True, eq=False)
class AnnotationSplit:
    """Which tiles train, which choose the epoch, and which are held out.

    Attributes
    ----------
    train, choose, held_out : ndarray of int
        Those that choose lie among those that train; what is held out lies on other slides, or at
        least a tile away on the same, both from them and from what trained an earlier version.
    by : {"slide", "place"}
        What was held out whole.
    """

    train: NDArray[np.intp]
    choose: NDArray[np.intp]
    held_out: NDArray[np.intp]
    by: Literal["slide", "place"]


def split_annotations(samples: AnnotationDataset) -> AnnotationSplit:
    """Hold out about a third of each class: whole slides if that is possible, else whole places.

    A slide or place of which any tile is `seen`, as it trained the model or a version it comes
    from, is never held out: it trains again.

    Raises
    ------
    DataError
        If too little is annotated for that; the message says what is missing.
    """
    problem = blocking_reason(samples)
    if problem:
        raise DataError(problem)
    seen = samples.seen
    slides = _part(samples.labels, samples.slide_of.astype(np.str_), seen)
    held_out = slides if slides is not None else _part(samples.labels, samples.groups, seen)
    assert held_out is not None
    rest = np.setdiff1d(np.arange(len(samples)), held_out)
    choose = np.concatenate(
        [_every(rest[samples.labels[rest] == c]) for c in np.unique(samples.labels)]
    )
    by: Literal["slide", "place"] = "place" if slides is None else "slide"
    return AnnotationSplit(np.setdiff1d(rest, choose), np.sort(choose), held_out, by)


def tile_um(samples: AnnotationDataset) -> float:
    """Return the side of a tile in µm."""
    return samples.mpp * samples.tile_size


def _every(index: NDArray[np.intp]) -> NDArray[np.intp]:
    return index[_CHOOSE_EVERY - 1 :: _CHOOSE_EVERY]


def blocking_reason(samples: AnnotationDataset) -> str:
    """Return `missing` for samples; also if nobody knows where the model was trained."""
    if not samples.is_told:
        return (
            f"Version {samples.version} does not record where it was trained, so nothing could "
            f"test a later version. Choose an earlier version to fine-tune."
        )
    return missing(
        samples.labels,
        samples.groups,
        samples.scheme,
        tile_um(samples),
        seen=samples.seen,
        version=samples.version,
    )


def missing(
    labels: NDArray[np.intp],
    places: NDArray[np.str_],
    scheme: ClassScheme,
    side_um: float,
    *,
    seen: NDArray[np.bool_] | None = None,
    version: str = "",
) -> str:
    """Return what must be annotated before a model can be fine-tuned and tested; empty if nothing.

    Parameters
    ----------
    labels : ndarray of int, shape (n,)
        Class of each annotated tile.
    places : ndarray of str, shape (n,)
        Place of each.
    scheme : ClassScheme
        Classes of the model.
    side_um : float
        Side of a tile.
    seen : ndarray of bool, shape (n,), optional
        Which trained an earlier version, or lie beside what did.
    version : str
        Of the model.
    """
    found = np.unique(labels)
    seen = np.zeros(len(labels), np.bool_) if seen is None else seen
    if len(found) < 2:
        taught = f" So far only {scheme[int(found[0])].title} is annotated." if len(found) else ""
        return f"Annotate at least two classes.{taught}"
    least = LEAST_ANNOTATED + LEAST_HELD_OUT
    few = [
        f"{scheme[int(c)].title} has {n}"
        for c in found
        if (n := np.count_nonzero(labels == c)) < least
    ]
    if few:
        return (
            f"Each class needs at least {least} tiles of {side_um:.0f} µm: {_listed(few)}. Draw "
            "larger regions, or more of them."
        )
    single = [scheme[int(c)].title for c in found if len(np.unique(places[labels == c])) < 2]
    apart = f"at least {GAP * side_um:.0f} µm apart"
    unseen = ~np.isin(places, places[seen])
    worn = [
        scheme[int(c)].title
        for c in found
        if seen.any() and np.count_nonzero(unseen & (labels == c)) < LEAST_HELD_OUT
    ]
    if worn:
        return (
            f"Draw {_listed(worn)} in a new place too, at least {GAP * side_um:.0f} µm from "
            f"earlier training regions, {LEAST_HELD_OUT} tiles or more: training regions of "
            f"version {version} cannot test a later version."
        )
    if single:
        return (
            "Draw at least two separate regions of each class, one for training and one for "
            f"testing, {apart}: {_listed(single)} has one."
        )
    if _part(labels, places, seen) is None:
        return (
            f"The regions cannot be parted into training and test regions, {apart}, "
            "with every class in both. Draw one more region of each class, away from the others."
        )
    return ""


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _part(
    labels: NDArray[np.intp], units: NDArray[np.str_], seen: NDArray[np.bool_]
) -> NDArray[np.intp] | None:
    """Return samples of whole unseen units, about a third of each class; None if there are none."""
    names, unit = np.unique(units, return_inverse=True)
    _, label = np.unique(labels, return_inverse=True)
    counts = np.zeros((len(names), label.max(initial=0) + 1), np.intp)
    np.add.at(counts, (unit, label), 1)
    free = np.bincount(unit[seen], minlength=len(names)) == 0
    choices = np.zeros((0, len(names)), np.bool_)
    if free.any():
        some = _choices(int(np.count_nonzero(free)), _SHARE if free.all() else 1.0)
        choices = np.zeros((len(some), len(names)), np.bool_)
        choices[:, free] = some
    held = choices.astype(np.intp) @ counts
    total = counts.sum(axis=0)
    enough = ((held >= LEAST_HELD_OUT) & (total - held >= LEAST_ANNOTATED)).all(axis=1)
    if not enough.any():
        return None
    miss = np.abs(held / total - _SHARE).mean(axis=1)
    best = int(np.where(enough, miss, np.inf).argmin())
    return np.flatnonzero(choices[best][unit])


def _choices(n: int, most: float) -> NDArray[np.bool_]:
    """Return ways to choose some of ``n``: all of them if they are few, else random ones.

    Where some places must train, more of the others may be needed: any share up to ``most``.
    """
    if n <= _FEW:
        return np.asarray((np.arange(1, 2**n)[:, None] >> np.arange(n)) & 1, np.bool_)
    rng = np.random.default_rng(0)
    return np.asarray(rng.random((_DRAWS, n)) < rng.uniform(_SHARE, most, (_DRAWS, 1)))
