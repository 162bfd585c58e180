"""The ``liverdx`` command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from napari_liverdx._version import __version__
from napari_liverdx.cli import (
    analyze,
    batch,
    data,
    experiments,
    explain,
    export,
    mil,
    ood,
    report,
    reproduce,
    train,
)
from napari_liverdx.core.errors import LiverDxError

__all__ = ["app", "main"]

app = typer.Typer(
    help="Classify liver tissue on whole-slide images. For research use, not for diagnosis.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for commands in (
    analyze,
    batch,
    data,
    train,
    experiments,
    mil,
    ood,
    explain,
    export,
    report,
    reproduce,
):
    commands.register(app)
out = Console()
err = Console(stderr=True)


def main() -> None:
    """Run the command; a deliberate error ends it with one line and status 2."""
    try:
        app()
    except LiverDxError as error:
        err.print(f"[bold red]Error:[/] {escape(str(error))}", soft_wrap=True, highlight=False)
        sys.exit(2)


def _version(show: bool) -> None:
    if show:
        out.print(f"napari-liverdx {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command()
def models() -> None:
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


@app.command()
def card(model: Annotated[str, typer.Argument(help="Name or path of a model.")]) -> None:
    """Show a model's card as JSON."""
    from napari_liverdx.models.file import read_card
    from napari_liverdx.models.zoo import find_model

    out.print_json(read_card(find_model(model)).model_dump_json())


@app.command()
def info(
    slide: Annotated[Path, typer.Argument(help="A slide.")],
) -> None:
    """Say what a slide is: size, levels, resolution, tissue and what spoils it."""
    from napari_liverdx.core.tissue import TissueLabel
    from napari_liverdx.slides.open import open_slide
    from napari_liverdx.slides.tissue import slide_overview, slide_tissue_map

    with open_slide(slide) as opened:
        width, height = opened.size
        out.print(f"[bold]{escape(slide.name)}[/]  {opened.info.format}", highlight=False)
        size = f"{width} × {height} px"
        if (mm := opened.size_mm) is not None:
            size += f", {mm[0]:.2f} × {mm[1]:.2f} mm"
        out.print(f"size        {size}", highlight=False)
        levels = ", ".join(f"{v.width}×{v.height}" for v in opened.levels)
        out.print(f"levels      {len(opened.levels)}: {levels}", highlight=False)
        out.print(f"resolution  {opened.mpp or opened.info.mpp_note}", highlight=False)
        overview = slide_overview(opened)
        found = slide_tissue_map(opened, overview)
        for label in TissueLabel:
            area = found.area_px(label)
            if label == TissueLabel.GLASS or not (area or label == TissueLabel.TISSUE):
                continue
            if opened.mpp is not None:
                text = f"{area * opened.mpp.x * opened.mpp.y / 1e6:.3f} mm²"
            else:
                text = f"{100 * area / (width * height):.1f} % of the slide"
            note = "" if label == TissueLabel.TISSUE else ", left out by default"
            out.print(f"{label.title.lower():11} {text}{note}", highlight=False)
        if overview.unreadable:
            err.print(f"{overview.unreadable} stored tiles are damaged and show as white")


@app.command()
def sample(
    out_file: Annotated[Path, typer.Argument(help="Where to write the sample slide.")],
) -> None:
    """Write the packaged sample slide to a file."""
    from napari_liverdx.slides.sample import write_sample

    write_sample(out_file)
    out.print(f"wrote {out_file}", highlight=False)
