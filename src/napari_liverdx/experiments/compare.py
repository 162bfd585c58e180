"""Cross-validating several models on the same folds, and testing their differences."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from napari_liverdx._files import atomic_write
from napari_liverdx._text import write_csv
from napari_liverdx.core.errors import storage_errors
from napari_liverdx.experiments.compare_config import Comparison
from napari_liverdx.experiments.complexity import Complexity, measure_complexity
from napari_liverdx.experiments.crossval import Fold, cross_validate
from napari_liverdx.metrics.classification import Metric, balanced_accuracy
from napari_liverdx.metrics.figures import figures_of_merit
from napari_liverdx.metrics.predictions import LabeledPredictions
from napari_liverdx.metrics.significance import PairedTest, holm, paired_test
from napari_liverdx.models.card import Interval
from napari_liverdx.training.config import EpochResult
from napari_liverdx.training.data._all import TileDataset
from napari_liverdx.training.recipe import Recipe

__all__ = ["ComparisonResult", "ModelResult", "compare", "model_slug", "write_predictions"]

Sections = dict[str, dict[str, Interval]]


@dataclass(frozen=True, slots=True)
class ModelResult:
    """Figures of one model.

    Attributes
    ----------
    metrics : dict of str to Interval
    second : dict of str to Interval
        The same on independent test data; empty without any.
    further : dict of str to dict of str to Interval
        Balanced accuracy, sensitivity, specificity and calibration error of what is not clear
        too and of subtiles: sections ``all``, ``subtiles`` and ``second source all``.
    complexity : Complexity
    start : str
        Where the weights began.
    tile_size : int
    reference : str
    """

    metrics: dict[str, Interval]
    second: dict[str, Interval]
    further: Sections
    complexity: Complexity
    start: str
    tile_size: int
    reference: str


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
    predictions : dict of str to LabeledPredictions
    samples, groups : int
        Test tiles and patients or slides.
    disease : str
        Name of the pathological class if there is just one, else empty.
    """

    first: str
    models: dict[str, ModelResult]
    tests: dict[str, PairedTest]
    predictions: dict[str, LabeledPredictions]
    samples: int
    groups: int
    disease: str = ""


def model_slug(name: str) -> str:
    """Return the name of a model's folder."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def compare(
    comparison: Comparison,
    samples: TileDataset,
    device: torch.device,
    work: Path,
    *,
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
    folds_of: dict[str, list[Fold]] = {}
    for name, recipe in recipes.items():
        done = folds_of[name] = []
        place = _place(work, name)
        for step in cross_validate(recipe, samples, comparison.folds, device, place):
            if isinstance(step, Fold):
                done.append(step)
            yield name, step
    yield _compared(comparison, recipes, folds_of, device, draws)


def _place(work: Path, name: str) -> Path:
    """Return where a model's folds are kept; cross-validations of 0.1.0 spelled it otherwise."""
    former = work / name.replace(" ", "-")
    return former if former.exists() else work / model_slug(name)


def _compared(
    comparison: Comparison,
    recipes: Mapping[str, Recipe],
    folds_of: Mapping[str, Sequence[Fold]],
    device: torch.device,
    draws: int,
) -> ComparisonResult:
    scheme = next(iter(recipes.values())).model_card().scheme
    tiles = {k: _joined([f.tiles for f in folds]) for k, folds in folds_of.items()}
    # Every fold's model has answered for the second source: each tile occurs once for each fold,
    # so that figures are those of one model and not of an ensemble.
    second = {k: _joined([f.second for f in folds]) for k, folds in folds_of.items()}
    clear = {name: p.only_clear() for name, p in tiles.items()}
    metrics = figures_of_merit(clear, scheme.names, draws=draws)
    independent = {name: p.only_clear() for name, p in second.items()}
    has_second = all(len(p) for p in independent.values())
    more = figures_of_merit(independent, scheme.names, draws=draws) if has_second else {}
    parts = {"all": tiles, "subtiles": _subtiles(folds_of)}
    further = _further(parts | {"second source all": second}, scheme.names, draws)
    models = {}
    for entry in comparison.models:
        recipe = recipes[entry.name]
        size = recipe.model_card().tile_size
        network, start = recipe.network()
        models[entry.name] = ModelResult(
            metrics[entry.name],
            more.get(entry.name, {}),
            {section: rows[entry.name] for section, rows in further.items() if entry.name in rows},
            measure_complexity(network, size, device),
            start,
            size,
            entry.reference,
        )
    first = next(iter(clear))
    one, ill = clear[first], [scheme[i].name for i in scheme.pathological]
    return ComparisonResult(
        first,
        models,
        _tests(clear, draws),
        tiles,
        len(one),
        len(np.unique(one.groups)),
        ill[0] if len(ill) == 1 else "",
    )


def _joined(parts: Sequence[LabeledPredictions]) -> LabeledPredictions:
    return LabeledPredictions.joined(parts).in_order()


def _subtiles(folds_of: Mapping[str, Sequence[Fold]]) -> dict[str, LabeledPredictions]:
    """Clear subtiles of the models of which all folds give some."""
    found = {}
    for name, folds in folds_of.items():
        given = [f.subtiles for f in folds if f.subtiles is not None]
        if given and len(given) == len(folds):
            found[name] = LabeledPredictions.joined(given).only_clear()
    return found


def _further(
    parts: Mapping[str, Mapping[str, LabeledPredictions]], names: Sequence[str], draws: int
) -> dict[str, Sections]:
    """Return figures by section and model; models may cut tiles into different subtiles."""
    macro: dict[str, Metric] = {"balanced accuracy": balanced_accuracy}
    return {
        section: {
            name: figures_of_merit({name: p}, names, draws=draws, macro=macro)[name]
            for name, p in predictions.items()
            if len(p)
        }
        for section, predictions in parts.items()
    }


def _tests(clear: Mapping[str, LabeledPredictions], draws: int) -> dict[str, PairedTest]:
    """Test each model but the first against it, corrected for their number."""
    first, *others = clear
    tests = {name: paired_test(clear[first], clear[name], draws=draws) for name in others}
    adjusted = holm([t.p_value for t in tests.values()])
    return {
        name: replace(test, p_adjusted=p)
        for (name, test), p in zip(tests.items(), adjusted, strict=True)
    }


def write_predictions(
    path: Path, result: ComparisonResult, samples: TileDataset, class_names: Sequence[str]
) -> None:
    """Write every test prediction of every model as CSV, for tests of one's own."""
    with (
        storage_errors(path, "finished folds are kept"),
        atomic_write(path) as partial,
        partial.open("w", newline="", encoding="utf-8") as file,
    ):
        rows = _prediction_rows(result, samples, class_names)
        write_csv(file, rows, line_end="\r\n")


def _prediction_rows(
    result: ComparisonResult, samples: TileDataset, class_names: Sequence[str]
) -> Iterator[list[str]]:
    yield ["model", "sample", "group", "label", *class_names]
    for name, p in result.predictions.items():
        for i, label, row in zip(p.index, p.labels, p.probabilities, strict=True):
            values = [f"{v:.5f}" for v in row]
            group = str(samples.groups[i])
            yield [name, samples.names[i], group, class_names[label], *values]
