"""Grouped cross-validation of a recipe."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_liverdx._files import atomic_write
from napari_liverdx.core.errors import DataError, storage_errors
from napari_liverdx.experiments.keys import folds_key
from napari_liverdx.metrics.predictions import LabeledPredictions, softmax
from napari_liverdx.training.config import EpochResult
from napari_liverdx.training.data._all import TileDataset
from napari_liverdx.training.data.splits import grouped_folds, of_sources
from napari_liverdx.training.examples import DatasetOutput, predict_dataset, subtile_predictions
from napari_liverdx.training.keys import Key
from napari_liverdx.training.recipe import Recipe
from napari_liverdx.training.transfer import TrainJob, fine_tune

__all__ = ["Fold", "audited_folds", "cross_validate", "fold_parts"]


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """Predictions of one fold's model on samples it did not learn from.

    Attributes
    ----------
    fold : int
    temperature : float
        With which tiles are predicted, of the samples that chose the epoch.
    tiles : LabeledPredictions
        Of the fold's test samples.
    subtiles : LabeledPredictions, optional
        Of the same samples; without a temperature.
    second : LabeledPredictions
        Tiles of the second source; may be empty.
    """

    fold: int
    temperature: float
    tiles: LabeledPredictions
    subtiles: LabeledPredictions | None
    second: LabeledPredictions


def fold_parts(
    recipe: Recipe, samples: TileDataset, n_folds: int
) -> tuple[list[tuple[NDArray[np.intp], NDArray[np.intp]]], NDArray[np.intp]]:
    """Return the grouped folds of a recipe, and the samples in no fold that test all models.

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


def audited_folds(
    recipe: Recipe, samples: TileDataset, n_folds: int
) -> dict[str, NDArray[np.intp]]:
    """Return what an audit compares: the tested samples of each fold and those that test all.

    Raises
    ------
    DataError
        If the data cannot be split.
    """
    folds, independent = fold_parts(recipe, samples, n_folds)
    parts = {f"fold {number + 1}": test for number, (_, test) in enumerate(folds)}
    if len(independent):
        parts["test"] = independent
    return parts


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
    size = recipe.model_card().tile_size
    folds, second = fold_parts(recipe, samples, n_folds)
    work.mkdir(parents=True, exist_ok=True)
    # A fold of another recipe, data or number of folds has another name and is made anew.
    key = folds_key(recipe, samples, folds, second)
    for number, (rest, test) in enumerate(folds):
        name = _fold_name(work, number, key)
        path = work / f"{name}.npz"
        if (whole := _load_fold(path, number, samples.groups)) is None:
            network, _ = recipe.network()
            train, val = grouped_folds(samples, rest, recipe.data.val_folds, number)[0]
            job = TrainJob(samples, train, val, size, recipe.train, device)
            checkpoint = work / f"{name}.checkpoint"
            temperature = 1.0
            for epoch in fine_tune(network, job, checkpoint=checkpoint):
                temperature = epoch.temperature
                yield epoch
            tested = predict_dataset(network, samples, test, size, device)
            _save_fold(
                path, temperature, tested, predict_dataset(network, samples, second, size, device)
            )
            checkpoint.unlink(missing_ok=True)
            whole = _load_fold(path, number, samples.groups)
        if whole is None:
            raise DataError(f"{path}: cannot be read though it was just written; check the disk")
        yield whole


def _save_fold(
    path: Path, temperature: float, tested: DatasetOutput, second: DatasetOutput
) -> None:
    """Write a fold; the file appears whole or not at all."""
    arrays: dict[str, NDArray[Any]] = {
        "index": tested.index,
        "scores": tested.logits,
        "targets": tested.targets,
        "second_index": second.index,
        "second_scores": second.logits,
        "second_targets": second.targets,
        "temperature": np.array(temperature),
    }
    if tested.subtile_logits is not None and tested.subtile_targets is not None:
        arrays |= {
            "subtile_scores": tested.subtile_logits,
            "subtile_targets": tested.subtile_targets,
        }
    kept = "folds that are finished are kept"
    with (
        storage_errors(path, kept),
        atomic_write(path) as partial,
        partial.open("wb") as file,
    ):
        np.savez(file, **arrays)  # type: ignore[arg-type]


def _load_fold(path: Path, number: int, groups: NDArray[np.str_]) -> Fold | None:
    """Read a fold; None where there is none or it is damaged, and is to be made anew."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            data = dict(stored)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    temperature = float(data["temperature"])

    def predictions(prefix: str) -> LabeledPredictions:
        index = data[f"{prefix}index"]
        probabilities = softmax(data[f"{prefix}scores"], temperature)
        return LabeledPredictions.of_targets(
            index, probabilities, data[f"{prefix}targets"], groups[index]
        )

    subtiles = None
    if "subtile_scores" in data:
        subtiles = subtile_predictions(
            data["index"],
            groups[data["index"]],
            data["subtile_scores"],
            data["subtile_targets"],
        )
    return Fold(number, temperature, predictions(""), subtiles, predictions("second_"))


def _fold_name(work: Path, number: int, key: Key) -> str:
    """Return what the files of a fold begin with; the name of 0.1.0 where it left some."""
    former = f"fold{number}-{key.former}"
    return former if any(work.glob(f"{former}.*")) else f"fold{number}-{key.id}"
