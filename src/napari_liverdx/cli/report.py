"""What the command says and writes of a result, and the command that writes it again."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from napari_liverdx.cli.options import (
    ErrorRateOption,
    PseudonymizeOption,
    ThresholdOption,
    out,
    thresholds_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_liverdx.core.measure import ClassMeasure
    from napari_liverdx.core.ood import OodAssessment
    from napari_liverdx.session.result import Result

__all__ = [
    "SUBTILES",
    "MapKindOption",
    "PdfOption",
    "TopOption",
    "print_ood",
    "print_result",
    "register",
    "report",
]


SUBTILES = "subtiles"
"""Id of what is measured by default."""


def _map_kind(value: str) -> str:
    """Return the id of a map kind; the words of the first version are understood too."""
    from napari_liverdx.results.measurement_map import MapKind

    try:
        return str(MapKind(value).value)
    except ValueError as error:
        known = ", ".join(kind.value for kind in MapKind)
        raise typer.BadParameter(f"{value} is none of {known}") from error


MapKindOption = Annotated[
    str,
    typer.Option(
        "--map-kind",
        parser=_map_kind,
        metavar="[subtiles|tiles|tiles_averaged]",
        help="What is measured: the dense map, each tile's own probabilities, or their mean where "
        "tiles overlap.",
    ),
]
PdfOption = Annotated[bool, typer.Option("--pdf", help="Write the report as PDF too.")]
TopOption = Annotated[
    int | None, typer.Option(min=0, help="Highest-probability tiles to show of each class.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(report)


def report(
    result: Annotated[Path, typer.Argument(help="A result, NAME.liverdx.zarr.")],
    slide: Annotated[Path | None, typer.Option(help="Its slide, if it has moved.")] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Its model, if it cannot be named any more.")
    ] = None,
    threshold: ThresholdOption = None,
    error_rate: ErrorRateOption = None,
    out_folder: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder; beside the result by default.")
    ] = None,
    map_kind: MapKindOption = SUBTILES,
    pdf: PdfOption = False,
    pseudonymize: PseudonymizeOption = False,
    top: TopOption = None,
) -> None:
    """Write the report and the table of a stored result again.

    Thresholds are those it was last viewed with, unless others are given.
    """
    from napari_liverdx.api import open_result

    opened = open_result(result, slide=slide, model=model)
    _say_what_is_lost(opened)
    given = thresholds_of(threshold or [], opened.manifest.scheme)
    with opened.opened_slide() as found:
        if found is None:
            out.print("slide   not found; the report has no images of it (--slide)")
    print_result(
        opened,
        {**opened.thresholds, **given},
        error_rate,
        map_kind=map_kind,
        pdf=pdf,
        pseudonymize=pseudonymize,
        top=top,
        folder=out_folder,
    )


def _say_what_is_lost(result: Result) -> None:
    """Say which settings of the last look are not known to this version, and what is damaged."""
    from napari_liverdx.results.view_state import ViewState

    notices: list[str] = []
    ViewState.load(result.path, notices)
    notices += [result.store.damage_note] if result.store.damaged else []
    for notice in notices:
        out.print(notice, style="yellow", highlight=False, soft_wrap=True)


def print_ood(reading: OodAssessment | None, when: str) -> None:
    """Say whether a slide looks like the training data."""
    from napari_liverdx.core.ood import NO_STATISTICS, OodState

    text = NO_STATISTICS if reading is None else f"{when}: {reading}"
    quiet = reading is None or reading.state in (OodState.IN_DISTRIBUTION, OodState.UNKNOWN)
    style = None if quiet else "yellow"
    out.print(f"domain  {text}", style=style, highlight=False, soft_wrap=True)


def print_result(
    result: Result,
    thresholds: Mapping[str, float],
    error_rate: float | None,
    *,
    map_kind: str = SUBTILES,
    pdf: bool = False,
    pseudonymize: bool = False,
    top: int | None = None,
    folder: Path | None = None,
) -> None:
    """Measure a result, print the findings, and write report and table.

    Parameters
    ----------
    result : Result
        The result.
    thresholds, error_rate, map_kind
        See `napari_liverdx.session.result.Result.measure`.
    pdf, pseudonymize, top, folder
        See `napari_liverdx.session.result.Result.report`.
    """
    from napari_liverdx.reports.write import TOP_TILES
    from napari_liverdx.results.measurement_map import MapKind

    print_ood(result.ood, "whole run")
    findings = result.measure(thresholds, error_rate, MapKind(map_kind))
    out.print(_table(findings.measures, error_rate))
    paths = result.report(
        folder,
        findings,
        formats=("html", "csv", "pdf") if pdf else ("html", "csv"),
        top=TOP_TILES if top is None else top,
        pseudonymize=pseudonymize,
    )
    written = [("result", result.path), ("table", paths["csv"]), ("report", paths["html"])]
    for what, path in [*written, *((k, p) for k, p in paths.items() if k == "pdf")]:
        out.print(f"{what:7} {path}", highlight=False, soft_wrap=True)
    out.print(result.manifest.notice, style="dim", highlight=False)


def _table(measures: tuple[ClassMeasure, ...], error_rate: float | None) -> Table:
    table = Table(box=None, header_style="bold")
    table.add_column("class", no_wrap=True)
    for column in ("threshold", "mm²", "% of\ntissue", "mean\nprobability", "foci", "largest,\nmm"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in measures:
        table.add_row(
            row.title,
            _rule(row, error_rate),
            f"{row.area_mm2:.3f}",
            f"{row.percent:.1f}",
            "" if math.isnan(row.mean_probability) else f"{row.mean_probability:.3f}",
            "" if row.foci is None else f"{row.foci:,}",
            "" if not row.largest_focus_mm else f"{row.largest_focus_mm:.2f}",
        )
    return table


def _rule(row: ClassMeasure, error_rate: float | None) -> str:
    from napari_liverdx.core.prediction_sets import UNCERTAIN_ID

    if row.name == UNCERTAIN_ID:
        return f"error rate {error_rate:g}"
    return "most probable" if row.threshold is None else f"{row.threshold:.2f}"
