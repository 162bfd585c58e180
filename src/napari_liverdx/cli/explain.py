"""The command that explains one tile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from napari_liverdx.cli.options import (
    ModelOption,
    OverlapOption,
)
from napari_liverdx.core.errors import PlanError

if TYPE_CHECKING:
    from napari_liverdx.core.grid import TileGrid, TileIndex
    from napari_liverdx.inference.explain import Explanation
    from napari_liverdx.models.file import LoadedModel

__all__ = ["register"]

out = Console()


def register(app: typer.Typer) -> None:
    """Add this command to the program."""
    app.command("explain")(explain)


def explain(
    slide: Annotated[Path, typer.Argument(help="The slide.")],
    out_file: Annotated[Path, typer.Option("--out", "-o", help="Picture to write, PNG.")],
    model: ModelOption = "liver-steatosis",
    tile: Annotated[str | None, typer.Option(help="ROW,COL in the grid of tiles.")] = None,
    at: Annotated[str | None, typer.Option(help="X,Y in level-0 pixels.")] = None,
    class_name: Annotated[
        str | None, typer.Option("--class", help="Class to explain; the called one by default.")
    ] = None,
    mpp: Annotated[
        float | None, typer.Option(help="Level-0 µm/px, if the slide states none or a wrong one.")
    ] = None,
    overlap: OverlapOption = 0.0,
) -> None:
    """Show why a model says what it says of one tile: Grad-CAM, and cells with and without RNN."""
    from PIL import Image

    from napari_liverdx.core.grid import plan_grid
    from napari_liverdx.core.resolution import Mpp
    from napari_liverdx.inference.explain import explain_tile
    from napari_liverdx.inference.explain_sheet import explanation_sheet
    from napari_liverdx.models.zoo import load_model
    from napari_liverdx.slides.open import open_slide

    if out_file.suffix.lower() != ".png":
        raise PlanError(f"{out_file}: the picture is a PNG; let its name end in .png")
    if (tile is None) == (at is None):
        raise PlanError("say which tile: --tile ROW,COL or --at X,Y, one of them")
    loaded = load_model(model)
    index = _class_index(loaded, class_name)
    given = None if mpp is None else Mpp.square(mpp, "given by user")
    with open_slide(slide, mpp=given) as opened:
        if opened.mpp is None:
            raise PlanError(f"{slide}: the slide states no resolution; give it with --mpp")
        grid = plan_grid(
            opened.levels,
            opened.mpp,
            model_mpp=loaded.card.mpp,
            tile_size=loaded.card.tile_size,
            overlap=overlap,
        )
        explanation = explain_tile(opened, grid, _which(grid, tile, at), loaded, index)
    try:
        out_file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(explanation_sheet(explanation)).save(out_file)
    except OSError as error:
        raise PlanError(
            f"{out_file}: the picture cannot be written ({error.strerror}); choose another place"
        ) from error
    _say(explanation)
    out.print(f"wrote {out_file}", highlight=False, soft_wrap=True)


def _class_index(model: LoadedModel, name: str | None) -> int | None:
    try:
        return None if name is None else model.card.scheme.index(name)
    except KeyError as error:
        raise PlanError(str(error.args[0])) from error


def _which(grid: TileGrid, tile: str | None, at: str | None) -> TileIndex:
    from napari_liverdx.core.grid import TileIndex
    from napari_liverdx.inference.explain import tile_at

    if tile is not None:
        row, col = _pair(tile, "--tile")
        if row % 1 or col % 1:
            raise PlanError(f"--tile {tile}: rows and columns are whole numbers")
        return TileIndex(int(row), int(col))
    x, y = _pair(at or "", "--at")
    found = tile_at(grid, x, y)
    if found is None:
        raise PlanError(f"--at {at}: this place is not on the slide")
    return found


def _pair(text: str, option: str) -> tuple[float, float]:
    try:
        first, second = (float(part) for part in text.split(","))
    except ValueError:
        raise PlanError(f"{option} {text}: give two numbers with a comma between") from None
    return first, second


def _say(explanation: Explanation) -> None:
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
        table.add_row(escape(tissue_class.title), *(f"{v:.3f}" for v in values))
    out.print(table)
    for line in (*sentences(e), f"Grad-CAM for {e.title}: {e.cam_note}."):
        out.print(escape(line), highlight=False, soft_wrap=True)
