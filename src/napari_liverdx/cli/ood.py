"""``liverdx ood``: out-of-distribution statistics and error rates of a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_liverdx.cli.options import out

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(help="Out-of-distribution statistics and error rates of a model.")
    group.command("fit")(fit)
    group.command("check")(check)
    group.command("score")(score)
    app.add_typer(group, name="ood", no_args_is_help=True)


def fit(
    model: Annotated[str, typer.Argument(help="Name or path of the model.")],
    data: Annotated[Path, typer.Argument(help="Folder with the data it was trained on.")],
    recipe: Annotated[str, typer.Option(help="The recipe it was trained with.")],
    out_file: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write; else the model's own.")
    ] = None,
) -> None:
    """Add out-of-distribution statistics and calibration scores to a model, not to its weights.

    The training and validation parts are those of 'liverdx train' with the same recipe and data.
    """
    import torch

    from napari_liverdx.models.file import load_model_file, rewrite_model_file
    from napari_liverdx.models.zoo import find_model
    from napari_liverdx.training.calibrate import describe_model
    from napari_liverdx.training.recipe import load_recipe, recipe_split

    path = find_model(model)
    loaded = load_model_file(path)
    settings = load_recipe(recipe)
    samples = settings.samples(data)
    split = recipe_split(settings, samples)
    card, statistics = describe_model(loaded, samples, split.train, split.val, torch.device("cpu"))
    target = out_file or path
    rewrite_model_file(path, card, statistics, target)
    out.print(card.ood["how"], highlight=False)
    out.print(f"wrote {target}", highlight=False, soft_wrap=True)
    out.print(
        "The file has changed: slide-level models, bags and unfinished results made with "
        "the earlier file do not fit it.",
        style="yellow",
        highlight=False,
    )


def check(
    model: Annotated[str, typer.Argument(help="Name or path of the model.")],
    data: Annotated[Path, typer.Argument(help="Folder with the data it was trained on.")],
    recipe: Annotated[str, typer.Option(help="The recipe it was trained with.")],
    out_folder: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for a table as JSON and Markdown.")
    ] = None,
) -> None:
    """Test the limits and error rates of a model on halves of its validation groups."""
    from napari_liverdx.models.zoo import load_model
    from napari_liverdx.training.ood import check_halves, halves_markdown
    from napari_liverdx.training.recipe import load_recipe

    loaded, settings = load_model(model), load_recipe(recipe)
    found = check_halves(loaded, settings, settings.samples(data))
    page = halves_markdown(found)
    out.print(page.rstrip(), highlight=False, soft_wrap=True)
    if out_folder is not None:
        _write(out_folder, f"{loaded.card.name}-halves", found.as_json(), page)


def score(
    model: Annotated[str, typer.Argument(help="Name or path of the model.")],
    data: Annotated[
        list[str], typer.Argument(help="Slides, folders of images, or quoted patterns of files.")
    ],
    recipe: Annotated[
        str | None,
        typer.Option(help="Take the first DATA as training data of this recipe, part by part."),
    ] = None,
    mpp: Annotated[float, typer.Option(help="µm/px of slides that state none.")] = 0.5,
    tiles: Annotated[int, typer.Option(help="Most tiles of each.")] = 200,
    out_folder: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for a table as JSON and Markdown.")
    ] = None,
) -> None:
    """Score how unlike the training data slides and pictures are."""
    from napari_liverdx.models.zoo import load_model
    from napari_liverdx.training.ood import score_data, scores_markdown
    from napari_liverdx.training.recipe import load_recipe

    loaded, sources = load_model(model), list(data)
    training = None if recipe is None else (load_recipe(recipe), Path(sources.pop(0)))
    scores = []
    for score in score_data(loaded, sources, training=training, mpp=mpp, most=tiles):
        scores.append(score)
        out.print(f"{score.data}: {score.assessment}", highlight=False, soft_wrap=True)
    if out_folder is not None:
        rows = [score.as_json() for score in scores]
        how = loaded.card.ood.get("how", "")
        record = {"model": loaded.card.name, "how": how, "rows": rows}
        _write(out_folder, loaded.card.name, record, scores_markdown(loaded, scores))


def _write(folder: Path, name: str, record: dict[str, Any], page: str) -> None:
    from napari_liverdx._files import write_whole
    from napari_liverdx.core.errors import storage_errors

    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    with storage_errors(folder, "the scores are not kept"):
        write_whole(folder / f"{name}.json", text)
        write_whole(folder / f"{name}.md", page)
