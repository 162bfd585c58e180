"""``liverdx slide``: what a slide is, and one to try."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_liverdx.cli.options import SceneOption, err, on_one_line, out

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(help="Show a slide's properties, write the sample slide.")
    group.command()(info)
    group.command()(sample)
    app.add_typer(group, name="slide", no_args_is_help=True)


def info(
    slide: Annotated[Path, typer.Argument(help="A slide: a file, a folder or an address.")],
    scene: SceneOption = None,
) -> None:
    """Show slide properties: size, levels, pixel size, scenes, colors, tissue and artifacts."""
    from napari_liverdx.core.tissue import TissueLabel
    from napari_liverdx.slides.open import open_slide
    from napari_liverdx.slides.tissue import slide_overview, slide_tissue_map

    with open_slide(slide, scene=scene) as opened:
        out.print(on_one_line(slide.name), style="bold", highlight=False)
        for title, text in opened.info.properties(opened.mpp):
            _say(title, text)
            if title == "resolution" and opened.mpp is None:
                _say("", "give it with --mpp (about 0.25 for a 40x scan, 0.5 for 20x)")
        width, height = opened.size
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
            _say(label.title.lower(), f"{text}{note}")
        if overview.unreadable:
            err.print(f"{overview.unreadable} stored tiles are damaged and show as white")


def _say(title: str, text: str) -> None:
    out.print(f"{title:13} {text}", highlight=False, soft_wrap=True)


def sample(
    out_file: Annotated[Path, typer.Argument(help="Where to write the sample slide.")],
) -> None:
    """Write the packaged sample slide to a file."""
    from napari_liverdx.slides.sample import write_sample

    write_sample(out_file)
    out.print(f"wrote {out_file}", highlight=False)
