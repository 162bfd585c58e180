"""``liverdx export``: a result in other programs' formats."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from napari_liverdx.cli.options import (
    PseudonymizeOption,
    ThresholdOption,
    thresholds_of,
)

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
    pseudonymize: PseudonymizeOption = False,
    as_bytes: Annotated[
        bool, typer.Option("--bytes", help="OME-TIFF: 0 to 255 instead of float32.")
    ] = False,
    fractional: Annotated[
        bool, typer.Option("--fractional", help="DICOM: segments hold probabilities.")
    ] = False,
) -> None:
    """Export a result: GeoJSON for QuPath, CSV, OME-TIFF, OME-Zarr, DICOM."""
    from napari_liverdx.api import open_result
    from napari_liverdx.exports.registry import EXPORTS, export_path

    opened = open_result(result, slide=slide)
    thresholds = thresholds_of(threshold or [], opened.manifest.scheme)
    names = list(EXPORTS) if Format.ALL in formats else [f.value for f in formats]
    as_folder = len(names) > 1 or Format.ALL in formats
    for name in dict.fromkeys(names):
        path = out_path
        if as_folder or (out_path.is_dir() and name not in ("ome-zarr", "dicom")):
            path = export_path(opened.store, name, out_path, hide_name=pseudonymize)
        opened.export(
            name,
            path,
            thresholds=thresholds,
            with_overview=slide is not None and name == "dicom",
            pseudonymize=pseudonymize,
            as_bytes=as_bytes,
            fractional=fractional,
        )
        out.print(f"{name:9} {path}", highlight=False, soft_wrap=True)
    out.print(opened.manifest.notice, style="dim", highlight=False)
