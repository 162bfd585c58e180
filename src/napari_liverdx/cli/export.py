"""``liverdx export``: a result in other programs' formats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from napari_liverdx.cli.options import (
    ErrorRateOption,
    PseudonymizeOption,
    ThresholdOption,
    out,
    thresholds_of,
)
from napari_liverdx.cli.report import SUBTILES, MapKindOption

__all__ = ["register"]


_ALL = "all"


def _choices() -> tuple[str, ...]:
    """Return what may be given as a format: all, or a name of the registry."""
    from napari_liverdx.exports.registry import EXPORTS

    return (_ALL, *EXPORTS)


def _known(formats: list[str]) -> list[str]:
    """Return the formats, or refuse the first that there is not."""
    choices = _choices()
    for name in formats:
        if name not in choices:
            raise typer.BadParameter(f"{name!r} is none of {', '.join(choices)}")
    return formats


def _completed(incomplete: str) -> list[str]:
    """Return the choices that begin so."""
    return [name for name in _choices() if name.startswith(incomplete)]


class ExportCommand(TyperCommand):
    """Shows which formats there are, and looks for them only when it is called."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, the formats among them by name."""
        params = super().get_params(ctx)
        for parameter in params:
            if parameter.name == "formats":
                parameter.metavar = f"[{'|'.join(_choices())}]"
        return params


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.command("export", cls=ExportCommand)(export)


def export(
    result: Annotated[Path, typer.Argument(help="A result, NAME.liverdx.zarr.")],
    out_path: Annotated[
        Path,
        typer.Option("--out", "-o", help="File to write, or a folder for several formats."),
    ],
    formats: Annotated[
        list[str],
        typer.Option(
            "--format",
            "-f",
            callback=_known,
            autocompletion=_completed,
            help="What to write, repeatable.",
        ),
    ],
    threshold: ThresholdOption = None,
    error_rate: ErrorRateOption = None,
    map_kind: MapKindOption = SUBTILES,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Its model, for an error rate, if it cannot be named."),
    ] = None,
    slide: Annotated[
        Path | None,
        typer.Option(help="The slide, if a small image of it may go into DICOM."),
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
    from napari_liverdx.results.measurement_map import MapKind

    opened = open_result(result, slide=slide, model=model)
    thresholds = thresholds_of(threshold or [], opened.manifest.scheme)
    names = list(EXPORTS) if _ALL in formats else list(dict.fromkeys(formats))
    as_folder = len(names) > 1 or _ALL in formats
    for name in names:
        path = out_path
        if as_folder or (out_path.is_dir() and not EXPORTS[name].is_folder):
            path = export_path(opened.store, name, out_path, hide_name=pseudonymize)
        opened.export(
            name,
            path,
            thresholds=thresholds,
            error_rate=error_rate,
            map_kind=MapKind(map_kind),
            with_overview=slide is not None and EXPORTS[name].wants_overview,
            pseudonymize=pseudonymize,
            as_bytes=as_bytes,
            fractional=fractional,
        )
        out.print(f"{name:9} {path}", highlight=False, soft_wrap=True)
    out.print(opened.manifest.notice, style="dim", highlight=False)
