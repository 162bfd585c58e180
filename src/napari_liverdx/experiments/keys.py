"""By what cross-validations, searches and reproduced studies are known again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_liverdx import _v010
from napari_liverdx._ids import digest
from napari_liverdx.experiments.search_space import Range
from napari_liverdx.training.data._all import TileDataset
from napari_liverdx.training.keys import Key, sample_facts
from napari_liverdx.training.recipe import Recipe

__all__ = ["folds_key", "reproduction_key", "search_key"]

_DIGITS = 12


def folds_key(
    recipe: Recipe,
    samples: TileDataset,
    folds: Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]],
    independent: NDArray[np.intp],
) -> Key:
    """Return the key of a cross-validation: recipe, data and split.

    Parameters
    ----------
    recipe : Recipe
        Its settings by their names in a file; those at their defaults do not count.
    samples : TileDataset
        The labeled pictures.
    folds : sequence of (ndarray of int, ndarray of int)
        The rest and the tested samples of each fold.
    independent : ndarray of int
        TileDataset that stand in no fold.
    """
    card = recipe.model_card()
    facts = {
        "data": recipe.data.model_dump(mode="json", exclude_defaults=True),
        "train": recipe.train.model_dump(mode="json", exclude_defaults=True),
        "start": recipe.start,
        "architecture": card.architecture,
        "arguments": card.arguments,
        "tile_size": card.tile_size,
        "classes": card.scheme.names,
        "samples": sample_facts(samples),
        "folds": folds,
        "independent": independent,
    }
    former = _v010.folds_key(
        recipe.data.model_dump(mode="json"),
        recipe.train.model_dump(mode="json"),
        recipe.start,
        (card.architecture, card.arguments, card.tile_size, card.scheme.names),
        _plain(samples),
        [(rest.tolist(), test.tolist()) for rest, test in folds],
        independent.tolist(),
    )
    return Key(digest({"cross-validation": facts})[:_DIGITS], former)


def search_key(
    recipe: Recipe,
    ranges: Mapping[str, Range],
    samples: TileDataset,
    split: Sequence[NDArray[np.intp]],
) -> Key:
    """Return the key of a search: recipe, space, data and split.

    Parameters
    ----------
    recipe : Recipe
        Where the search starts.
    ranges : mapping of str to Range
        What is searched.
    samples : TileDataset
        The labeled pictures.
    split : sequence of ndarray of int
        TileDataset to train on, to judge by, and set aside.
    """
    spelled = {
        name: {"low": r.low, "high": r.high, "log": r.log, "choices": r.choices}
        for name, r in ranges.items()
    }
    facts = {
        "recipe": recipe.model_dump(mode="json", exclude_defaults=True),
        "ranges": spelled,
        "samples": sample_facts(samples),
        "split": split,
    }
    former = _v010.search_key(
        recipe.model_dump(mode="json"), spelled, _plain(samples), [p.tolist() for p in split]
    )
    return Key(digest({"search": facts})[:_DIGITS], former)


def reproduction_key(recipe: str, samples: TileDataset) -> Key:
    """Return the key of the model of a reproduced study: it is trained anew when that changes.

    Parameters
    ----------
    recipe : str
        Text of the recipe file.
    samples : TileDataset
        The labeled pictures.
    """
    facts = {"recipe": recipe, "samples": sample_facts(samples), "splits": samples.splits}
    former = _v010.reproduction_key(
        recipe, list(samples.names), samples.labels.tolist(), samples.splits.tolist()
    )
    return Key(digest({"reproduction": facts}), former)


def _plain(samples: TileDataset) -> _v010.Samples:
    return list(samples.names), samples.labels.tolist(), samples.groups.tolist()
