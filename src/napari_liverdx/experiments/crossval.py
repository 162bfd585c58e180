"""Grouped cross-validation of a recipe."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from napari_liverdx.experiments.keys import folds_key
from napari_liverdx.models.architectures.base import TileModel
from napari_liverdx.models.card import ModelCard
from napari_liverdx.training.data._all import Example, TileDataset
from napari_liverdx.training.data.splits import grouped_folds, of_sources
from napari_liverdx.training.keys import Key
from napari_liverdx.training.loop import EpochResult, fine_tune, predict_dataset
from napari_liverdx.training.recipe import Recipe

__all__ = ["Fold", "cross_validate", "fold_parts"]


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """Predictions of one fold's model on samples it did not learn from.

    Attributes
    ----------
    fold : int
    index : ndarray of int, shape (n,)
        Sample of each tile.
    scores : ndarray of float32, shape (n, classes)
    targets : ndarray of float32, shape (n, classes)
    second_index, second_scores, second_targets
        The same for the second source.
    temperature : float
    subtile_scores, subtile_targets : ndarray of float32, shape (n, classes, k, k), or None
    """

    fold: int
    index: NDArray[np.intp]
    scores: NDArray[np.float32]
    targets: NDArray[np.float32]
    second_index: NDArray[np.intp]
    second_scores: NDArray[np.float32]
    second_targets: NDArray[np.float32]
    temperature: float
    subtile_scores: NDArray[np.float32] | None
    subtile_targets: NDArray[np.float32] | None


def fold_parts(
    recipe: Recipe, samples: TileDataset, n_folds: int
) -> tuple[list[tuple[NDArray[np.intp], NDArray[np.intp]]], NDArray[np.intp]]:
    """The grouped folds of a recipe, and the samples that stand in none and test all models.

    Returns
    -------
    folds : list of (rest, test)
        Indices into ``samples``.
    independent : ndarray of int
        Of the second sources, or stated to be for testing; may be empty.

    Raises
    ------
    DataError
        If the samples cannot be split.
    """
    chosen = of_sources(samples, recipe.data.train_sources)
    independent = chosen[samples.splits[chosen] == "test"]
    chosen = chosen[samples.splits[chosen] != "test"]
    if recipe.data.second_sources:
        second = of_sources(samples, recipe.data.second_sources)
        independent = np.union1d(independent, second)
    return grouped_folds(samples, chosen, n_folds, 0), independent


def cross_validate(
    recipe: Recipe, samples: TileDataset, n_folds: int, device: torch.device, work: Path
) -> Iterator[EpochResult | Fold]:
    """Train and test on grouped folds; finished folds in ``work`` are not repeated.

    Within each fold, one grouped part of the training samples chooses the epoch and the
    temperature; the test fold decides nothing. Samples that the data state to be for testing stand
    in no fold: like those of the second sources they are answered by every fold's model.

    Yields
    ------
    EpochResult
        While a fold trains.
    Fold
        When it is done.
    """
    card = recipe.model_card()
    folds, second = fold_parts(recipe, samples, n_folds)
    work.mkdir(parents=True, exist_ok=True)
    # A fold of another recipe, data or number of folds has another name and is made anew.
    key = folds_key(recipe, samples, folds, second)
    for number, (rest, test) in enumerate(folds):
        name = _fold_name(work, number, key)
        path = work / f"{name}.npz"
        if not path.exists():
            network, _ = recipe.network()
            train, val = grouped_folds(samples, rest, recipe.data.val_folds, number)[0]
            temperature = 1.0
            for epoch in fine_tune(
                network,
                samples,
                train,
                val,
                size=card.tile_size,
                config=recipe.train,
                device=device,
                checkpoint=work / f"{name}.checkpoint",
            ):
                temperature = epoch.temperature
                yield epoch
            index, scores, targets, subtiles, subtile_targets = _test(
                network, samples, test, card, device
            )
            more = _test(network, samples, second, card, device)
            arrays = {
                "index": index,
                "scores": scores,
                "targets": targets,
                "second_index": more[0],
                "second_scores": more[1],
                "second_targets": more[2],
                "temperature": np.array(temperature),
            }
            if subtiles is not None and subtile_targets is not None:
                arrays |= {"subtile_scores": subtiles, "subtile_targets": subtile_targets}
            partial = path.with_name(f"partial-{path.name}")
            np.savez(partial, **arrays)
            os.replace(partial, path)
            (work / f"{name}.checkpoint").unlink(missing_ok=True)
        with np.load(path) as stored:
            data = dict(stored)
        yield Fold(
            fold=number,
            temperature=float(data.pop("temperature")),
            subtile_scores=data.pop("subtile_scores", None),
            subtile_targets=data.pop("subtile_targets", None),
            **data,
        )


def _fold_name(work: Path, number: int, key: Key) -> str:
    """What the files of a fold begin with: as 0.1.0 named them where it left some."""
    former = f"fold{number}-{key.former}"
    return former if any(work.glob(f"{former}.*")) else f"fold{number}-{key.id}"


def _test(
    network: TileModel,
    samples: TileDataset,
    chosen: NDArray[np.intp],
    card: ModelCard,
    device: torch.device,
) -> tuple[
    NDArray[np.intp],
    NDArray[np.float32],
    NDArray[np.float32],
    NDArray[np.float32] | None,
    NDArray[np.float32] | None,
]:
    examples: list[Example] = []
    index: list[int] = []
    for i in chosen:
        tiles = samples.eval_tiles(int(i), card.tile_size, network.subtiles)
        examples += tiles
        index += [int(i)] * len(tiles)
    if not examples:
        empty = np.empty((0, len(card.classes)), np.float32)
        return np.empty(0, np.intp), empty, empty, None, None
    scores, targets, subtiles = predict_dataset(network, examples, device)
    subtile_targets = [e.subtiles for e in examples if e.subtiles is not None]
    return (
        np.array(index),
        scores.numpy(),
        targets.numpy(),
        None if subtiles is None else subtiles.numpy(),
        np.stack(subtile_targets) if len(subtile_targets) == len(examples) else None,
    )
