"""The founding study's protocol as one command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from napari_liverdx.cli import experiments, train
from napari_liverdx.cli.options import ALLOW_LEAKS
from napari_liverdx.core.errors import DataError

if TYPE_CHECKING:
    from napari_liverdx.experiments.compare_config import Comparison
    from napari_liverdx.training.data.base import TileDataset
    from napari_liverdx.training.keys import Key
    from napari_liverdx.training.recipe import Recipe

__all__ = ["register"]

out = Console()

_FOUNDING = ("cnn-rnn", "cnn", "rnn-subtiles")


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
    from napari_liverdx.experiments.compare_config import load_comparison, with_found_settings
    from napari_liverdx.training.recipe import load_recipe

    loaded = load_comparison(comparison)
    names = tuple(m.name for m in loaded.models if all_models or m.name in _FOUNDING)
    recipe = _start(loaded, names, data, epochs)
    out_folder.mkdir(parents=True, exist_ok=True)
    start = out_folder / "recipe.yaml"
    start.write_text(recipe.as_yaml(), encoding="utf-8")

    out.rule("1 of 4: settings of the CNN+RNN")
    experiments.search(
        str(start), data, out_folder / "search", trials, device=device, allow_leaks=allow_leaks
    )
    best = out_folder / "search" / "best.yaml"

    out.rule("2 of 4: CNN, RNN and CNN+RNN on the same folds")
    arguments = {"cnn-rnn": load_recipe(str(best)).card["arguments"]}
    changed = with_found_settings(loaded, best, names, arguments)
    if folds is not None:
        changed = changed.model_copy(update={"folds": folds})
    file = out_folder / "comparison.yaml"
    file.write_text(changed.as_yaml(), encoding="utf-8")
    experiments.compare(
        str(file), data, out_folder / "compare", device=device, allow_leaks=allow_leaks
    )

    out.rule("3 of 4: the model")
    model_file = out_folder / f"{recipe.card['name']}.safetensors"
    made_of = out_folder / "model.key"
    key = _model_key(best, recipe.samples(data))
    if not (model_file.exists() and made_of.exists() and key.is_of(made_of.read_text())):
        train.train(str(best), data, model_file, device=device, allow_leaks=allow_leaks)
        made_of.write_text(key.id, encoding="utf-8")

    out.rule("4 of 4: independent images")
    experiments.evaluate(
        str(model_file),
        data,
        out_folder / "evaluation",
        recipe=str(best),
        split="test",
        device=device,
    )


def _start(
    comparison: Comparison, names: tuple[str, ...], data: Path, epochs: int | None
) -> Recipe:
    """Return the recipe that the search starts from; the data must fit the protocol."""
    recipes = comparison.recipes()
    if len(names) < 2 or "cnn-rnn" not in recipes:
        raise DataError(
            f"comparison {comparison.title!r} has no models named {', '.join(_FOUNDING)}"
        )
    recipe = recipes["cnn-rnn"]
    if not (recipe.samples(data).splits == "test").any():
        raise DataError(
            f"{data}: the protocol needs independent images; put the pictures into train/CLASS and "
            "test/CLASS, or state the split in a table"
        )
    if epochs is not None:
        changed = recipe.train.model_copy(update={"epochs": epochs})
        recipe = recipe.model_copy(update={"train": changed})
    return recipe


def _model_key(recipe: Path, samples: TileDataset) -> Key:
    """Return the key of what the final model is made of."""
    from napari_liverdx.experiments.keys import reproduction_key

    return reproduction_key(recipe.read_text(encoding="utf-8"), samples)
