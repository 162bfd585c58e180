"""``liverdx batch``: many slides, one table."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table

from napari_liverdx._version import NOTICE
from napari_liverdx.cli.options import (
    BatchSizeOption,
    ColorManagedOption,
    DeviceOption,
    ErrorRateOption,
    KeepArtifactsOption,
    MilModelOption,
    ModelOption,
    OverlapOption,
    PrecisionOption,
    PseudonymizeOption,
    ThresholdOption,
    err,
    on_one_line,
    out,
    styled,
    thresholds_of,
)

if TYPE_CHECKING:
    from napari_liverdx.models.card import ModelCard
    from napari_liverdx.reports.cohort import CohortRow
    from napari_liverdx.session.batch import BatchEnded, BatchRequest, BatchSummary, SlideChanged

__all__ = ["batch", "register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(batch)


def batch(
    slides: Annotated[
        Path,
        typer.Argument(
            help="A folder of slides, or a table (CSV) with columns path, mpp and scene."
        ),
    ],
    out_folder: Annotated[Path, typer.Option("--out", "-o", help="Folder for all results.")],
    model: ModelOption = "liver-steatosis",
    mpp: Annotated[
        float | None, typer.Option(help="Level-0 µm/px of the slides that state none.")
    ] = None,
    threshold: ThresholdOption = None,
    pattern: Annotated[
        str, typer.Option(help='Which files of the folder, for example "*.svs".')
    ] = "*",
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Look into folders within the folder too.")
    ] = False,
    error_rate: ErrorRateOption = None,
    mil_model: MilModelOption = None,
    overlap: OverlapOption = 0.0,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    batch_size: BatchSizeOption = None,
    keep_artifacts: KeepArtifactsOption = False,
    color_managed: ColorManagedOption = False,
    pseudonymize: PseudonymizeOption = False,
) -> None:
    """Analyze many slides one after another and keep a table of all (cohort.csv).

    A slide that cannot be analyzed fails alone; the command then ends with status 1. Given again,
    it analyzes what is left and measures what is done. Ctrl+C stops it with everything kept
    (status 130); a second Ctrl+C ends it at once.
    """
    from napari_liverdx.inference.device import choose_device
    from napari_liverdx.results.measure_settings import MeasureSettings
    from napari_liverdx.session.batch import BatchRequest
    from napari_liverdx.session.run import loaded_model
    from napari_liverdx.slides.listing import find_slides

    given = thresholds_of(threshold or [], loaded_model(model).card.scheme)
    request = BatchRequest(
        find_slides(slides, pattern=pattern, recursive=recursive),
        model,
        out_folder,
        mpp,
        MeasureSettings(given, error_rate),
        mil_model,
        overlap,
        choose_device(device, precision),
        batch_size,
        keep_artifacts,
        pseudonymize,
        color_managed,
    )
    stop = threading.Event()
    with _ctrl_c(stop):
        ended = _follow(request, stop)
    summary = ended.summary
    _say_cohort(ended.rows, ended.card)
    _say_end(summary)
    if summary.was_stopped:
        raise typer.Exit(130)
    if summary.failed or summary.table_problem:
        raise typer.Exit(1)


@contextmanager
def _ctrl_c(stop: threading.Event) -> Iterator[None]:
    """Let the first Ctrl+C set ``stop``; the second one interrupts as usual."""

    def ask(*_: Any) -> None:
        stop.set()
        signal.signal(signal.SIGINT, before)
        err.print("Stopping after the tiles under way. Ctrl+C again ends at once.")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _follow(request: BatchRequest, stop: threading.Event) -> BatchEnded:
    """Run the batch; a line for each slide that is over, and a bar meanwhile."""
    from napari_liverdx.session.batch import BatchEnded, BatchStarted, run_batch

    ended = None
    columns = (
        MofNCompleteColumn(),
        TextColumn("slides"),
        BarColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=err) as bar:
        task = bar.add_task("Loading the model…", total=len(request.slides))
        for event in run_batch(request, stop):
            if isinstance(event, BatchStarted):
                card = event.card
                out.print(f"model   {card.title}, version {card.version}", highlight=False)
                out.print(f"device  {request.device}", highlight=False)
            elif isinstance(event, BatchEnded):
                ended = event
            else:
                _say_slide(event, bar, task)
    if ended is None:
        raise typer.Exit(130)
    return ended


_COLORS = {"failed": "red", "stopped": "yellow", "resumed": "cyan", "done": "green"}


def _say_slide(event: SlideChanged, bar: Progress, task: TaskID) -> None:
    step = event.step
    name = _name(step.row)
    bar.update(task, completed=event.index + step.progress, description=f"{name}  {step.message}")
    if (color := _COLORS.get(step.state)) is not None:
        bar.update(task, completed=event.index + 1)
        bar.console.print(
            styled((f"{step.state:8}", color), f" {name}  {step.message}"),
            soft_wrap=True,
        )


def _name(row: CohortRow) -> str:
    return on_one_line(f"{row.folder}/{row.slide}" if row.folder else row.slide)


def _say_cohort(rows: Sequence[CohortRow], card: ModelCard) -> None:
    table = Table(box=None, header_style="bold")
    table.add_column("slide", overflow="fold")
    table.add_column("state")
    table.add_column("tissue mm²", justify="right")
    shown = [card.scheme[i] for i in card.scheme.pathological]
    for tissue_class in shown:
        table.add_column(f"{tissue_class.title} %", justify="right")
    table.add_column("training data")
    if any(row.slide_prediction for row in rows):
        table.add_column("slide-level prediction")
    for row in rows:
        found = [row.measure_of(c.name) for c in shown]
        values = ["" if m is None else f"{m.percent:.1f}" for m in found]
        tissue = "" if not row.measures else f"{row.tissue_mm2:.3f}"
        subtiles = [_name(row), row.state, tissue, *values, row.ood, row.slide_prediction]
        table.add_row(*subtiles[: len(table.columns)])
    out.print(table)


def _say_end(summary: BatchSummary) -> None:
    out.print(str(summary), highlight=False)
    if summary.not_reached:
        names = ", ".join(summary.not_reached)
        out.print(f"not reached: {names}", highlight=False, soft_wrap=True)
    if summary.was_stopped:
        out.print("What was finished is kept; run the same command again to resume.")
    if summary.table_problem:
        err.print(summary.table_problem, style="red", highlight=False, soft_wrap=True)
    else:
        out.print(f"table   {summary.table}", highlight=False, soft_wrap=True)
    out.print(NOTICE, style="dim", highlight=False)
