"""``liverdx mil``: slide-level models over the embeddings of tiles."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from napari_liverdx.cli.options import (
    DeviceOption,
    ModelOption,
    MppOption,
    OverlapOption,
    err,
    on_one_line,
    out,
    styled,
)

if TYPE_CHECKING:
    from napari_liverdx.mil.file import LoadedMilModel

__all__ = ["register"]


class Source(StrEnum):
    """Labels to learn from."""

    TILES = "tiles"
    SLIDES = "slides"
    BOTH = "both"


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(help="Slide-level (MIL) models over the embeddings of tiles.")
    group.command("extract")(extract)
    group.command("train")(train_mil_model)
    group.command("test")(test_mil_model)
    app.add_typer(group, name="mil", no_args_is_help=True)


def extract(
    source: Annotated[
        Path,
        typer.Argument(help="Folder of slides, or CSV: path,label,group[,mpp,annotation]."),
    ],
    out_folder: Annotated[Path, typer.Option("--out", "-o", help="Folder for the bags.")],
    model: ModelOption = "liver-steatosis",
    mpp: MppOption = None,
    overlap: OverlapOption = 0.0,
    device: DeviceOption = "auto",
) -> None:
    """Run a tile model over slides and keep the embeddings that a slide-level model learns from.

    Bags that are there already are kept. A slide that fails is named and left out, and the
    command ends with status 1.
    """
    from napari_liverdx.core.resolution import Mpp
    from napari_liverdx.inference.device import choose_device
    from napari_liverdx.mil.collect import extract_bags, labeled_slides
    from napari_liverdx.mil.network import slide_classes
    from napari_liverdx.models.zoo import load_model

    given = None if mpp is None else Mpp.square(mpp, "given by user")
    loaded = load_model(model)
    rows = labeled_slides(source, slide_classes(loaded.card.scheme))
    failures = 0
    for made in extract_bags(
        rows, loaded, out_folder, device=choose_device(device), mpp=given, overlap=overlap
    ):
        name = on_one_line(made.row.path.name)
        if made.error:
            failures += 1
            err.print(styled((f"{name}:", "bold red"), f" {made.error}"), soft_wrap=True)
            continue
        note = ", there already" if made.kept else ""
        note += f", {made.failed} could not be read" if made.failed else ""
        out.print(f"{name}: {made.tiles} tiles{note}", highlight=False, soft_wrap=True)
        for left_out in made.notes:
            out.print(f"Note: {left_out}.", highlight=False, soft_wrap=True)
    out.print(f"{len(rows) - failures} of {len(rows)} slides in {out_folder}", highlight=False)
    if failures:
        raise typer.Exit(1)


def train_mil_model(
    folder: Annotated[Path, typer.Argument(help="Folder with bags, from 'liverdx mil extract'.")],
    out_file: Annotated[Path, typer.Option("--out", "-o", help="Slide-level model file to write.")],
    model: ModelOption = "liver-steatosis",
    learn_from: Annotated[
        Source, typer.Option("--from", help="Labels to learn from.")
    ] = Source.BOTH,
    epochs: Annotated[int, typer.Option(help="Maximum number of epochs.")] = 40,
    hidden: Annotated[int, typer.Option(help="Units of the RNN per direction; 0: no RNN.")] = 32,
    projection: Annotated[
        int,
        typer.Option(help="Channels from the embedding; 0: only the tile model's probabilities."),
    ] = 64,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Train a slide-level model for a tile model from labels of tiles, of slides, or of both."""
    import torch

    from napari_liverdx.inference.device import choose_device
    from napari_liverdx.mil.fit import fit_mil_model
    from napari_liverdx.mil.train import MilConfig
    from napari_liverdx.models.zoo import load_model
    from napari_liverdx.training.config import EpochResult

    command = [folder.name if a == str(folder) else Path(a).name for a in sys.argv[1:]]
    for step in fit_mil_model(
        folder,
        load_model(model),
        out_file,
        MilConfig(learn_from=learn_from.value, epochs=epochs, seed=seed),
        hidden=hidden,
        projection=projection,
        device=torch.device(choose_device(device).device),
        command="liverdx " + shlex.join(command),
    ):
        if isinstance(step, EpochResult):
            out.print(
                f"epoch {step.epoch}/{epochs}  training loss {step.train_loss:.3f}  validation "
                f"loss {step.val_loss:.3f}{' best' if step.best else ''}",
                highlight=False,
            )
    out.print(f"wrote {out_file}", highlight=False)


def test_mil_model(
    context: Annotated[Path, typer.Argument(help="Slide-level model file.")],
    folder: Annotated[Path, typer.Argument(help="Folder with bags it did not learn from.")],
) -> None:
    """Test a slide-level model on labeled bags, beside the tile model alone."""
    from napari_liverdx.mil.bags import load_bags
    from napari_liverdx.mil.evaluate import compare_bags
    from napari_liverdx.mil.file import load_mil_model

    loaded = load_mil_model(context)
    bags = load_bags(folder)
    loaded.check_tile_model(bags[0].tile_model, bags[0].tile_sha256)
    _say_test(loaded, len(bags), compare_bags(loaded, bags))


def _say_test(context: LoadedMilModel, count: int, rows: dict[str, tuple[str, str]]) -> None:
    table = Table(box=None, header_style="bold", title_justify="left")
    for column in ("", "tile model alone", context.card.name):
        table.add_column(column, no_wrap=True)
    for name, (alone, refined) in rows.items():
        table.add_row(name, alone, refined)
    out.print(table)
    out.print(f"{count} slides; 95 % intervals by bootstrap over groups", highlight=False)
