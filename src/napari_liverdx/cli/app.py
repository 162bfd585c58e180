"""The ``liverdx`` command."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from napari_liverdx._version import __version__
from napari_liverdx.cli import (
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
from napari_liverdx.cli.options import (
    BatchSizeOption,
    DeviceOption,
    ErrorRateOption,
    KeepArtifactsOption,
    ModelOption,
    OverlapOption,
    PrecisionOption,
    ThresholdOption,
    thresholds_of,
)
from napari_liverdx.cli.report import (
    HideNameOption,
    MapKindChoice,
    MapKindOption,
    PdfOption,
    TopOption,
    print_ood,
    print_result,
)
from napari_liverdx.core.errors import LiverDxError

if TYPE_CHECKING:
    from napari_liverdx.inference.plan import RunPlan
    from napari_liverdx.models.file import LoadedModel
    from napari_liverdx.results.store import ResultStore
    from napari_liverdx.slides.slide import Slide

__all__ = ["app", "main"]

app = typer.Typer(
    help="Read liver tissue on whole-slide images. For research use, not for diagnosis.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for commands in (batch, data, train, experiments, mil, ood, explain, export, report, reproduce):
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


@app.command()
def analyze(
    slide: Annotated[Path, typer.Argument(help="The slide to analyse.")],
    out_folder: Annotated[Path, typer.Option("--out", "-o", help="Folder for the result.")],
    model: ModelOption = "liver-steatosis",
    mpp: Annotated[
        float | None,
        typer.Option(help="Level-0 µm/px, if the slide states none or a wrong one."),
    ] = None,
    threshold: ThresholdOption = None,
    error_rate: ErrorRateOption = None,
    context: Annotated[
        Path | None,
        typer.Option(help="Slide context that refines the tiles and calls the slide."),
    ] = None,
    overlap: OverlapOption = 0.0,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    batch_size: BatchSizeOption = None,
    keep_artifacts: KeepArtifactsOption = False,
    map_kind: MapKindOption = MapKindChoice.SUBTILES,
    pdf: PdfOption = False,
    hide_name: HideNameOption = False,
    top: TopOption = None,
) -> None:
    """Analyse a slide: probabilities, areas and a report.

    A run that was stopped resumes when the same command is given again.
    """
    from napari_liverdx.core.resolution import Mpp
    from napari_liverdx.core.tissue import ARTIFACTS
    from napari_liverdx.inference.device import choose_device
    from napari_liverdx.inference.plan import plan_run
    from napari_liverdx.inference.run import make_manifest, result_location
    from napari_liverdx.mil.file import load_mil_model
    from napari_liverdx.mil.train import apply_mil_model
    from napari_liverdx.models.conformal import conformal_quantile
    from napari_liverdx.models.zoo import load_model
    from napari_liverdx.results.store import ResultStore
    from napari_liverdx.slides.open import open_slide
    from napari_liverdx.slides.tissue import slide_tissue_map

    given = None if mpp is None else Mpp.square(mpp, "given by user")
    loaded = load_model(model)
    thresholds = thresholds_of(threshold or [], loaded.card.scheme)
    conformal_quantile(loaded.card, error_rate, "cell")
    around = None if context is None else load_mil_model(context)
    if around is not None:
        around.check_tile_model(loaded.card.name, loaded.sha256)
        around.check_overlap(overlap)
    with open_slide(slide, mpp=given) as opened:
        plan = plan_run(
            opened.levels,
            opened.mpp,
            slide_tissue_map(opened).keeping(ARTIFACTS if keep_artifacts else frozenset()),
            loaded.card,
            overlap=overlap,
            device=choose_device(device, precision),
            batch_size=batch_size,
        )
        path = result_location(out_folder, plan, opened, loaded)
        manifest = make_manifest(plan, opened, loaded)
        store = ResultStore.open_or_create(path, manifest, plan.tissue, plan.tiles)
        if around is not None:
            store.keep_embeddings()
        _say_plan(opened.path.name, plan, loaded, store)
        _say_probe(plan, opened, loaded)
        _run(plan, opened, loaded, store)
        if around is not None:
            for name, value in apply_mil_model(store, around).lines():
                out.print(f"{name:24} {value}", highlight=False)
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
        )


def _say_plan(name: str, plan: RunPlan, model: LoadedModel, store: ResultStore) -> None:
    from napari_liverdx.results.store import TileState

    out.print(f"[bold]{escape(name)}[/]  {plan.mpp}", highlight=False)
    out.print(f"model   {model.card.title}, version {model.card.version}", highlight=False)
    out.print(f"device  {plan.device}", highlight=False)
    out.print(
        f"tiles   {len(plan.tiles)} on tissue, read at {plan.read_mpp:.4g} µm/px", highlight=False
    )
    for what, areas in plan.tissue_record.items():
        if isinstance(areas, dict) and areas:
            listed = ", ".join(f"{name} {area:.3f} mm²" for name, area in areas.items())
            out.print(f"{what + ' ':8}{listed}", highlight=False)
    if done := store.count(TileState.DONE):
        out.print(f"resuming: {done} tiles are done already", highlight=False)
    for warning in plan.warnings:
        out.print(f"[yellow]{escape(warning)}[/]", highlight=False)


def _say_probe(plan: RunPlan, slide: Slide, model: LoadedModel) -> None:
    from napari_liverdx.inference.ood import probe_ood

    print_ood(probe_ood(plan, slide, model), "before the run")


@contextmanager
def _stopped_by_hand() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        err.print("Stopped. What was finished is kept; run the same command again to resume.")
        raise typer.Exit(130) from None


def _run(plan: RunPlan, slide: Slide, model: LoadedModel, store: ResultStore) -> None:
    from contextlib import closing

    from napari_liverdx.inference.run import analyze as run

    columns = (
        TextColumn("{task.completed}/{task.total} tiles"),
        BarColumn(),
        TextColumn("{task.fields[speed]}"),
    )
    last = None
    steps = run(plan, slide, model, store)
    with _stopped_by_hand(), Progress(*columns, console=err) as bar, closing(steps):
        task = bar.add_task("", total=len(plan.tiles), speed="")
        for last in steps:
            speed = (
                ""
                if math.isnan(last.eta_seconds)
                else (f"{last.tiles_per_second:.1f} tiles/s, {last.eta_seconds:.0f} s left")
            )
            bar.update(task, completed=last.done + last.failed, speed=speed)
    if last is not None and last.failed:
        err.print(
            f"[yellow]{last.failed} tiles could not be read and are left out.[/] "
            f"{escape(last.last_failure)}",
            soft_wrap=True,
            highlight=False,
        )
