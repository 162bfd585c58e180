"""How steps of trainings, searches, comparisons and tests are printed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from napari_liverdx.cli.options import err, out, styled

if TYPE_CHECKING:
    from napari_liverdx.experiments.compare import ComparisonResult
    from napari_liverdx.experiments.crossval import Fold
    from napari_liverdx.experiments.reproduce import ReproduceStep
    from napari_liverdx.experiments.search import SearchResult
    from napari_liverdx.experiments.written import Written
    from napari_liverdx.training.config import EpochResult

__all__ = ["print_steps"]


def print_steps(steps: Iterable[ReproduceStep], total: int = 0) -> None:
    """Print steps as they come; ``total`` is the number of folds or epochs, if not a stage's."""
    from napari_liverdx.experiments.evaluate_files import EvaluationProgress
    from napari_liverdx.experiments.reproduce import Stage

    bar = Progress(console=err)
    task = bar.add_task("", total=None)
    try:
        for step in steps:
            if isinstance(step, EvaluationProgress):
                bar.start()
                bar.update(task, completed=step.done, total=step.total)
                continue
            _stop(bar)
            if isinstance(step, Stage):
                total = step.total
                out.rule(f"{step.number} of 4: {step.title}")
            else:
                _print_step(step, total)
    finally:
        _stop(bar)


def _stop(bar: Progress) -> None:
    # Where nobody watches, a bar that stops ends with an empty line, even if it never started.
    if bar.live.is_started:
        bar.stop()


def _print_step(step: ReproduceStep, total: int) -> None:
    from napari_liverdx.experiments.compare import ComparisonResult
    from napari_liverdx.experiments.evaluate import Evaluation
    from napari_liverdx.experiments.search import SearchResult, Trial
    from napari_liverdx.experiments.written import Written
    from napari_liverdx.training.audit.report import Finding
    from napari_liverdx.training.config import EpochResult
    from napari_liverdx.training.train_file import Notice, TrainedFile

    match step:
        case Finding():
            _warn(styled((f"{step.kind}:", "yellow"), f" {step.message}"))
        case Notice():
            _warn(styled((step.text, "yellow")))
        case EpochResult():
            _print_epoch(step, total)
        case TrainedFile():
            out.print(f"wrote {step.path}", highlight=False)
        case (str(name), event):
            _print_fold(name, event, total)
        case Trial():
            mark = " best" if step.best else ""
            text = f"trial {step.number}: {step.state}, {step.value:.4f}{mark}"
            out.print(text, highlight=False)
        case SearchResult():
            _print_search(step)
        case ComparisonResult():
            _print_comparison(step)
        case Evaluation():
            for name, value in step.metrics.items():
                out.print(f"{name:28} {value}", highlight=False)
        case Written():
            _print_written(step)


def _warn(text: Text) -> None:
    out.print(text, highlight=False, soft_wrap=True)


def _print_epoch(epoch: EpochResult, total: int) -> None:
    mark = " best" if epoch.best else ""
    mark += ", trained before" if epoch.restored else ""
    out.print(
        f"epoch {epoch.epoch}/{total}  training loss {epoch.train_loss:.3f}  validation loss "
        f"{epoch.val_loss:.3f}  balanced accuracy {epoch.val_balanced_accuracy:.3f}{mark}",
        highlight=False,
    )


def _print_fold(name: str, event: EpochResult | Fold, total: int) -> None:
    from napari_liverdx.experiments.crossval import Fold

    if isinstance(event, Fold):
        out.print(f"{name}: fold {event.fold + 1} of {total} done", highlight=False)
    elif not event.restored:
        out.print(
            f"{name}: epoch {event.epoch}, validation loss {event.val_loss:.3f}, balanced "
            f"accuracy {event.val_balanced_accuracy:.3f}",
            style="dim",
            highlight=False,
        )


def _print_comparison(result: ComparisonResult) -> None:
    table = Table(box=None, header_style="bold")
    table.add_column("model")
    for column in ("balanced accuracy", "AUC", "MCC", "p, Holm", "tiles/s"):
        table.add_column(column, justify="right")
    for name, model in result.models.items():
        test = result.tests.get(name)
        table.add_row(
            name,
            str(model.metrics["balanced accuracy"]),
            f"{model.metrics['AUC'].value:.3f}" if "AUC" in model.metrics else "–",
            f"{model.metrics['MCC'].value:.3f}",
            "" if test is None else f"{test.p_adjusted:.3f}",
            f"{model.complexity.tiles_per_second:.0f}",
        )
    out.print(table)


def _print_search(result: SearchResult) -> None:
    shown = Table(box=None, header_style="bold")
    for column in ("on groups set aside before the search", "as before", "as found"):
        shown.add_column(column)
    for name in ("balanced accuracy", "AUC", "MCC"):
        shown.add_row(name, str(result.before.get(name, "–")), str(result.metrics.get(name, "–")))
    out.print(shown)


def _print_written(written: Written) -> None:
    first, *others = written.paths
    names = [str(first), *(path.name for path in others)]
    out.print("wrote " + (" and " if len(names) == 2 else ", ").join(names), highlight=False)
