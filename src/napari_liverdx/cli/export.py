"""The command that hands results on to other programs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from napari_liverdx.cli.options import (
    ThresholdOption,
    thresholds_of,
)
from napari_liverdx.core.errors import PlanError

if TYPE_CHECKING:
    from napari_liverdx.results.store import ResultStore
    from napari_liverdx.slides.slide import Overview

__all__ = ["register"]

out = Console()


class Format(StrEnum):
    """Formats to export to."""

    ALL = "all"
    GEOJSON = "geojson"
    CSV = "csv"
    OME_TIFF = "ome-tiff"
    OME_ZARR = "ome-zarr"
    DICOM = "dicom"


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.command("export")(export)


def export(
    result: Annotated[Path, typer.Argument(help="A result, NAME.liverdx.zarr.")],
    out_path: Annotated[
        Path,
        typer.Option("--out", "-o", help="File to write, or a folder for several formats."),
    ],
    formats: Annotated[
        list[Format], typer.Option("--format", "-f", help="What to write, repeatable.")
    ],
    threshold: ThresholdOption = None,
    slide: Annotated[
        Path | None,
        typer.Option(help="The slide, if a small picture of it may go into DICOM."),
    ] = None,
    hide_name: Annotated[
        bool, typer.Option("--hide-name", help="Write a code in place of the slide's file name.")
    ] = False,
    as_bytes: Annotated[
        bool, typer.Option("--bytes", help="OME-TIFF: 0 to 255 instead of float32.")
    ] = False,
    fractional: Annotated[
        bool, typer.Option("--fractional", help="DICOM: segments hold probabilities.")
    ] = False,
) -> None:
    """Hand a result on: GeoJSON for QuPath, CSV, OME-TIFF, OME-Zarr, DICOM."""
    from napari_liverdx.exports.registry import EXPORTS, export_path
    from napari_liverdx.exports.registry import export as write
    from napari_liverdx.results.store import ResultStore

    store = ResultStore.open(result)
    thresholds = thresholds_of(threshold or [], store.manifest.scheme)
    names = list(EXPORTS) if Format.ALL in formats else [f.value for f in formats]
    overview = None if slide is None or "dicom" not in names else _overview(store, slide)
    as_folder = len(names) > 1 or Format.ALL in formats
    for name in dict.fromkeys(names):
        path = out_path
        if as_folder or (out_path.is_dir() and name not in ("ome-zarr", "dicom")):
            path = export_path(store, name, out_path, hide_name=hide_name)
        write(
            store,
            name,
            path,
            thresholds=thresholds,
            overview=overview,
            hide_name=hide_name,
            as_bytes=as_bytes,
            fractional=fractional,
        )
        out.print(f"{name:9} {path}", highlight=False, soft_wrap=True)
    out.print(store.manifest.notice, style="dim", highlight=False)


def _overview(store: ResultStore, slide: Path) -> Overview:
    from napari_liverdx.session.export import export_picture
    from napari_liverdx.slides.open import open_slide

    with open_slide(slide) as opened:
        picture = export_picture(store, opened)
    if picture is None:
        raise PlanError(f"{slide}: not the slide of this result; give the one it was made of")
    return picture
