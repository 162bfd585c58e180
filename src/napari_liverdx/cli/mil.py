"""Commands about learning from whole slides."""

from __future__ import annotations

import re
import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from napari_liverdx.cli.options import (
    DeviceOption,
    ModelOption,
    OverlapOption,
)
from napari_liverdx.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_liverdx.mil.bags import Bag
    from napari_liverdx.mil.file import LoadedMilModel
    from napari_liverdx.mil.network import SlideContext
    from napari_liverdx.mil.train import MilConfig
    from napari_liverdx.models.card import ModelCard
    from napari_liverdx.models.file import LoadedModel

__all__ = ["register"]

out = Console()
err = Console(stderr=True)

_VAL_PARTS = 5


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
    mpp: Annotated[
        float | None, typer.Option(help="Level-0 µm/px, if the slides state none or a wrong one.")
    ] = None,
    overlap: OverlapOption = 0.0,
    device: DeviceOption = "auto",
) -> None:
    """Run a tile model over slides and keep what a slide context learns from.

    Bags that are there already are kept. A slide that fails is named and left out, and the
    command ends with status 1.
    """
    from napari_liverdx.core.resolution import Mpp
    from napari_liverdx.inference.device import choose_device
    from napari_liverdx.mil.collect import extract_bags, labelled_slides
    from napari_liverdx.mil.network import slide_classes
    from napari_liverdx.models.zoo import load_model

    given = None if mpp is None else Mpp.square(mpp, "given by user")
    loaded = load_model(model)
    rows = labelled_slides(source, slide_classes(loaded.card.scheme))
    failures = 0
    for made in extract_bags(
        rows, loaded, out_folder, device=choose_device(device), mpp=given, overlap=overlap
    ):
        name = made.row.path.name
        if made.error:
            failures += 1
            err.print(f"[bold red]{escape(name)}:[/] {escape(made.error)}", soft_wrap=True)
            continue
        note = ", there already" if made.kept else ""
        note += f", {made.failed} could not be read" if made.failed else ""
        out.print(f"{name}: {made.tiles} tiles{note}", highlight=False, soft_wrap=True)
    out.print(f"{len(rows) - failures} of {len(rows)} slides in {out_folder}", highlight=False)
    if failures:
        raise typer.Exit(1)


def train_mil_model(
    folder: Annotated[Path, typer.Argument(help="Folder with bags, from 'liverdx mil extract'.")],
    out_file: Annotated[Path, typer.Option("--out", "-o", help="Slide context file to write.")],
    model: ModelOption = "liver-steatosis",
    learn_from: Annotated[
        Source, typer.Option("--from", help="Labels to learn from.")
    ] = Source.BOTH,
    epochs: Annotated[int, typer.Option(help="At most so many.")] = 40,
    hidden: Annotated[int, typer.Option(help="Units of the RNN per direction; 0: no RNN.")] = 32,
    projection: Annotated[
        int,
        typer.Option(help="Channels from the embedding; 0: only the tile model's probabilities."),
    ] = 64,
    seed: Annotated[int, typer.Option(help="The same seed gives the same file.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Train a slide context for a tile model from labels of tiles, of slides, or of both."""
    import torch

    from napari_liverdx.inference.device import choose_device
    from napari_liverdx.mil.bags import load_bags
    from napari_liverdx.mil.network import SlideContext, slide_classes
    from napari_liverdx.mil.train import (
        MilConfig,
        fitted_temperatures,
        score_bags,
        split_bags,
        train_mil,
    )
    from napari_liverdx.models.file import save_model_file
    from napari_liverdx.models.zoo import load_model

    loaded = load_model(model)
    scheme = loaded.card.scheme
    bags = load_bags(folder)
    _check_tile_model(bags[0], loaded, folder)
    train, val = split_bags(bags, _VAL_PARTS, seed)
    config = MilConfig(learn_from=learn_from.value, epochs=epochs, seed=seed)
    torch.manual_seed(seed)
    network = SlideContext(
        len(bags[0].embeddings),
        len(scheme),
        len(slide_classes(scheme)),
        hidden=hidden,
        projection=projection,
    )
    chosen = torch.device(choose_device(device).device)
    for epoch in train_mil(
        network, bags, train, val, pathological=scheme.pathological, config=config, device=chosen
    ):
        out.print(
            f"epoch {epoch.epoch}/{epochs}  training loss {epoch.train_loss:.3f}  validation loss "
            f"{epoch.val_loss:.3f}{' best' if epoch.best else ''}",
            highlight=False,
        )
    held_out = [bags[i] for i in val]
    temperatures = fitted_temperatures(score_bags(network, held_out), held_out)
    card = _card(loaded, network, bags, config, temperatures, out_file, folder)
    save_model_file(out_file, network, card, half=False)
    out.print(f"wrote {out_file}", highlight=False)


def _check_tile_model(bag: Bag, model: LoadedModel, folder: Path) -> None:
    if bag.tile_sha256 != model.sha256:
        raise DataError(
            f"{folder}: these bags were made with the tile model {bag.tile_model!r} "
            f"({bag.tile_sha256[:12]}…), not with {model.card.name!r} ({model.sha256[:12]}…); give "
            "that model with --model, or make the bags again"
        )


def _card(
    model: LoadedModel,
    network: SlideContext,
    bags: Sequence[Bag],
    config: MilConfig,
    temperatures: tuple[float, float],
    out_file: Path,
    folder: Path,
) -> ModelCard:
    import torch

    from napari_liverdx._version import __version__
    from napari_liverdx.mil.file import ARCHITECTURE
    from napari_liverdx.mil.network import slide_classes
    from napari_liverdx.models.card import ModelCard, SlidePart

    tile = model.card
    name = re.sub(r"[^a-z0-9._-]+", "-", out_file.stem.lower()).strip("-._")
    groups = len({b.group for b in bags})
    learn_from = config.learn_from
    command = [folder.name if a == str(folder) else Path(a).name for a in sys.argv[1:]]
    return ModelCard(
        name=name or "slide-context",
        title=f"Slide context for {tile.title}",
        summary=f"Refines the tiles of {tile.name} by what lies around them; from {learn_from}",
        architecture=ARCHITECTURE,
        arguments=network.arguments,
        classes=tile.classes,
        mpp=tile.mpp,
        tile_size=tile.tile_size,
        temperature=temperatures[0],
        training_data=f"{len(bags)} slides of {groups} groups, labels of {learn_from}",
        limitations=f"Only for the tile model {tile.name}; its limits apply. {tile.limitations}",
        slide=SlidePart(
            tile_model=tile.name,
            tile_sha256=model.sha256,
            features=network.features,
            classes=slide_classes(tile.scheme),
            overlap=bags[0].overlap,
            learned_from=learn_from,
            temperature=temperatures[1],
        ),
        command="liverdx " + shlex.join(command),
        versions={"napari-liverdx": __version__, "torch": torch.__version__},
    )


def test_mil_model(
    context: Annotated[Path, typer.Argument(help="Slide context file.")],
    folder: Annotated[Path, typer.Argument(help="Folder with bags it did not learn from.")],
) -> None:
    """Test a slide context on labelled bags, beside the tile model alone."""
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
