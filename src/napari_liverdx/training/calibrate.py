"""What held-out samples say of a model: its domain and how sure it may be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_liverdx.core.errors import DataError
from napari_liverdx.core.prediction_sets import prediction_sets
from napari_liverdx.metrics.predictions import LabeledPredictions
from napari_liverdx.models.architectures.base import TileModel
from napari_liverdx.models.card import ModelCard
from napari_liverdx.models.conformal import calibrate_conformal
from napari_liverdx.models.file import (
    LoadedModel,
    load_model_file,
    rewrite_model_file,
    save_model_file,
    writing_model,
)
from napari_liverdx.models.ood import EmbeddingStatistics, ood_scorer, overdispersion
from napari_liverdx.training.data._all import TileDataset
from napari_liverdx.training.data.splits import Split
from napari_liverdx.training.examples import predict_dataset

__all__ = [
    "CalibrationPredictions",
    "Coverage",
    "calibration_predictions",
    "coverage_by_halves",
    "describe_model",
    "false_alarms_by_halves",
    "save_trained",
    "score_pictures",
    "weighted_quantile",
]

_BATCH = 16
_RATE = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationPredictions:
    """What a model makes of labeled samples that set its limits and error rates.

    Attributes
    ----------
    tiles : LabeledPredictions
        Of n tiles.
    embeddings : ndarray of float32, shape (n, features)
    subtiles : LabeledPredictions, optional
        The same for subtiles; None without labeled ones.
    """

    tiles: LabeledPredictions
    embeddings: NDArray[np.float32]
    subtiles: LabeledPredictions | None = None


def calibration_predictions(
    model: LoadedModel, samples: TileDataset, chosen: NDArray[np.intp], device: torch.device
) -> CalibrationPredictions:
    """Run a model on the evaluation tiles of samples.

    Parameters
    ----------
    model : LoadedModel
        The model.
    samples : TileDataset
        Labeled pictures, with labels in the order of the model's classes.
    chosen : ndarray of int
        Which samples.
    device : torch.device
        Where to run.

    Raises
    ------
    DataError
        If no sample is chosen.
    """
    if not len(chosen):
        raise DataError("there are no samples to calibrate on")
    network, card = model.network_on(device), model.card
    found = predict_dataset(network, samples, chosen, card.tile_size, device, _BATCH)
    # Logarithms of probabilities serve as logits here; see `as_logits`.
    temperature = card.temperature if card.output == "logits" else 1.0
    return CalibrationPredictions(
        found.tiles(temperature), found.embeddings, found.subtiles(temperature)
    )


def weighted_quantile(
    values: NDArray[np.floating], groups: NDArray[np.str_], level: float
) -> float:
    """Return the smallest value that a share ``level`` of the groups' weight does not exceed.

    Every group weighs the same, shared by its samples, and a new group counts as exceeding it, as
    in `calibrate_conformal`; the largest value where so few groups allow no other.
    """
    _, inverse, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    weights = 1 / (sizes[inverse] * (len(sizes) + 1))
    order = np.argsort(values)
    at = int(np.searchsorted(np.cumsum(weights[order]), level - 1e-12))
    return float(values[order[min(at, len(values) - 1)]])


def describe_model(
    model: LoadedModel,
    samples: TileDataset,
    train: NDArray[np.intp],
    val: NDArray[np.intp],
    device: torch.device,
) -> tuple[ModelCard, dict[str, Tensor]]:
    """Fit domain statistics on training tiles, and limits and error rates on held-out groups.

    Parameters
    ----------
    model : LoadedModel
        The trained model, with the weights as they are stored.
    samples : TileDataset
        The data it was trained on.
    train, val : ndarray of int
        Samples it was trained on, and samples of other groups.
    device : torch.device
        Where to run.

    Returns
    -------
    card : ModelCard
        With ``ood`` and ``conformal`` filled in.
    statistics : dict of str to Tensor
        For `rewrite_model_file`.
    """
    taught, held_out = (
        calibration_predictions(model, samples, part, device) for part in (train, val)
    )
    ood, fields = _fitted_ood(taught.embeddings, held_out)
    conformal = {"tile": _conformal(held_out.tiles)}
    if held_out.subtiles is not None:
        conformal["cell"] = _conformal(held_out.subtiles)
    card = model.card.model_copy(update={"ood": fields, "conformal": conformal})
    return card, ood.tensors()


def _conformal(held_out: LabeledPredictions) -> dict[str, Any]:
    scores = calibrate_conformal(held_out.probabilities, held_out.labels, held_out.groups)
    return scores.model_dump(mode="json")


def _fitted_ood(
    taught: NDArray[np.float32], held_out: CalibrationPredictions
) -> tuple[EmbeddingStatistics, dict[str, Any]]:
    """Fit statistics on training tiles and their limit on held-out ones; return facts too."""
    ood = EmbeddingStatistics.fit(taught)
    owners = held_out.tiles.groups
    distances = ood.distances(torch.from_numpy(held_out.embeddings)).numpy()
    limit = weighted_quantile(distances, owners, 1 - _RATE)
    ood = EmbeddingStatistics(ood.mean, ood.components, ood.residual, limit)
    groups = len(np.unique(owners))
    fields: dict[str, Any] = {
        **ood.fields(),
        "rate": _RATE,
        "overlap": round(overdispersion(distances > limit, owners), 4),
        "training_tiles": len(taught),
        "held_out_tiles": len(owners),
        "held_out_groups": groups,
        "how": (
            f"Mahalanobis distance of a tile's embedding to those of {len(taught)} training "
            f"tiles, {len(ood.components)} principal components and a common variance for the "
            f"rest. The limit is set so that at most 5 % of the tiles of a new group pass it on "
            f"average, from {groups} held-out groups, which also chose the epoch and the "
            "temperature."
        ),
    }
    return ood, fields


@dataclass(frozen=True, slots=True)
class Coverage:
    """How prediction sets do on samples that did not calibrate them.

    Attributes
    ----------
    error_rate : float
        What was asked for.
    covered : float
        Share of samples whose true class is in their set; groups count alike.
    uncertain_mask : float
        Share whose set does not hold exactly one class.
    wrong : float
        Share of the others, with one class in their set, for which it is not the true one.
    """

    error_rate: float
    covered: float
    uncertain_mask: float
    wrong: float


def _halves(groups: NDArray[np.str_], draws: int, seed: int) -> list[NDArray[np.bool_]]:
    names = np.unique(groups)
    rng = np.random.default_rng(seed)
    return [np.isin(groups, rng.permutation(names)[: len(names) // 2]) for _ in range(draws)]


def coverage_by_halves(
    held_out: LabeledPredictions,
    error_rate: float,
    other: LabeledPredictions | None = None,
    draws: int = 200,
    seed: int = 0,
) -> Coverage:
    """Calibrate on a random half of the groups, test on the other half or on ``other``; the mean.

    Parameters
    ----------
    held_out : LabeledPredictions
        Tiles of groups that the model was not trained on.
    error_rate : float
        Between 0.005 and 0.5.
    other : LabeledPredictions, optional
        Tiles to test on instead, for example of another laboratory.
    draws, seed : int
        Number of random halves and their seed.
    """
    found = []
    for half in _halves(held_out.groups, draws, seed):
        calibrating = held_out.where(half)
        scores = calibrate_conformal(
            calibrating.probabilities, calibrating.labels, calibrating.groups
        )
        tested = held_out.where(~half) if other is None else other
        found.append(_coverage(tested, scores.quantile(error_rate)))
    means = np.mean(found, axis=0)
    return Coverage(error_rate, *(round(float(v), 4) for v in means))


def _coverage(tested: LabeledPredictions, quantile: float) -> tuple[float, float, float]:
    """Return shares covered, uncertain, and wrong where they are not; groups count alike."""
    sets = prediction_sets(tested.probabilities, quantile)
    _, inverse, sizes = np.unique(tested.groups, return_inverse=True, return_counts=True)
    weight = 1 / sizes[inverse] / len(sizes)
    hit = sets[np.arange(len(tested)), tested.labels]
    single = sets.sum(axis=1) == 1
    sure = float(weight[single].sum())
    wrong = float(weight[single & ~hit].sum()) / sure if sure else 0.0
    return float(weight[hit].sum()), 1 - sure, wrong


def false_alarms_by_halves(
    distances: NDArray[np.floating], groups: NDArray[np.str_], draws: int = 200, seed: int = 0
) -> float:
    """Return the mean share outside on one half of the groups, the limit from the other half."""
    found = []
    for half in _halves(groups, draws, seed):
        limit = weighted_quantile(distances[half], groups[half], 1 - _RATE)
        found.append(float((distances[~half] > limit).mean()))
    return float(np.mean(found))


@torch.inference_mode()
def score_pictures(
    model: LoadedModel, tiles: list[NDArray[np.uint8]], device: torch.device
) -> NDArray[np.float32]:
    """Compute domain scores of RGB tiles of the model's size, shape (n,).

    Raises
    ------
    DataError
        If the model holds no domain statistics.
    """
    scorer = ood_scorer(model.card, model.statistics)
    if scorer is None:
        raise DataError(
            f"model {model.card.name} holds no domain statistics; add them with 'liverdx ood fit'"
        )
    network = model.network_on(device)
    scores = [np.empty(0, np.float32)]
    for start in range(0, len(tiles), _BATCH):
        batch = torch.from_numpy(np.stack(tiles[start : start + _BATCH])).permute(0, 3, 1, 2)
        scores.append(scorer(network, batch.to(device))[1].float().cpu().numpy())
    return np.concatenate(scores)


def save_trained(
    path: Path,
    network: TileModel,
    card: ModelCard,
    samples: TileDataset,
    split: Split,
    device: torch.device,
) -> ModelCard:
    """Write a model with its domain statistics and calibration scores; all of it appears at once.

    They are made with the weights as the file holds them, in half precision.

    Parameters
    ----------
    path : Path
        Model file to write.
    network : TileModel
        Trained.
    card : ModelCard
        Of the model.
    samples : TileDataset
        What it learned from.
    split : Split
        Which of them it was trained on and which validated.
    device : torch.device
        Where to run.

    Returns
    -------
    ModelCard
        As it stands in the file.
    """
    with writing_model(path) as partial:
        save_model_file(partial, network, card)
        saved = load_model_file(partial)
        described, statistics = describe_model(saved, samples, split.train, split.val, device)
        rewrite_model_file(partial, described, statistics, partial)
    return described
