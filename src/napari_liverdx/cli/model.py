"""``liverdx model``: the models there are, their cards, and published weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from napari_liverdx.cli.options import out

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(help="List models, show their cards, convert weights.")
    group.command("list")(list_models)
    group.command()(card)
    group.command()(convert_livernet)
    app.add_typer(group, name="model", no_args_is_help=True)


def list_models() -> None:
    """List the models that can be named."""
    from napari_liverdx.models.zoo import available_models, user_model_folder

    table = Table(title="Models", title_justify="left", box=None, header_style="bold")
    for column in ("name", "version", "classes", "µm/px", "summary"):
        table.add_column(column, no_wrap=column != "summary")
    for name, card in available_models().items():
        classes = ", ".join(card.scheme.names)
        table.add_row(name, card.version, classes, f"{card.mpp:g}", card.summary)
    out.print(table)
    out.print(f"Your own models: {user_model_folder()}", highlight=False, soft_wrap=True)


def card(model: Annotated[str, typer.Argument(help="Name or path of a model.")]) -> None:
    """Show a model's card as JSON."""
    from napari_liverdx.models.file import read_card
    from napari_liverdx.models.zoo import find_model

    out.print_json(read_card(find_model(model)).model_dump_json())


def convert_livernet(
    weights: Annotated[list[Path], typer.Argument(help="Published Keras files, one or five.")],
    out_file: Annotated[Path, typer.Option("--out", "-o", help="Model file to write.")],
) -> None:
    """Convert published LiverNet weights; several files become an ensemble."""
    from napari_liverdx.models.livernet_import import convert_livernet as convert

    card = convert(weights, out_file)
    out.print(f"wrote {out_file}: {card.title}", highlight=False)
    out.print(card.limitations, style="yellow", highlight=False)
