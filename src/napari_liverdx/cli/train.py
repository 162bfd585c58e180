"""Commands that make and test models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from napari_liverdx.cli.options import (
    ALLOW_LEAKS,
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
    from napari_liverdx.training.calibrate import save_trained
    from napari_liverdx.training.config import EpochResult
    from napari_liverdx.training.distributed import distributed_run, world
    from napari_liverdx.training.recipe import load_recipe, recipe_split, train_final

    loaded = load_recipe(recipe)
    if epochs is not None:
        changed = loaded.train.model_copy(update={"epochs": epochs})
        loaded = loaded.model_copy(update={"train": changed})
    figures: dict[str, Interval] = {}
    if metrics is not None:
        figures = card_figures(metrics)
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


def _say_epoch(epoch: object, total: int) -> None:
    from napari_liverdx.training.config import EpochResult

    if isinstance(epoch, EpochResult):
        mark = " best" if epoch.best else ""
        mark += ", trained before" if epoch.restored else ""
        out.print(
            f"epoch {epoch.epoch}/{total}  training loss {epoch.train_loss:.3f}  validation loss "
            f"{epoch.val_loss:.3f}  balanced accuracy {epoch.val_balanced_accuracy:.3f}{mark}",
            highlight=False,
        )
