"""Comparisons and cross-validations with their files: tables, figures, predictions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from napari_liverdx.core.errors import DataError
from napari_liverdx.experiments.compare import ComparisonResult, compare, write_predictions
from napari_liverdx.experiments.compare_config import Comparison
from napari_liverdx.experiments.crossval import Fold, audited_folds
from napari_liverdx.experiments.plots import forest_figure, save_figures, speed_figure
from napari_liverdx.experiments.tables import ComparisonFacts, write_comparison
from napari_liverdx.experiments.written import Written
from napari_liverdx.training.audit.audit import check_leaks
from napari_liverdx.training.audit.report import Finding
from napari_liverdx.training.config import EpochResult
from napari_liverdx.training.data._all import TileDataset
from napari_liverdx.training.train_file import Notice

__all__ = ["CompareStep", "compare_files", "crossval_files"]

CompareStep = Finding | Notice | tuple[str, EpochResult | Fold] | ComparisonResult | Written


def compare_files(
    comparison: Comparison,
    samples: TileDataset,
    device: torch.device,
    folder: Path,
    *,
    work: Path | None = None,
    command: str = "",
    allow_leaks: bool = False,
) -> Iterator[CompareStep]:
    """Audit the data, `compare`, and write tables, figures and every test prediction.

    Parameters
    ----------
    comparison, samples, device
        See `compare`.
    folder : Path
        Of the files.
    work : Path, optional
        Where finished folds are kept; ``folder/work`` by default.
    command : str
        How the comparison is made again, for its tables.
    allow_leaks : bool
        Whether to go on if the data leak.

    Yields
    ------
    Finding
        Of the audit, but for mere notes.
    (str, EpochResult or Fold)
        Name of the model and what it has just done.
    Notice
        If the figures cannot be drawn.
    ComparisonResult, Written
        At the end.

    Raises
    ------
    DataError
        If the data leak and that is not allowed, or cannot be split.
    """
    for step in _compared(comparison, samples, device, work or folder / "work", allow_leaks):
        if not isinstance(step, ComparisonResult):
            yield step
            continue
        pictures: list[tuple[str, str]] = []
        try:
            pictures = _draw(folder, step, comparison.title)
        except DataError as error:
            yield Notice(f"no figures: {error}")
        facts = ComparisonFacts(comparison.title, command, comparison.note, pictures)
        write_comparison(folder, "compare", step, facts)
        names = next(iter(comparison.recipes().values())).model_card().scheme.names
        write_predictions(folder / "predictions.csv", step, samples, names)
        yield step
        files = ("compare.md", "compare.json", "predictions.csv")
        yield Written(tuple(folder / name for name in files))


def crossval_files(
    comparison: Comparison,
    samples: TileDataset,
    device: torch.device,
    folder: Path,
    *,
    work: Path | None = None,
    command: str = "",
    allow_leaks: bool = False,
) -> Iterator[CompareStep]:
    """Audit the data, cross-validate a recipe (see `recipe_comparison`), and write the tables.

    Parameters, steps and errors are those of `compare_files`, without figures and predictions.
    """
    for step in _compared(comparison, samples, device, work or folder / "work", allow_leaks):
        if isinstance(step, ComparisonResult):
            facts = ComparisonFacts(comparison.title, command)
            write_comparison(folder, "crossval", step, facts)
        yield step
    yield Written((folder / "crossval.json", folder / "crossval.md"))


def _compared(
    comparison: Comparison,
    samples: TileDataset,
    device: torch.device,
    work: Path,
    allow_leaks: bool,
) -> Iterator[Finding | tuple[str, EpochResult | Fold] | ComparisonResult]:
    recipe = next(iter(comparison.recipes().values()))
    parts = audited_folds(recipe, samples, comparison.folds)
    yield from check_leaks(samples, parts, allow_leaks=allow_leaks)
    yield from compare(comparison, samples, device, work)


def _draw(folder: Path, result: ComparisonResult, title: str) -> list[tuple[str, str]]:
    figures = {"compare": forest_figure(result, title), "speed": speed_figure(result, title)}
    save_figures(folder, figures)
    return [("Balanced accuracy", "compare.png"), ("Accuracy and speed", "speed.png")]
