"""Cross-validating several models on the same folds, and testing their differences."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from napari_liverdx.core.errors import DataError
from napari_liverdx.experiments.compare_config import Comparison
from napari_liverdx.experiments.complexity import Complexity, measure_complexity
from napari_liverdx.experiments.crossval import Fold, cross_validate
from napari_liverdx.experiments.summary import softmax
from napari_liverdx.metrics.bootstrap import group_draws
from napari_liverdx.metrics.classification import (
    MACRO_METRICS,
    Metric,
    balanced_accuracy,
    sensitivity,
    specificity,
)
from napari_liverdx.models.card import Interval
from napari_liverdx.training.config import EpochResult
from napari_liverdx.training.data._all import TileDataset

__all__ = [
    "ComparisonResult",
    "ModelResult",
    "PairedTest",
    "Predictions",
    "compare",
    "figures_of_merit",
    "holm",
    "model_slug",
    "paired_test",
    "write_predictions",
]

_CLEAR = 0.999


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """What a model says of tiles that it did not learn from.

    Attributes
    ----------
    index : ndarray of int, shape (n,)
        Sample of each tile.
    probabilities : ndarray of float64, shape (n, classes)
    labels : ndarray of int, shape (n,)
    clear : ndarray of bool, shape (n,)
        Whether the target is a single class; see `LabelRule`.
    groups : ndarray of str, shape (n,)
    """

    index: NDArray[np.intp]
    probabilities: NDArray[np.float64]
    labels: NDArray[np.intp]
    clear: NDArray[np.bool_]
    groups: NDArray[np.str_]

    @classmethod
    def from_folds(
        cls, folds: Sequence[Fold], samples: TileDataset, *, second: bool = False
    ) -> Predictions:
        """The test tiles of all folds, in the order of the samples.

        With ``second`` those of the second source, which every fold's model has answered: each
        tile then occurs once for each fold, so that figures are those of one model and not of an
        ensemble.
        """
        if second:
            index = np.concatenate([f.second_index for f in folds])
            scores = [softmax(f.second_scores, f.temperature) for f in folds]
            targets = np.concatenate([f.second_targets for f in folds])
        else:
            index = np.concatenate([f.index for f in folds])
            scores = [softmax(f.scores, f.temperature) for f in folds]
            targets = np.concatenate([f.targets for f in folds])
        probabilities = np.concatenate(scores)
        order = np.argsort(index, kind="stable")
        index, targets = index[order], targets[order]
        return cls(
            index,
            probabilities[order],
            targets.argmax(axis=1),
            targets.max(axis=1) >= _CLEAR,
            samples.groups[index],
        )

    def only_clear(self) -> Predictions:
        """Those of which the truth is a single class."""
        k = self.clear
        return Predictions(
            self.index[k], self.probabilities[k], self.labels[k], self.clear[k], self.groups[k]
        )


@dataclass(frozen=True, slots=True)
class ModelResult:
    """Figures of one model.

    Attributes
    ----------
    metrics : dict of str to Interval
    second : dict of str to Interval
        The same on independent test data; empty without any.
    complexity : Complexity
    start : str
        Where the weights began.
    tile_size : int
    reference : str
    """

    metrics: dict[str, Interval]
    second: dict[str, Interval]
    complexity: Complexity
    start: str
    tile_size: int
    reference: str


@dataclass(frozen=True, slots=True)
class PairedTest:
    """Difference of a model from the first one, on the same tiles.

    Attributes
    ----------
    difference : Interval
        Of balanced accuracy, model minus first; bootstrap over groups.
    p_value : float
        Two-sided permutation test: in each group the two models' answers are exchanged at random.
    p_adjusted : float
        The same after Holm's correction for the number of models.
    """

    difference: Interval
    p_value: float
    p_adjusted: float


@dataclass(frozen=True, slots=True, eq=False)
class ComparisonResult:
    """Outcome of a comparison.

    Attributes
    ----------
    first : str
        Model against which the others are tested.
    models : dict of str to ModelResult
    tests : dict of str to PairedTest
        For every model but the first.
    predictions : dict of str to Predictions
    samples, groups : int
        Test tiles and patients or slides.
    disease : str
        Name of the pathological class if there is just one, else empty.
    """

    first: str
    models: dict[str, ModelResult]
    tests: dict[str, PairedTest]
    predictions: dict[str, Predictions]
    samples: int
    groups: int
    disease: str = ""


def model_slug(name: str) -> str:
    """Name of a model's folder."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def compare(
    comparison: Comparison,
    samples: TileDataset,
    device: torch.device,
    work: Path,
    *,
    folds: int | None = None,
    draws: int = 1000,
) -> Iterator[tuple[str, EpochResult | Fold] | ComparisonResult]:
    """Train and test every model on the same grouped folds; finished folds are not repeated.

    Yields
    ------
    (str, EpochResult or Fold)
        Name of the model and what it has just done.
    ComparisonResult
        At the end.
    """
    recipes = comparison.recipes()
    for recipe in recipes.values():
        # Weights that cannot be had must be known before hours of training, not after.
        recipe.network()
    predictions: dict[str, Predictions] = {}
    second: dict[str, Predictions] = {}
    for name, recipe in recipes.items():
        done: list[Fold] = []
        place = work / model_slug(name)
        for step in cross_validate(recipe, samples, folds or comparison.folds, device, place):
            if isinstance(step, Fold):
                done.append(step)
            yield name, step
        predictions[name] = Predictions.from_folds(done, samples)
        second[name] = Predictions.from_folds(done, samples, second=True).only_clear()
    scheme = next(iter(recipes.values())).model_card().scheme
    names, ill = scheme.names, [scheme[i].name for i in scheme.pathological]
    kept = {name: p.only_clear() for name, p in predictions.items()}
    metrics = figures_of_merit(kept, names, draws=draws)
    independent = any(len(p.labels) for p in second.values())
    more = figures_of_merit(second, names, draws=draws) if independent else {}
    models = {}
    for entry in comparison.models:
        recipe = recipes[entry.name]
        size = recipe.model_card().tile_size
        network, start = recipe.network()
        models[entry.name] = ModelResult(
            metrics[entry.name],
            more.get(entry.name, {}),
            measure_complexity(network, size, device),
            start,
            size,
            entry.reference,
        )
    first, *others = kept
    tests = {name: paired_test(kept[first], kept[name], draws=draws) for name in others}
    adjusted = holm([t.p_value for t in tests.values()])
    tests = {
        name: PairedTest(test.difference, test.p_value, p)
        for (name, test), p in zip(tests.items(), adjusted, strict=True)
    }
    one = kept[first]
    yield ComparisonResult(
        first,
        models,
        tests,
        predictions,
        len(one.labels),
        len(np.unique(one.groups)),
        ill[0] if len(ill) == 1 else "",
    )


