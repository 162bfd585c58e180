"""``liverdx analyze``: one slide."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from napari_liverdx.cli.options import (
    BatchSizeOption,
    ColorManagedOption,
    DeviceOption,
    ErrorRateOption,
    KeepArtifactsOption,
    MilModelOption,
    ModelOption,
    MppOption,
    OverlapOption,
    PrecisionOption,
    PseudonymizeOption,
    SceneOption,
    ThresholdOption,
    err,
    on_one_line,
    out,
    styled,
    thresholds_of,
)
from napari_liverdx.cli.report import (
    SUBTILES,
    MapKindOption,
    PdfOption,
    TopOption,
    print_ood,
    print_result,
)

if TYPE_CHECKING:
    from napari_liverdx.api import RunProgress, Started

__all__ = ["analyze", "register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(analyze)


def analyze(
    slide: Annotated[Path, typer.Argument(help="The slide to analyze.")],
    out_folder: Annotated[Path, typer.Option("--out", "-o", help="Folder for the result.")],
    model: ModelOption = "liver-steatosis",
    mpp: MppOption = None,
    scene: SceneOption = None,
    color_managed: ColorManagedOption = False,
    threshold: ThresholdOption = None,
    error_rate: ErrorRateOption = None,
    mil_model: MilModelOption = None,
    overlap: OverlapOption = 0.0,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    batch_size: BatchSizeOption = None,
    keep_artifacts: KeepArtifactsOption = False,
    map_kind: MapKindOption = SUBTILES,
    pdf: PdfOption = False,
    pseudonymize: PseudonymizeOption = False,
    top: TopOption = None,
) -> None:
    """Analyze a slide: probabilities, areas and a report.

    A run that was stopped resumes when the same command is given again.
    """
    from napari_liverdx.api import analyze_slide
    from napari_liverdx.models.conformal import conformal_quantiles
    from napari_liverdx.session.run import loaded_model

    loaded = loaded_model(model)
    thresholds = thresholds_of(threshold or [], loaded.card.scheme)
    conformal_quantiles(loaded.card, error_rate)
    with _Follower() as follower:
        result = analyze_slide(
            slide,
            loaded,
            out=out_folder,
            mpp=mpp,
            scene=scene,
            color_managed=color_managed,
            device=device,
            precision=precision,
            overlap=overlap,
            batch_size=batch_size,
            keep_artifacts=keep_artifacts,
            mil_model=mil_model,
            on_started=follower.started,
            on_progress=follower.progressed,
        )
    if mil_model is not None and result.slide_prediction is not None:
        for name, value in result.slide_prediction.lines():
            out.print(f"{name:24} {value}", highlight=False)
    print_result(
        result,
        thresholds,
        error_rate,
        map_kind=map_kind,
        pdf=pdf,
        pseudonymize=pseudonymize,
        top=top,
    )


class _Follower:
    """Says what a run is about to do, and shows a bar while it runs."""

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("{task.completed}/{task.total} tiles"),
            BarColumn(),
            TextColumn("{task.fields[speed]}"),
            console=err,
        )
        self._task: TaskID | None = None
        self._last: RunProgress | None = None

    def __enter__(self) -> _Follower:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._bar.stop()
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            err.print("Stopped. What was finished is kept; run the same command again to resume.")
            raise typer.Exit(130) from None
        if kind is None and self._last is not None and self._last.failed:
            err.print(
                styled(
                    (f"{self._last.failed} tiles could not be read and are left out.", "yellow"),
                    f" {self._last.last_failure}",
                ),
                soft_wrap=True,
                highlight=False,
            )

    def started(self, event: Started) -> None:
        """Print the plan and whether the slide looks like the training data."""
        from napari_liverdx.inference.ood import probe_ood

        _print_plan(event)
        print_ood(probe_ood(event.plan, event.slide, event.model), "before the run")
        self._bar.start()
        self._task = self._bar.add_task("", total=len(event.plan.tiles), speed="")

    def progressed(self, progress: RunProgress) -> None:
        """Move the bar."""
        self._last = progress
        speed = ""
        if not math.isnan(progress.eta_seconds):
            speed = f"{progress.tiles_per_second:.1f} tiles/s, {progress.eta_seconds:.0f} s left"
        speed = progress.stall or speed
        if self._task is not None:
            done = progress.done + progress.failed
            self._bar.update(self._task, completed=done, speed=speed)


def _print_plan(event: Started) -> None:
    from napari_liverdx.results.store import TileState

    plan, card = event.plan, event.model.card
    out.print(styled((on_one_line(event.slide.path.name), "bold"), f"  {plan.mpp}"))
    if event.store.manifest.scene is not None:
        scene = f"{event.store.manifest.scene} ({event.store.manifest.scene_name})"
        out.print(f"scene   {scene}", highlight=False)
    if event.slide.color_managed:
        out.print("colors  converted to sRGB by the ICC profile", highlight=False)
    out.print(f"model   {card.title}, version {card.version}", highlight=False)
    out.print(f"device  {plan.device}", highlight=False)
    out.print(
        f"tiles   {len(plan.tiles)} on tissue, read at {plan.read_mpp:.4g} µm/px", highlight=False
    )
    for what, areas in plan.tissue_record.items():
        if isinstance(areas, dict) and areas:
            listed = ", ".join(f"{name} {area:.3f} mm²" for name, area in areas.items())
            out.print(f"{what + ' ':8}{listed}", highlight=False)
    if done := event.store.count(TileState.DONE):
        out.print(f"resuming: {done} tiles are done already", highlight=False)
    if damaged := event.store.damaged:
        out.print(
            f"[yellow]{damaged} tiles of the stored result are damaged and analyzed again[/]",
            highlight=False,
        )
    for warning in plan.warnings:
        out.print(warning, style="yellow", highlight=False)
