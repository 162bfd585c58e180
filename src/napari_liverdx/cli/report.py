"""What the command says and writes of a result, and the command that writes it again."""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from napari_liverdx.cli.options import (
    ErrorRateOption,
    ThresholdOption,
    thresholds_of,
)
from napari_liverdx.core.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_liverdx.core.measure import ClassMeasure
    from napari_liverdx.core.ood import OodAssessment
    from napari_liverdx.models.card import ModelCard
    from napari_liverdx.results.store import ResultStore
    from napari_liverdx.slides.slide import Slide

__all__ = [
    "HideNameOption",
    "MapKindChoice",
    "MapKindOption",
    "PdfOption",
    "TopOption",
    "print_ood",
    "print_result",
    "register",
    "report",
]

out = Console()


class MapKindChoice(StrEnum):
    """What is measured; see `napari_liverdx.results.measurement_map.MapKind`."""

    SUBTILES = "cells"
    TILES = "tiles"
    TILES_AVERAGED = "tiles-averaged"


MapKindOption = Annotated[
    MapKindChoice,
    typer.Option(
        "--map-kind",
        "--basis",
        help="What is measured: the dense map, each tile's own probabilities, or their mean where "
        "tiles overlap.",
    ),
]
PdfOption = Annotated[bool, typer.Option("--pdf", help="Write the report as PDF too.")]
HideNameOption = Annotated[
    bool,
    typer.Option("--hide-name", help="Write a code in place of the slide's file name."),
]
TopOption = Annotated[
    int | None, typer.Option(min=0, help="Most suspicious tiles to show of each class.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(report)


def report(
    result: Annotated[Path, typer.Argument(help="A result, NAME.liverdx.zarr.")],
    slide: Annotated[
        Path | None, typer.Option(help="Its slide, if it lies elsewhere than at the last look.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Its model, if it cannot be named any more.")
    ] = None,
    threshold: ThresholdOption = None,
    error_rate: ErrorRateOption = None,
    out_folder: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder; beside the result by default.")
    ] = None,
    map_kind: MapKindOption = MapKindChoice.SUBTILES,
    pdf: PdfOption = False,
    hide_name: HideNameOption = False,
    top: TopOption = None,
) -> None:
    """Write the report and the table of a stored result again.

    Thresholds are those it was last looked at with, unless others are given.
    """
    from napari_liverdx.models.zoo import load_model
    from napari_liverdx.results.store import ResultStore
    from napari_liverdx.results.view_state import ViewState

    store = ResultStore.open(result)
    loaded = load_model(model or store.manifest.model_name)
    if loaded.sha256 != store.manifest.model_sha256:
        raise PlanError(
            f"{result}: was made with another file than {loaded.path.name}; give the model it was "
            "made with (--model)"
        )
    kept = ViewState.load(store.path).thresholds
    thresholds = {**kept, **thresholds_of(threshold or [], store.manifest.scheme)}
    opened = _slide_of(store, slide)
    try:
        if opened is None:
            out.print("slide   not found; the report has no pictures of it (--slide)")
        print_result(
            store,
            opened,
            loaded.card,
            thresholds,
            error_rate,
            map_kind=map_kind,
            pdf=pdf,
            hide_name=hide_name,
            top=top,
            folder=out_folder,
        )
    finally:
        if opened is not None:
            opened.close()


def _slide_of(store: ResultStore, given: Path | None) -> Slide | None:
    """The slide of a result: the given one, or where `find_slide` finds it."""
    from napari_liverdx.results.find_slide import find_slide
    from napari_liverdx.slides.open import open_slide

    if given is None:
        return find_slide(store)
    opened = open_slide(given, mpp=store.mpp)
    if opened.fingerprint() != store.manifest.slide_fingerprint:
        opened.close()
        raise PlanError(f"{given}: not the slide of this result; give the one it was made of")
    return opened


def print_ood(reading: OodAssessment | None, when: str) -> None:
    """Say whether a slide looks like the training data."""
    from napari_liverdx.core.ood import NO_STATISTICS, OodState

    text = NO_STATISTICS if reading is None else f"{when}: {reading}"
    quiet = reading is None or reading.state in (OodState.IN_DISTRIBUTION, OodState.UNKNOWN)
    style = None if quiet else "yellow"
    out.print(f"domain  {text}", style=style, highlight=False, soft_wrap=True, markup=False)


def print_result(
    store: ResultStore,
    slide: Slide | None,
    card: ModelCard,
    thresholds: Mapping[str, float],
    error_rate: float | None,
    *,
    map_kind: MapKindChoice = MapKindChoice.SUBTILES,
    pdf: bool = False,
    hide_name: bool = False,
    top: int | None = None,
    folder: Path | None = None,
) -> None:
    """Measure a result, print the findings, and write report and table.

    Parameters
    ----------
    store : ResultStore
        The result.
    slide : Slide or None
        The slide it was made of.
    card : ModelCard
        Of the model it was made with.
    thresholds : mapping of str to float
        Per pathological class.
    error_rate : float or None
        See `napari_liverdx.models.conformal`.
    map_kind, pdf, hide_name, top, folder
        See `napari_liverdx.reports.write.save_report`.
    """
    from napari_liverdx.inference.ood import read_result
    from napari_liverdx.models.conformal import conformal_quantile
    from napari_liverdx.reports.write import TOP_TILES, report_paths, save_report
    from napari_liverdx.results.measurement_map import MapKind
    from napari_liverdx.session.measure import Measurer

    print_ood(read_result(store, card), "whole run")
    measured_on = MapKind[map_kind.name]
    quantile = conformal_quantile(card, error_rate, "cell")
    measures = Measurer(store).take(measured_on, thresholds, quantile).measures
    out.print(_table(measures, error_rate))
    formats = ("html", "csv", "pdf") if pdf else ("html", "csv")
    save_report(
        slide,
        store,
        measures,
        card,
        error_rate,
        formats=formats,
        map_kind=measured_on,
        top=TOP_TILES if top is None else top,
        hide_name=hide_name,
        folder=folder,
    )
    paths = report_paths(store, formats, folder, hide_name=hide_name)
    written = [("result", store.path), ("table", paths["csv"]), ("report", paths["html"])]
    for what, path in [*written, *((k, p) for k, p in paths.items() if k == "pdf")]:
        out.print(f"{what:7} {path}", highlight=False, soft_wrap=True)
    out.print(store.manifest.notice, style="dim", highlight=False)


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