def _same_tiles(a: Predictions, b: Predictions) -> bool:
    return np.array_equal(a.index, b.index) and np.array_equal(a.labels, b.labels)


def figures_of_merit(
    predictions: Mapping[str, Predictions], class_names: Sequence[str], *, draws: int = 1000
) -> dict[str, dict[str, Interval]]:
    """Every metric of every model with its interval; all models share the bootstrap draws.

    Metrics that are not defined for the data are left out.

    Raises
    ------
    DataError
        If the models were not tested on the same tiles.
    """
    one = next(iter(predictions.values()))
    if any(not _same_tiles(one, p) for p in predictions.values()):
        raise DataError(
            "the models were tested on different tiles; give all models of a comparison the same "
            "tile size"
        )
    metrics: dict[str, Metric] = dict(MACRO_METRICS)
    for c, name in enumerate(class_names):
        if (one.labels == c).any():
            metrics[f"sensitivity {name}"] = sensitivity(c)
        if (one.labels != c).any():
            metrics[f"specificity {name}"] = specificity(c)
    chosen = list(group_draws(one.groups, draws))
    found = {}
    for model, p in predictions.items():
        rows = {}
        for name, metric in metrics.items():
            values = [metric(p.probabilities[d], p.labels[d]) for d in chosen]
            value = metric(p.probabilities, p.labels)
            if np.isnan(value):
                continue
            low, high = np.nanpercentile(values, [2.5, 97.5])
            rows[name] = Interval(
                value=round(value, 4), low=round(float(low), 4), high=round(float(high), 4)
            )
        found[model] = rows
    return found


def paired_test(
    first: Predictions, other: Predictions, *, draws: int = 1000, seed: int = 0
) -> PairedTest:
    """Does ``other`` differ from ``first`` on the same tiles?

    The interval is a bootstrap over groups of the difference in balanced accuracy. The p-value is
    that of a permutation test that exchanges the two models' answers group by group, since tiles
    of one patient are right or wrong together.

    Parameters
    ----------
    first, other : Predictions
        Of the same tiles.
    draws : int
        Bootstrap draws and permutations.
    seed : int
        Of the random numbers.
    """
    a, b, labels = first.probabilities, other.probabilities, first.labels
    values = [
        balanced_accuracy(b[d], labels[d]) - balanced_accuracy(a[d], labels[d])
        for d in group_draws(first.groups, draws, seed)
    ]
    observed = balanced_accuracy(b, labels) - balanced_accuracy(a, labels)
    low, high = np.percentile(values, [2.5, 97.5])
    rng = np.random.default_rng(seed)
    _, inverse = np.unique(first.groups, return_inverse=True)
    beyond = 1
    for _ in range(draws):
        swap = rng.random(inverse.max() + 1)[inverse] < 0.5
        one, two = np.where(swap[:, None], b, a), np.where(swap[:, None], a, b)
        difference = balanced_accuracy(two, labels) - balanced_accuracy(one, labels)
        beyond += abs(difference) >= abs(observed) - 1e-12
    interval = Interval(
        value=round(observed, 4), low=round(float(low), 4), high=round(float(high), 4)
    )
    p = beyond / (draws + 1)
    return PairedTest(interval, p, p)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number (Holm 1979)."""
    order = np.argsort(p_values)
    adjusted = np.empty(len(p_values))
    running = 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = running
    return [float(p) for p in adjusted]


def write_predictions(
    path: Path, result: ComparisonResult, samples: TileDataset, class_names: Sequence[str]
) -> None:
    """Every test prediction of every model as CSV, for tests of one's own."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["model", "sample", "group", "label", *class_names])
        for name, p in result.predictions.items():
            for i, label, row in zip(p.index, p.labels, p.probabilities, strict=True):
                values = [f"{v:.5f}" for v in row]
                table.writerow(
                    [name, samples.names[i], samples.groups[i], class_names[label], *values]
                )
