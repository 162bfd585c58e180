"""Commands that test and compare models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from napari_liverdx.cli.options import ALLOW_LEAKS, check_folds, check_parts, public_command

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from napari_liverdx.experiments.compare import ComparisonResult
    from napari_liverdx.experiments.compare_config import Comparison
    from napari_liverdx.experiments.evaluate import Evaluation
    from napari_liverdx.experiments.search import SearchResult
    from napari_liverdx.models.file import LoadedModel
    from napari_liverdx.training.data._all import TileDataset

__all__ = ["register"]

out = Console()


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.command()(crossval)
    app.command()(compare)
    app.command()(search)
    app.command()(evaluate)


def compare(
    comparison: Annotated[
        str, typer.Argument(help="Name of a packaged comparison, or a .toml or .yaml file.")
    ],
    data: Annotated[Path, typer.Argument(help="Folder with the data.")],
    out_folder: Annotated[Path, typer.Option("--out", "-o", help="Folder for the tables.")],
    folds: Annotated[
        int | None, typer.Option(min=2, help="Overrides the number in the comparison file.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Compare only these models; repeatable.")
    ] = None,
    work: Annotated[
        Path | None, typer.Option(help="Where finished folds are kept; OUT/work by default.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    allow_leaks: Annotated[bool, typer.Option("--allow-leaks", help=ALLOW_LEAKS)] = False,
) -> None:
    """Cross-validate several architectures on the same grouped folds.

    Writes compare.json, compare.md, figures, and every test prediction. Finished folds are kept:
    the same command goes on where it was stopped.
    """
    from napari_liverdx.core.errors import DataError
    from napari_liverdx.experiments.compare import write_predictions
    from napari_liverdx.experiments.compare_config import load_comparison
    from napari_liverdx.experiments.tables import ComparisonFacts, write_comparison

    loaded = load_comparison(comparison)
    if only:
        models = tuple(m for m in loaded.models if m.name in only)
        if len(models) < 2:
            listed = ", ".join(m.name for m in loaded.models)
            raise DataError(f"--only must name at least two of: {listed}")
        loaded = loaded.model_copy(update={"models": models})
    if folds is not None:
        loaded = loaded.model_copy(update={"folds": folds})
    recipe = next(iter(loaded.recipes().values()))
    samples = recipe.samples(data)
    check_folds(recipe, samples, loaded.folds, allow_leaks=allow_leaks)
    result = _compared(loaded, samples, device, work or out_folder / "work")
    out_folder.mkdir(parents=True, exist_ok=True)
    pictures = _draw(out_folder, result, loaded.title)
    facts = ComparisonFacts(loaded.title, public_command(data), loaded.note, pictures)
    write_comparison(out_folder, "compare", result, facts)
    names = recipe.model_card().scheme.names
    write_predictions(out_folder / "predictions.csv", result, samples, names)
    _say_comparison(result)
    out.print(f"wrote {out_folder / 'compare.md'}, compare.json, predictions.csv", highlight=False)


def crossval(
    recipe: Annotated[
        str, typer.Argument(help="Name of a packaged recipe, or a .toml or .yaml file.")
    ],
    data: Annotated[Path, typer.Argument(help="Folder with the data.")],
    out_folder: Annotated[Path, typer.Option("--out", "-o", help="Folder for the tables.")],
    folds: Annotated[int, typer.Option(min=2, help="Number of grouped folds.")] = 5,
    without_rnn: Annotated[
        bool, typer.Option(help="Also the same encoder without the recurrent network.")
    ] = True,
    work: Annotated[
        Path | None, typer.Option(help="Where finished folds are kept; OUT/work by default.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    allow_leaks: Annotated[bool, typer.Option("--allow-leaks", help=ALLOW_LEAKS)] = False,
) -> None:
    """Test a recipe by grouped cross-validation, with and without the recurrent network.

    Writes crossval.json and crossval.md. Finished folds are kept: the same command goes on where
    it was stopped.
    """
    from napari_liverdx.experiments.compare_config import recipe_comparison
    from napari_liverdx.experiments.tables import ComparisonFacts, write_comparison
    from napari_liverdx.training.recipe import load_recipe

    loaded = load_recipe(recipe)
    samples = loaded.samples(data)
    check_folds(loaded, samples, folds, allow_leaks=allow_leaks)
    comparison = recipe_comparison(recipe, without_rnn=without_rnn, folds=folds)
    result = _compared(comparison, samples, device, work or out_folder / "work")
    facts = ComparisonFacts(comparison.title, public_command(data))
    write_comparison(out_folder, "crossval", result, facts)
    _say_comparison(result)
    out.print(f"wrote {out_folder / 'crossval.json'} and crossval.md", highlight=False)


def _compared(
    comparison: Comparison, samples: TileDataset, device: str, work: Path
) -> ComparisonResult:
    """Run a comparison and report its progress."""
    import torch

    from napari_liverdx.experiments.compare import ComparisonResult
    from napari_liverdx.experiments.compare import compare as run
    from napari_liverdx.experiments.crossval import Fold
    from napari_liverdx.inference.device import choose_device

    result: ComparisonResult | None = None
    for step in run(comparison, samples, torch.device(choose_device(device).device), work):
        if isinstance(step, ComparisonResult):
            result = step
            continue
        name, event = step
        if isinstance(event, Fold):
            out.print(f"{name}: fold {event.fold + 1} of {comparison.folds} done", highlight=False)
        elif not event.restored:
            out.print(
                f"{name}: epoch {event.epoch}, validation loss {event.val_loss:.3f}, balanced "
                f"accuracy {event.val_balanced_accuracy:.3f}",
                style="dim",
                highlight=False,
            )
    assert result is not None
    return result


def _draw(folder: Path, result: ComparisonResult, title: str) -> list[tuple[str, str]]:
    from napari_liverdx.core.errors import DataError
    from napari_liverdx.experiments.plots import forest_figure, save_figures, speed_figure

    try:
        figures = {"compare": forest_figure(result, title), "speed": speed_figure(result, title)}
    except DataError as error:
        out.print(f"[yellow]no figures: {error}[/]", soft_wrap=True)
        return []
    save_figures(folder, figures)
    return [("Balanced accuracy", "compare.png"), ("Accuracy and speed", "speed.png")]


def _say_comparison(result: ComparisonResult) -> None:
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    table.add_column("model")
    for column in ("balanced accuracy", "AUC", "MCC", "p, Holm", "tiles/s"):
        table.add_column(column, justify="right")
    for name, model in result.models.items():
        test = result.tests.get(name)
        table.add_row(
            name,
            str(model.metrics["balanced accuracy"]),
            f"{model.metrics['AUC'].value:.3f}" if "AUC" in model.metrics else "–",
            f"{model.metrics['MCC'].value:.3f}",
            "" if test is None else f"{test.p_adjusted:.3f}",
            f"{model.complexity.tiles_per_second:.0f}",
        )
    out.print(table)


def search(
    recipe: Annotated[str, typer.Argument(help="Name of a packaged recipe, or a file.")],
    data: Annotated[Path, typer.Argument(help="Folder with the data.")],
    out_folder: Annotated[Path, typer.Option("--out", "-o", help="Folder for the outcome.")],
    trials: Annotated[int, typer.Option(min=1, help="How many settings to try in all.")] = 20,
    space: Annotated[
        Path | None,
        typer.Option(help="TOML or YAML file with the settings to search and their ranges."),
    ] = None,
    test_folds: Annotated[
        int, typer.Option(min=2, help="One of so many grouped parts is kept for the final test.")
    ] = 5,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    allow_leaks: Annotated[bool, typer.Option("--allow-leaks", help=ALLOW_LEAKS)] = False,
) -> None:
    """Search better settings for a recipe with Optuna, then test the best once.

    Poor trials are stopped early. A search that was stopped goes on when the same command is
    given again. Writes best.yaml, a recipe for 'liverdx train', and trials.csv.
    """
    import torch

    from napari_liverdx.experiments.search import SearchResult, Trial, search_split
    from napari_liverdx.experiments.search import search as run
    from napari_liverdx.experiments.search_space import load_space
    from napari_liverdx.inference.device import choose_device
    from napari_liverdx.training.recipe import load_recipe

    loaded = load_recipe(recipe)
    samples = loaded.samples(data)
    ranges = None if space is None else load_space(space)
    parts = zip(("train", "val", "test"), search_split(loaded, samples, test_folds), strict=True)
    check_parts(samples, dict(parts), allow_leaks=allow_leaks)
    chosen = torch.device(choose_device(device).device)
    for step in run(
        loaded, samples, chosen, out_folder, space=ranges, trials=trials, test_folds=test_folds
    ):
        if isinstance(step, Trial):
            mark = " best" if step.best else ""
            out.print(f"trial {step.number}: {step.state}, {step.value:.4f}{mark}", highlight=False)
        elif isinstance(step, SearchResult):
            _write_search(out_folder, step, public_command(data))


def _write_search(folder: Path, result: SearchResult, command: str) -> None:
    import csv

    from rich.table import Table

    facts = {
        "command": command,
        "settings": result.settings,
        "set aside before the search": {
            "as found": {k: v.model_dump(exclude={"how"}) for k, v in result.metrics.items()},
            "as before": {k: v.model_dump(exclude={"how"}) for k, v in result.before.items()},
        },
    }
    (folder / "search.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    (folder / "best.yaml").write_text(result.recipe.as_yaml(), encoding="utf-8")
    with (folder / "trials.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        names = sorted({name for t in result.trials for name in t.settings})
        table.writerow(["trial", "state", "validation loss", *names])
        for t in result.trials:
            table.writerow([t.number, t.state, t.value, *(t.settings.get(n, "") for n in names)])
    shown = Table(box=None, header_style="bold")
    for column in ("on groups set aside before the search", "as before", "as found"):
        shown.add_column(column)
    for name in ("balanced accuracy", "AUC", "MCC"):
        shown.add_row(name, str(result.before.get(name, "–")), str(result.metrics.get(name, "–")))
    out.print(shown)
    out.print(f"wrote {folder / 'best.yaml'}, search.json, trials.csv", highlight=False)


def evaluate(
    model: Annotated[str, typer.Argument(help="Name or path of a model.")],
    data: Annotated[Path, typer.Argument(help="Labeled data: a folder or a CSV file.")],
    out_folder: Annotated[Path, typer.Option("--out", "-o", help="Folder for page and JSON.")],
    recipe: Annotated[
        str | None, typer.Option(help="Recipe whose [data] says what the data look like.")
    ] = None,
    source: Annotated[
        list[str] | None, typer.Option(help="Only samples of this source; repeatable.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Only samples of this split: train, val or test.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Test a model on labeled data: figures, intervals, ROC, calibration, worst tiles.

    Writes evaluation.html, a page that needs no other file, and evaluation.json.
    """
    from napari_liverdx.experiments.evaluate import (
        evaluation_json,
        evaluation_notices,
        evaluation_page,
        write_evaluation,
    )
    from napari_liverdx.models.zoo import load_model
    from napari_liverdx.training.data.config import DataConfig, guess_kind
    from napari_liverdx.training.recipe import load_recipe

    loaded = load_model(model)
    config = DataConfig(kind=guess_kind(data)) if recipe is None else load_recipe(recipe).data
    card = loaded.card
    samples = config.samples(
        data,
        card.scheme.names,
        mpp=card.mpp,
        tile_size=card.tile_size,
        attributes=loaded.network.attributes if config.kind == "table" else (),
    )
    chosen = _chosen(samples, data, tuple(source or ()), split)
    result = _evaluated(loaded, samples, chosen, device)
    command = public_command(data)
    notices = evaluation_notices(loaded, samples, chosen, data)
    for notice in notices:
        out.print(f"[yellow]{escape(notice)}[/]", highlight=False, soft_wrap=True)
    page = evaluation_page(result, loaded, command, _evaluation_figures(result, loaded), notices)
    write_evaluation(out_folder, page, evaluation_json(result, loaded, command))
    for name, value in result.metrics.items():
        out.print(f"{name:28} {value}", highlight=False)
    out.print(f"wrote {out_folder / 'evaluation.html'} and evaluation.json", highlight=False)


