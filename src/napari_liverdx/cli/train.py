"""Commands that make and test models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_liverdx.cli.options import ALLOW_LEAKS, public_command
from napari_liverdx.cli.steps import print_steps

__all__ = ["register"]

_RECIPE = "Name of a packaged recipe, or a .toml or .yaml file."


def register(app: typer.Typer) -> None:
    """Add the training commands to the program."""
    app.command()(train)


def train(
    recipe: Annotated[str, typer.Argument(help=_RECIPE)],
    data: Annotated[Path, typer.Argument(help="Folder with the data.")],
    out_file: Annotated[Path, typer.Option("--out", "-o", help="Model file to write.")],
    metrics: Annotated[
        Path | None, typer.Option(help="crossval.json whose figures go into the card.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    epochs: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's.")] = None,
    allow_leaks: Annotated[bool, typer.Option("--allow-leaks", help=ALLOW_LEAKS)] = False,
) -> None:
    """Train a model by transfer learning and write its file.

    Beside it go the curves, as OUT.history.csv and OUT.curves.png. A run that was stopped resumes
    from OUT.checkpoint when the same command is given again. On several GPUs:
    torchrun --nproc-per-node N -m napari_liverdx train …
    """
    from napari_liverdx.experiments.tables import card_figures
    from napari_liverdx.inference.device import choose_device
    from napari_liverdx.training.recipe import load_recipe
    from napari_liverdx.training.train_file import train_file

    loaded = load_recipe(recipe)
    if epochs is not None:
        changed = loaded.train.model_copy(update={"epochs": epochs})
        loaded = loaded.model_copy(update={"train": changed})
    figures = None if metrics is None else card_figures(metrics)
    steps = train_file(
        loaded,
        loaded.samples(data),
        choose_device(device).device,
        out_file,
        metrics=figures,
        command=public_command(data),
        allow_leaks=allow_leaks,
    )
    print_steps(steps, loaded.train.epochs)
