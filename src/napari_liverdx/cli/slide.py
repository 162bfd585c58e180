"""``liverdx slide``: what a slide is, and one to try."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

__all__ = ["register"]

out = Console()
err = Console(stderr=True)


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(help="Show a slide's properties, write the sample slide.")
    group.command()(info)
    group.command()(sample)
    app.add_typer(group, name="slide", no_args_is_help=True)


def info(
    slide: Annotated[Path, typer.Argument(help="A slide.")],
) -> None:
    """Show slide properties: size, pyramid levels, pixel size, tissue area and artifacts."""
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


def sample(
    out_file: Annotated[Path, typer.Argument(help="Where to write the sample slide.")],
) -> None:
    """Write the packaged sample slide to a file."""
    from napari_liverdx.slides.sample import write_sample

    write_sample(out_file)
    out.print(f"wrote {out_file}", highlight=False)