def _chosen(
    samples: TileDataset, data: Path, sources: tuple[str, ...], split: str | None
) -> NDArray[np.intp]:
    """Return the indices of the samples of the sources and the split."""
    from napari_liverdx.core.errors import DataError
    from napari_liverdx.training.data.splits import of_sources

    chosen = of_sources(samples, sources)
    if split is not None:
        chosen = chosen[samples.splits[chosen] == split]
        if not len(chosen):
            raise DataError(f"{data}: no sample belongs to the split {split!r}")
    return chosen


def _evaluated(
    model: LoadedModel, samples: TileDataset, chosen: NDArray[np.intp], device: str
) -> Evaluation:
    """Run a test and show how far it is."""
    import torch
    from rich.progress import Progress

    from napari_liverdx.experiments.evaluate import Evaluation, evaluate_model
    from napari_liverdx.inference.device import choose_device

    result: Evaluation | None = None
    place = torch.device(choose_device(device).device)
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=len(chosen))
        for step in evaluate_model(model, samples, place, chosen):
            if isinstance(step, Evaluation):
                result = step
            else:
                bar.update(task, completed=step)
    assert result is not None
    return result


def _evaluation_figures(result: Evaluation, model: LoadedModel) -> dict[str, Figure]:
    from napari_liverdx.experiments.plots import confusion_figure, reliability_figure, roc_figure

    clear = result.predictions.only_clear()
    titles = [c.title for c in model.card.classes]
    return {
        "Confusion": confusion_figure(result.confusion, titles),
        "ROC": roc_figure(clear.probabilities.astype("float64"), clear.labels, titles),
        "Reliability": reliability_figure(clear.probabilities, clear.labels),
    }
