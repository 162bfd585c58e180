"""What of the taught is held out, so that nothing near it has taught the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.core.classes import ClassScheme
from napari_liverdx.core.errors import DataError
from napari_liverdx.engine.taught_samples import GAP, TaughtSamples

__all__ = ["LEAST_HELD_OUT", "LEAST_TAUGHT", "TaughtSplit", "missing", "taught_split"]

LEAST_TAUGHT, LEAST_HELD_OUT = 4, 2
"""Fewest tiles of a class to teach with, and to hold out."""

_SHARE = 1 / 3
_FEW = 12
_DRAWS = 4096
_CHOOSE_EVERY = 4


@dataclass(frozen=True, slots=True, eq=False)
class TaughtSplit:
    """Which tiles teach, which choose the epoch, and which are held out.

    Attributes
    ----------
    train, choose, held_out : ndarray of int
        Those that choose lie among those that teach; what is held out lies on other slides, or at
        least a tile away on the same.
    by : {"slide", "place"}
        What was held out whole.
    """

    train: NDArray[np.intp]
    choose: NDArray[np.intp]
    held_out: NDArray[np.intp]
    by: Literal["slide", "place"]


def taught_split(samples: TaughtSamples) -> TaughtSplit:
    """Hold out about a third of each class: whole slides if that is possible, else whole places.

    Raises
    ------
    DataError
        If too little was taught for that; the message says what is missing.
    """
    problem = missing(samples.labels, samples.groups, samples.scheme, tile_um(samples))
    if problem:
        raise DataError(problem)
    slides = _part(samples.labels, samples.slide_of.astype(np.str_))
    held_out = slides if slides is not None else _part(samples.labels, samples.groups)
    assert held_out is not None
    rest = np.setdiff1d(np.arange(len(samples)), held_out)
    choose = np.concatenate(
        [_every(rest[samples.labels[rest] == c]) for c in np.unique(samples.labels)]
    )
    by: Literal["slide", "place"] = "place" if slides is None else "slide"
    return TaughtSplit(np.setdiff1d(rest, choose), np.sort(choose), held_out, by)


def tile_um(samples: TaughtSamples) -> float:
    """Side of a tile in µm."""
    return samples.mpp * samples.tile_size


def _every(index: NDArray[np.intp]) -> NDArray[np.intp]:
    return index[_CHOOSE_EVERY - 1 :: _CHOOSE_EVERY]


def missing(
    labels: NDArray[np.intp], places: NDArray[np.str_], scheme: ClassScheme, side_um: float
) -> str:
    """What must still be taught before a model can be tuned and tested; empty if nothing.

    Parameters
    ----------
    labels : ndarray of int, shape (n,)
        Class of each taught tile.
    places : ndarray of str, shape (n,)
        Place of each.
    scheme : ClassScheme
        Classes of the model.
    side_um : float
        Side of a tile.
    """
    found = np.unique(labels)
    if len(found) < 2:
        taught = f" So far only {scheme[int(found[0])].title} is taught." if len(found) else ""
        return f"Teach at least two classes, so that the model can tell them apart.{taught}"
    least = LEAST_TAUGHT + LEAST_HELD_OUT
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
    if single:
        return (
            "Draw at least two separate regions of each class, one to learn from and one to test "
            f"on, {apart}: {_listed(single)} has one."
        )
    if _part(labels, places) is None:
        return (
            f"The regions cannot be parted into some to learn from and some to test on, {apart}, "
            "with every class in both. Draw one more region of each class, away from the others."
        )
    return ""


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _part(labels: NDArray[np.intp], units: NDArray[np.str_]) -> NDArray[np.intp] | None:
    """Samples of whole units that make about a third of each class; None if there are none."""
    names, unit = np.unique(units, return_inverse=True)
    _, label = np.unique(labels, return_inverse=True)
    counts = np.zeros((len(names), label.max(initial=0) + 1), np.intp)
    np.add.at(counts, (unit, label), 1)
    choices = _choices(len(names))
    held = choices.astype(np.intp) @ counts
    total = counts.sum(axis=0)
    enough = ((held >= LEAST_HELD_OUT) & (total - held >= LEAST_TAUGHT)).all(axis=1)
    if not enough.any():
        return None
    miss = np.abs(held / total - _SHARE).mean(axis=1)
    best = int(np.where(enough, miss, np.inf).argmin())
    return np.flatnonzero(choices[best][unit])


def _choices(n: int) -> NDArray[np.bool_]:
    """Ways to choose some of ``n``: all of them if they are few, else random ones."""
    if n <= _FEW:
        return np.asarray((np.arange(1, max(2, 2**n - 1))[:, None] >> np.arange(n)) & 1, np.bool_)
    return np.random.default_rng(0).random((_DRAWS, n)) < _SHARE
