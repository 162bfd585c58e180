"""Commands about what a model knows: its domain and how sure it may be."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from napari_liverdx.core.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_liverdx.metrics.predictions import LabeledPredictions
    from napari_liverdx.models.file import LoadedModel
    from napari_liverdx.training.data._all import TileDataset

__all__ = ["register"]

out = Console()
_PICTURES = {".png", ".jpg", ".jpeg", ".bmp"}


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
    """Add domain statistics and calibration scores to a model; its weights stay as they are.

    The training and validation parts are those of 'liverdx train' with the same recipe and data.
    """
    import torch

    from napari_liverdx.models.file import load_model_file, rewrite_model_file
    from napari_liverdx.models.zoo import find_model
    from napari_liverdx.training.calibrate import describe_model
    from napari_liverdx.training.recipe import load_recipe

    path = find_model(model)
    loaded = load_model_file(path)
    settings = load_recipe(recipe)
    samples = settings.samples(data)
    train, val = _parts(settings, samples)
    card, statistics = describe_model(loaded, samples, train, val, torch.device("cpu"))
    target = out_file or path
    rewrite_model_file(path, card, statistics, target)
    out.print(card.ood["how"], highlight=False)
    out.print(f"wrote {target}", highlight=False, soft_wrap=True)
    out.print(
        "The file is another one now: slide contexts, bags and unfinished results made with the "
        "earlier file do not fit it.",
        style="yellow",
        highlight=False,
    )


def _parts(settings: Any, samples: TileDataset) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    from napari_liverdx.training.recipe import recipe_split

    split = recipe_split(settings, samples)
    return split.train, split.val


def check(
    model: Annotated[str, typer.Argument(help="Name or path of the model.")],
    data: Annotated[Path, typer.Argument(help="Folder with the data it was trained on.")],
    recipe: Annotated[str, typer.Option(help="The recipe it was trained with.")],
    out_folder: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for a table as JSON and Markdown.")
    ] = None,
) -> None:
    """Test the limits and error rates of a model on halves of its held-out groups."""
    import torch

    from napari_liverdx.models.zoo import load_model
    from napari_liverdx.training.calibrate import (
        calibration_predictions,
        coverage_by_halves,
        false_alarms_by_halves,
        score_pictures,
    )
    from napari_liverdx.training.data.splits import of_sources
    from napari_liverdx.training.recipe import load_recipe

    loaded, settings = load_model(model), load_recipe(recipe)
    samples = settings.samples(data)
    _, val = _parts(settings, samples)
    cpu = torch.device("cpu")
    held_out = calibration_predictions(loaded, samples, val, cpu).tiles
    tiles = [e.tile for i in val for e in samples.eval_tiles(int(i), loaded.card.tile_size, 1)]
    alarms = false_alarms_by_halves(score_pictures(loaded, tiles, cpu), held_out.groups)
    parts: dict[str, LabeledPredictions | None] = {"other half of the held-out groups": None}
    if settings.data.second_sources:
        second = of_sources(samples, settings.data.second_sources)
        parts["second source"] = calibration_predictions(loaded, samples, second, cpu).tiles
    lines = [
        f"# Held-out halves of {loaded.card.name}",
        "",
        f"Tiles outside, the limit set on one half of the groups and tested on the other (mean of "
        f"200 random halves): {100 * alarms:.1f} %.",
        "",
        "| tested on | error rate | covered | not sure | wrong where sure |",
        "|---|---|---|---|---|",
    ]
    rows = []
    for name, other in parts.items():
        for rate in (0.05, 0.1, 0.2):
            found = coverage_by_halves(held_out, rate, other)
            rows.append({"tested_on": name, **asdict(found)})
            values = " | ".join(
                f"{100 * v:.1f} %" for v in (found.covered, found.uncertain_mask, found.wrong)
            )
            lines.append(f"| {name} | {rate:g} | {values} |")
    out.print("\n".join(lines), highlight=False, soft_wrap=True, markup=False)
    if out_folder is not None:
        record = {"model": loaded.card.name, "false_alarms": round(alarms, 4), "coverage": rows}
        out_folder.mkdir(parents=True, exist_ok=True)
        base = out_folder / f"{loaded.card.name}-halves"
        base.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        base.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def score(
    model: Annotated[str, typer.Argument(help="Name or path of the model.")],
    data: Annotated[
        list[str], typer.Argument(help="Slides, folders of pictures, or quoted patterns of files.")
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
    """Say of slides and pictures whether they look like what a model was trained on."""
    from napari_liverdx.core.ood import assess_ood
    from napari_liverdx.models.ood import ood_rule
    from napari_liverdx.models.zoo import load_model

    loaded = load_model(model)
    rule = ood_rule(loaded.card)
    if rule is None:
        raise DataError(
            f"model {loaded.card.name} holds no domain statistics; add them with 'liverdx ood fit'"
        )
    rows: list[dict[str, Any]] = []
    sources = list(data)
    parts: dict[str, NDArray[np.float32]] = {}
    if recipe is not None:
        parts |= _of_recipe(loaded, recipe, Path(sources.pop(0)), tiles)
    for name in sources:
        parts[_short(name)] = _scores(loaded, name, mpp, tiles)
    for name, scores in parts.items():
        reading = assess_ood(scores, rule)
        middle = float(sorted(scores)[len(scores) // 2]) if len(scores) else float("nan")
        rows.append(
            {
                "data": name,
                "tiles": reading.tiles,
                "outside": reading.outside,
                "share": round(reading.share, 4),
                "median_score": round(middle, 3),
                "state": reading.state.value,
            }
        )
        out.print(f"{escape(name)}: {reading}", highlight=False, soft_wrap=True)
    if out_folder is not None:
        _write(out_folder, loaded, rows)


def _short(name: str) -> str:
    return "/".join(Path(name).parts[-3:] if "*" in name else Path(name).parts[-2:])


def _of_recipe(
    model: LoadedModel, recipe: str, folder: Path, most: int
) -> dict[str, NDArray[np.float32]]:
    import numpy as np

    from napari_liverdx.training.data.splits import of_sources
    from napari_liverdx.training.recipe import load_recipe

    settings = load_recipe(recipe)
    samples = settings.samples(folder)
    train, val = _parts(settings, samples)
    chosen = {"training part": train, "held-out groups": val}
    if settings.data.second_sources:
        chosen["second source"] = of_sources(samples, settings.data.second_sources)
    return {
        f"{folder.name}, {name}": _of_tiles(
            model,
            [
                e.tile
                for i in _spread(list(index), most)
                for e in samples.eval_tiles(int(np.intp(i)), model.card.tile_size, 1)
            ],
        )
        for name, index in chosen.items()
    }


def _of_tiles(model: LoadedModel, tiles: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    import torch

    from napari_liverdx.training.calibrate import score_pictures

    return score_pictures(model, tiles, torch.device("cpu"))


def _spread(values: list[Any], most: int) -> list[Any]:
    """At most so many of the values, evenly spread."""
    step = max(1.0, len(values) / most)
    return [values[int(i * step)] for i in range(min(most, len(values)))]


def _scores(model: LoadedModel, name: str, mpp: float, most: int) -> NDArray[np.float32]:
    path = Path(name)
    if "*" in name:
        found = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
    elif path.is_dir():
        found = sorted(p for p in path.rglob("*") if p.suffix.lower() in _PICTURES)
    else:
        return _of_slide(model, path, mpp, most)
    if not found:
        raise DataError(f"{name}: no pictures there")
    return _of_tiles(model, [_picture(p, model.card.tile_size) for p in _spread(found, most)])


def _picture(path: Path, size: int) -> NDArray[np.uint8]:
    """The middle of a picture, or all of it where it is smaller than a tile."""
    import numpy as np
    from PIL import Image

    try:
        with Image.open(path) as image:
            rgb = image.convert("RGB")
    except (OSError, SyntaxError) as error:
        raise DataError(f"{path}: the picture is damaged ({error})") from error
    if min(rgb.size) < size:
        return np.asarray(rgb.resize((size, size), Image.Resampling.BILINEAR))
    left, top = ((side - size) // 2 for side in rgb.size)
    return np.asarray(rgb.crop((left, top, left + size, top + size)))


def _of_slide(model: LoadedModel, path: Path, mpp: float, most: int) -> NDArray[np.float32]:
    import numpy as np

    from napari_liverdx.core.resolution import Mpp
    from napari_liverdx.inference.plan import plan_run
    from napari_liverdx.inference.predict import predict
    from napari_liverdx.slides.open import open_slide
    from napari_liverdx.slides.tissue import slide_tissue

    with open_slide(path) as opened:
        slide = opened if opened.mpp else opened.with_mpp(Mpp.square(mpp, "given by user"))
        plan = plan_run(slide.levels, slide.mpp, slide_tissue(slide), model.card)
        chosen = _spread(list(plan.tiles), most)
        found = [b.ood for b in predict(plan, slide, model, chosen) if b.ood is not None]
    return np.concatenate([np.empty(0, np.float32), *found])


def _write(folder: Path, model: LoadedModel, rows: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    record = {"model": model.card.name, "how": model.card.ood.get("how", ""), "rows": rows}
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    (folder / f"{model.card.name}.json").write_text(text, encoding="utf-8")
    lines = [f"# Domain check of {model.card.name}", "", record["how"], ""]
    lines += ["| data | tiles | outside | median score | statement |", "|---|---|---|---|---|"]
    lines += [
        f"| {r['data']} | {r['tiles']} | {100 * r['share']:.0f} % | {r['median_score']:.2f} | "
        f"{r['state']} |"
        for r in rows
    ]
    (folder / f"{model.card.name}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
