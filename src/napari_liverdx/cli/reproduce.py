"""The founding study's protocol as one command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_liverdx.cli.options import ALLOW_LEAKS, public_command
from napari_liverdx.cli.steps import print_steps

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.command()(reproduce)


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
