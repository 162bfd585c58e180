"""Commands about training data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress
from rich.table import Table

from napari_liverdx.cli.options import err, out, styled
from napari_liverdx.core.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_liverdx.training.audit.audit import AuditReport
    from napari_liverdx.training.data._all import TileDataset

__all__ = ["register"]


_COLORS = {"error": "bold red", "warning": "yellow", "note": "dim"}

_Data = Annotated[Path, typer.Argument(help="Folder or CSV file with the data.")]
_Recipe = Annotated[str | None, typer.Option(help="Recipe that says what the data are.")]
_Kind = Annotated[
    str | None, typer.Option(help="masks, folders, table or slides; detected by default.")
]
_Groups = Annotated[
    str | None,
    typer.Option(help="Regular expression whose groups are the patient or slide in a file name."),
]
_Sources = Annotated[str | None, typer.Option(help="The same for laboratory or scanner.")]
_Blocks = Annotated[
    int | None,
    typer.Option(help="Numbered images in a row that form a group; see the documentation."),
]
_Mpp = Annotated[
    float,
    typer.Option(min=0.05, max=20, help="µm/px of tiles drawn from slides, without a recipe."),
]
_TileSize = Annotated[int, typer.Option(min=16, help="Side of those tiles in pixels.")]
_Seed = Annotated[int, typer.Option(help="Random seed.")]


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(help="Check labeled data for leakage, split them by patient.")
    group.command()(audit)
    group.command()(split)
    app.add_typer(group, name="data", no_args_is_help=True)


def audit(
    data: _Data,
    recipe: _Recipe = None,
    kind: _Kind = None,
    group_pattern: _Groups = None,
    source_pattern: _Sources = None,
    group_blocks: _Blocks = None,
    mpp: _Mpp = 0.5,
    tile_size: _TileSize = 224,
    folds: Annotated[
        int, typer.Option(help="Grouped folds to audit where the data state no split; 0 for none.")
    ] = 5,
    seed: _Seed = 0,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write all findings to this file.")
    ] = None,
) -> None:
    """Look for leaks, conflicting labels and short cuts in training data; status 1 if it leaks."""
    from napari_liverdx.training.audit.audit import audit_parts
    from napari_liverdx.training.audit.report import write_audit

    samples, second = _samples(
        data, recipe, kind, (group_pattern, source_pattern, group_blocks), mpp, tile_size
    )
    parts = audit_parts(samples, second, folds, seed)
    report = _run_audit(samples, parts)
    _say_counts(samples, parts)
    _say_report(samples, report)
    if json_file is not None:
        write_audit(json_file, report)
        out.print(f"wrote {json_file}", highlight=False)
    if report.is_leaky:
        raise typer.Exit(1)


def split(
    data: _Data,
    out_file: Annotated[Path, typer.Option("--out", "-o", help="CSV file to write.")],
    recipe: _Recipe = None,
    kind: _Kind = None,
    group_pattern: _Groups = None,
    source_pattern: _Sources = None,
    group_blocks: _Blocks = None,
    test_share: Annotated[float, typer.Option(help="About this share for testing.")] = 0.2,
    val_share: Annotated[float, typer.Option(help="About this share for validation.")] = 0.15,
    folds: Annotated[
        int | None, typer.Option(help="Grouped folds in a column fold, instead of one split.")
    ] = None,
    join_duplicates: Annotated[
        bool, typer.Option(help="Keep groups with near-identical images together.")
    ] = True,
    seed: _Seed = 0,
) -> None:
    """Split pictures by patient or slide and write path, label, group and split as a table."""
    import numpy as np

    from napari_liverdx.training.data.folders import ImageDataset
    from napari_liverdx.training.data.split_table import (
        numbered_folds,
        shared_splits,
        write_split_table,
    )
    from napari_liverdx.training.data.splits import joined_groups

    samples, _ = _samples(
        data, recipe, kind, (group_pattern, source_pattern, group_blocks), 0.5, 224
    )
    if not isinstance(samples, ImageDataset):
        raise DataError(
            f"{data}: only folders and tables of images are split into a table; masks and slides "
            "take a column split in their own tables"
        )
    groups = samples.groups
    if join_duplicates:
        groups = joined_groups(groups, _run_audit(samples, None).pairs)
        if joined := len(np.unique(samples.groups)) - len(np.unique(groups)):
            out.print(f"{joined} groups are joined to others that hold the same images")
    if folds is None:
        shares = {"test": test_share, "val": val_share}
        column, names = "split", shared_splits(samples, groups, shares, seed)
    else:
        column, names = "fold", numbered_folds(samples, groups, folds, seed)
    write_split_table(out_file, samples, groups, column, names)
    counts = ", ".join(f"{name} {np.count_nonzero(names == name)}" for name in np.unique(names))
    out.print(f"wrote {out_file}: {counts}", highlight=False)


def _samples(
    data: Path,
    recipe: str | None,
    kind: str | None,
    patterns: tuple[str | None, str | None, int | None],
    mpp: float,
    tile_size: int,
) -> tuple[TileDataset, NDArray[np.intp]]:
    """Return the data, and which of them a recipe only tests on."""
    from pydantic import ValidationError

    from napari_liverdx.training.data.config import DataConfig, guess_kind
    from napari_liverdx.training.data.splits import of_sources
    from napari_liverdx.training.recipe import load_recipe

    given = dict(zip(("group_pattern", "source_pattern", "group_blocks"), patterns, strict=True))
    changes = {k: v for k, v in given.items() if v is not None}
    if kind is not None or recipe is None:
        changes["kind"] = kind or guess_kind(data)
    names: tuple[str, ...] = ()
    config = DataConfig()
    if recipe is not None:
        loaded = load_recipe(recipe)
        card = loaded.model_card()
        config, names = loaded.data, card.scheme.names
        mpp, tile_size = card.mpp, card.tile_size
    try:
        config = DataConfig.model_validate({**config.model_dump(), **changes})
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + ".".join(map(str, first["loc"])).replace("_", "-")
        raise DataError(f"{option}: {first['msg']}") from error
    samples = config.samples(data, names, mpp=mpp, tile_size=tile_size)
    second = of_sources(samples, config.second_sources)
    return samples, second if config.second_sources else second[:0]


def _run_audit(samples: TileDataset, parts: dict[str, NDArray[np.intp]] | None) -> AuditReport:
    from napari_liverdx.training.audit.audit import AuditReport, audit_steps

    with Progress(console=err, transient=True) as bar:
        task = bar.add_task("", total=1.0)
        for step in audit_steps(samples, parts):
            if isinstance(step, AuditReport):
                return step
            bar.update(task, description=step.what, completed=step.share)
    raise AssertionError("an audit ends with its report")


def _say_counts(samples: TileDataset, parts: dict[str, NDArray[np.intp]] | None) -> None:
    import numpy as np

    table = Table(box=None, header_style="bold")
    table.add_column("part")
    for column in (*samples.classes, "in all", "groups", "sources"):
        table.add_column(column, justify="right")
    rows = {**(parts or {}), "all": np.arange(len(samples))}
    for name, index in rows.items():
        counts = np.bincount(samples.labels[index], minlength=len(samples.classes))
        groups, sources = (len(np.unique(a[index])) for a in (samples.groups, samples.sources))
        table.add_row(name, *map(str, counts), str(len(index)), str(groups), str(sources))
    out.print(table)


def _say_report(samples: TileDataset, report: AuditReport) -> None:
    for note in samples.notes:
        out.print(f"Note: {note}.", highlight=False, soft_wrap=True)
    if report.flat:
        out.print(
            f"{report.flat} images show nothing (glass) and are not compared for likeness.",
            highlight=False,
        )
    for probe in report.probes:
        value = probe.balanced_accuracy
        out.print(
            f"{probe.name} alone: balanced accuracy {value.value:.2f} ({value.low:.2f} to "
            f"{value.high:.2f}), chance {probe.chance:.2f}",
            highlight=False,
        )
    for finding in report.findings:
        out.print(
            styled(
                (f"{finding.severity.capitalize()}:", _COLORS[finding.severity]),
                f" {finding.message}.",
            ),
            soft_wrap=True,
        )
    if report.is_leaky:
        out.print("Data leakage found: test metrics would be over-optimistic.", style="bold red")
    else:
        out.print("No data leakage found.", style="bold green")
