"""The command that explains one tile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from napari_liverdx.cli.options import (
    ColorManagedOption,
    ModelOption,
    MppOption,
    OverlapOption,
    SceneOption,
    out,
)
from napari_liverdx.core.errors import PlanError

if TYPE_CHECKING:
    from napari_liverdx.inference.explain import Explanation

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add this command to the program."""
    app.command("explain")(explain)


def explain(
    slide: Annotated[Path, typer.Argument(help="The slide.")],
    out_file: Annotated[Path, typer.Option("--out", "-o", help="Image to write, PNG.")],
    model: ModelOption = "liver-steatosis",
    tile: Annotated[str | None, typer.Option(help="ROW,COL in the grid of tiles.")] = None,
    at: Annotated[str | None, typer.Option(help="X,Y in level-0 pixels.")] = None,
    class_name: Annotated[
        str | None, typer.Option("--class", help="Class to explain; the predicted one by default.")
    ] = None,
    mpp: MppOption = None,
    scene: SceneOption = None,
    color_managed: ColorManagedOption = False,
    overlap: OverlapOption = 0.0,
) -> None:
    """Explain one tile: Grad-CAM, and the map with and without the recurrent network."""
    from napari_liverdx import api
    from napari_liverdx.inference.explain_sheet import check_picture, write_explanation

    check_picture(out_file)
    explanation = api.explain(
        slide,
        tile=None if tile is None else _whole(tile),
        at=None if at is None else _pair(at, "--at"),
        model=model,
        class_name=class_name,
        mpp=mpp,
        overlap=overlap,
        scene=scene,
        color_managed=color_managed,
    )
    write_explanation(out_file, explanation)
    _print_explanation(explanation)
    out.print(f"wrote {out_file}", highlight=False, soft_wrap=True)


def _whole(tile: str) -> tuple[int, int]:
    row, col = _pair(tile, "--tile")
    if row % 1 or col % 1:
        raise PlanError(f"--tile {tile}: rows and columns are whole numbers")
    return int(row), int(col)


def _pair(text: str, option: str) -> tuple[float, float]:
    try:
        first, second = (float(part) for part in text.split(","))
    except ValueError:
        raise PlanError(f"{option} {text}: give two numbers with a comma between") from None
    return first, second


def _print_explanation(explanation: Explanation) -> None:
    from napari_liverdx.inference.explain import sentences

    e = explanation
    table = Table(box=None, header_style="bold", title_justify="left")
    table.title = f"Tile {e.tile.row}, {e.tile.col}"
    columns = ["probability"] if e.alone is None else ["with RNN", "without RNN"]
    for column in ("class", *columns):
        table.add_column(column, no_wrap=True)
    for i, tissue_class in enumerate(e.classes):
        values = [e.probabilities[i]]
        values += [] if e.alone is None else [e.alone.probabilities[i]]
        table.add_row(tissue_class.title, *(f"{v:.3f}" for v in values))
    out.print(table)
    for line in (*sentences(e), f"Grad-CAM for {e.title}: {e.cam_note}."):
        out.print(line, highlight=False, soft_wrap=True)
