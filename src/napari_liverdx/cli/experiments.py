"""Commands that test and compare models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_liverdx.cli.options import ALLOW_LEAKS, public_command
from napari_liverdx.cli.steps import print_steps

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.command()(crossval)
    app.command()(compare)
    app.command()(search)
    app.command()(evaluate)
    app.command()(reproduce)


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
    import torch

    from napari_liverdx.core.errors import DataError
    from napari_liverdx.experiments.compare_config import load_comparison
    from napari_liverdx.experiments.compare_files import compare_files
    from napari_liverdx.inference.device import choose_device

    loaded = load_comparison(comparison)
    if only:
        models = tuple(m for m in loaded.models if m.name in only)
        if len(models) < 2:
            listed = ", ".join(m.name for m in loaded.models)
            raise DataError(f"--only must name at least two of: {listed}")
        loaded = loaded.model_copy(update={"models": models})
    if folds is not None:
        loaded = loaded.model_copy(update={"folds": folds})
    steps = compare_files(
        loaded,
        next(iter(loaded.recipes().values())).samples(data),
        torch.device(choose_device(device).device),
        out_folder,
        work=work,
        command=public_command(data),
        allow_leaks=allow_leaks,
    )
    print_steps(steps, loaded.folds)


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
    import torch

    from napari_liverdx.experiments.compare_config import recipe_comparison
    from napari_liverdx.experiments.compare_files import crossval_files
    from napari_liverdx.inference.device import choose_device
    from napari_liverdx.training.recipe import load_recipe

    steps = crossval_files(
        recipe_comparison(recipe, without_rnn=without_rnn, folds=folds),
        load_recipe(recipe).samples(data),
        torch.device(choose_device(device).device),
        out_folder,
        work=work,
        command=public_command(data),
        allow_leaks=allow_leaks,
    )
    print_steps(steps, folds)


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

    from napari_liverdx.experiments.search_files import search_files
    from napari_liverdx.experiments.search_space import load_space
    from napari_liverdx.inference.device import choose_device
    from napari_liverdx.training.recipe import load_recipe

    loaded = load_recipe(recipe)
    steps = search_files(
        loaded,
        loaded.samples(data),
        torch.device(choose_device(device).device),
        out_folder,
        space=None if space is None else load_space(space),
        trials=trials,
        test_folds=test_folds,
        command=public_command(data),
        allow_leaks=allow_leaks,
    )
    print_steps(steps)


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
    import torch

    from napari_liverdx.experiments.evaluate_files import (
        evaluate_files,
        model_samples,
        samples_of_split,
    )
    from napari_liverdx.inference.device import choose_device
    from napari_liverdx.models.zoo import load_model
    from napari_liverdx.training.data.config import DataConfig, guess_kind
    from napari_liverdx.training.recipe import load_recipe

    loaded = load_model(model)
    config = DataConfig(kind=guess_kind(data)) if recipe is None else load_recipe(recipe).data
    samples = model_samples(loaded, data, config)
    steps = evaluate_files(
        loaded,
        samples,
        samples_of_split(samples, data, source or (), split),
        torch.device(choose_device(device).device),
        out_folder,
        data=data,
        command=public_command(data),
    )
    print_steps(steps)


def reproduce(
    comparison: Annotated[
        str, typer.Argument(help="Packaged comparison or file; hcc for the founding study.")
    ],
    data: Annotated[Path, typer.Argument(help="Folder with train/CLASS and test/CLASS.")],
    out_folder: Annotated[Path, typer.Option("--out", "-o", help="Folder for everything.")],
    trials: Annotated[int, typer.Option(min=1, help="Settings tried in the search.")] = 20,
    all_models: Annotated[
        bool, typer.Option("--all-models", help="Compare all of the comparison's models.")
    ] = False,
    folds: Annotated[
        int | None, typer.Option(min=2, help="Overrides the number in the comparison file.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    allow_leaks: Annotated[bool, typer.Option("--allow-leaks", help=ALLOW_LEAKS)] = False,
) -> None:
    """Search settings, compare CNN, RNN and CNN+RNN, train the best, test on independent images.

    Every step resumes: after a stop give the same command again.
    """
    from napari_liverdx.experiments.compare_config import load_comparison
    from napari_liverdx.experiments.reproduce import Study, reproduce_study
    from napari_liverdx.inference.device import choose_device

    loaded = load_comparison(comparison)
    study = Study(loaded, data, out_folder, trials, all_models, folds, epochs)
    command = public_command(data)
    place = choose_device(device).device
    print_steps(reproduce_study(study, place, command=command, allow_leaks=allow_leaks))
