"""Commands that make and test models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from napari_liverdx.cli.options import (
    ALLOW_LEAKS,
    check_folds,
    check_parts,
    print_scale,
    public_command,
)
from napari_liverdx.core.errors import DataError

if TYPE_CHECKING:
    from napari_liverdx.models.card import Interval
    from napari_liverdx.training.config import EpochResult

__all__ = ["register"]

out = Console()
_RECIPE = "Name of a packaged recipe, or a .toml or .yaml file."


def register(app: typer.Typer) -> None:
    """Add the training commands to the program."""
    app.command()(train)
    app.command()(crossval)


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
    from napari_liverdx.inference.device import choose_device
    from napari_liverdx.training.calibrate import save_trained
    from napari_liverdx.training.distributed import distributed_run, world
    from napari_liverdx.training.loop import EpochResult
    from napari_liverdx.training.recipe import load_recipe, recipe_split, train_final

    loaded = load_recipe(recipe)
    if epochs is not None:
        changed = loaded.train.model_copy(update={"epochs": epochs})
        loaded = loaded.model_copy(update={"train": changed})
    figures: dict[str, Interval] = {}
    if metrics is not None:
        figures = _card_figures(metrics)
    checkpoint = out_file.with_name(out_file.name + ".checkpoint")
    samples = loaded.samples(data)
    split = recipe_split(loaded, samples)
    check_parts(samples, split.parts, allow_leaks=allow_leaks)
    print_scale(loaded, samples)
    history: list[EpochResult] = []
    with distributed_run(choose_device(device).device) as chosen:
        first = world()[0] == 0
        for step in train_final(
            loaded,
            samples,
            chosen,
            metrics=figures,
            command=public_command(data),
            checkpoint=checkpoint,
        ):
            if not first:
                continue
            if isinstance(step, EpochResult):
                history.append(step)
                _say_epoch(step, loaded.train.epochs)
            else:
                network, card = step
                save_trained(out_file, network, card, samples, split, chosen)
                _write_history(out_file, history)
                checkpoint.unlink(missing_ok=True)
                out.print(f"wrote {out_file}", highlight=False)


def _write_history(out_file: Path, history: list[EpochResult]) -> None:
    from napari_liverdx.experiments.plots import training_figure
    from napari_liverdx.training.config import history_csv

    base = out_file.name.removesuffix(".safetensors")
    out_file.with_name(f"{base}.history.csv").write_text(history_csv(history), encoding="utf-8")
    try:
        figure = training_figure(history)
    except DataError as error:
        out.print(f"[yellow]no picture of the curves: {error}[/]", soft_wrap=True)
        return
    figure.savefig(out_file.with_name(f"{base}.curves.png"), metadata={"Software": None})


def _card_figures(path: Path) -> dict[str, Interval]:
    from napari_liverdx.models.card import Interval

    try:
        stored = json.loads(path.read_text(encoding="utf-8"))["models"]
        sections = next(iter(stored.values()))
        return {
            f"{metric}, {section}": Interval.model_validate(value)
            for section, metrics in sections.items()
            for metric, value in metrics.items()
        }
    except (OSError, ValueError, KeyError, StopIteration) as error:
        raise DataError(f"{path}: not the output of 'liverdx crossval' ({error})") from error


def crossval(
    recipe: Annotated[str, typer.Argument(help=_RECIPE)],
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
    """Test a recipe by grouped cross-validation, with and without the recurrent network."""
    import torch

    from napari_liverdx.experiments.crossval import Fold, cross_validate
    from napari_liverdx.experiments.summary import summarise_folds
    from napari_liverdx.inference.device import choose_device
    from napari_liverdx.training.loop import EpochResult
    from napari_liverdx.training.recipe import load_recipe

    loaded = load_recipe(recipe)
    card = loaded.model_card()
    samples = loaded.samples(data)
    check_folds(loaded, samples, folds, allow_leaks=allow_leaks)
    variants = {card.name: loaded}
    if without_rnn and card.architecture == "cnn-rnn":
        arguments = {**loaded.card.get("arguments", {}), "hidden": 0}
        plain = {**loaded.card, "arguments": arguments}
        variants[f"{card.name} without the RNN"] = loaded.model_copy(update={"card": plain})
    tables = {}
    for name, variant in variants.items():
        done: list[Fold] = []
        place = (work or out_folder / "work") / name.replace(" ", "-")
        for step in cross_validate(
            variant, samples, folds, torch.device(choose_device(device).device), place
        ):
            if isinstance(step, EpochResult):
                _say_epoch(step, variant.train.epochs)
            else:
                done.append(step)
                out.print(f"{name}: fold {step.fold + 1} of {folds} done", highlight=False)
        tables[name] = summarise_folds(done, samples, card.scheme.names)
    out_folder.mkdir(parents=True, exist_ok=True)
    plain_tables = {
        name: {s: {m: v.model_dump() for m, v in rows.items()} for s, rows in sections.items()}
        for name, sections in tables.items()
    }
    command = f"liverdx crossval {recipe} {data.name} --folds {folds}"
    (out_folder / "crossval.json").write_text(
        json.dumps({"command": command, "models": plain_tables}, indent=1) + "\n", encoding="utf-8"
    )
    (out_folder / "crossval.md").write_text(_markdown(command, plain_tables), encoding="utf-8")
    out.print(f"wrote {out_folder / 'crossval.json'} and crossval.md", highlight=False)


def _say_epoch(epoch: object, total: int) -> None:
    from napari_liverdx.training.loop import EpochResult

    if isinstance(epoch, EpochResult):
        mark = " best" if epoch.best else ""
        mark += ", trained before" if epoch.restored else ""
        out.print(
            f"epoch {epoch.epoch}/{total}  training loss {epoch.train_loss:.3f}  validation loss "
            f"{epoch.val_loss:.3f}  balanced accuracy {epoch.val_balanced_accuracy:.3f}{mark}",
            highlight=False,
        )


def _markdown(command: str, tables: dict[str, dict[str, dict[str, dict[str, object]]]]) -> str:
    lines = [
        "# Grouped cross-validation",
        "",
        f"Made by `{command}`. Intervals: 95 %, bootstrap over groups.",
    ]
    first = next(iter(tables.values()))
    for section, metrics in first.items():
        note = next(iter(metrics.values()))["how"]
        lines += ["", f"## {section}", "", f"{note}", ""]
        lines += ["| | " + " | ".join(tables) + " |", "|---|" + "---|" * len(tables)]
        for metric in metrics:
            cells = []
            for sections in tables.values():
                v = sections[section][metric]
                interval = "" if v["low"] is None else f" ({v['low']:.3f} to {v['high']:.3f})"
                cells.append(f"{v['value']:.3f}{interval}")
            lines.append(f"| {metric} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
