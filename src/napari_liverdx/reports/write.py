"""The report of a result as the dock and the command write it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_liverdx.core.errors import PlanError, storage_errors
from napari_liverdx.core.grid import TileIndex
from napari_liverdx.models.card import ModelCard
from napari_liverdx.reports.html import gather_report, render_report
from napari_liverdx.reports.measurements import write_measurements
from napari_liverdx.reports.parts import TileGroup, TilePicture
from napari_liverdx.results.findings import Findings
from napari_liverdx.results.locate import output_stem
from napari_liverdx.results.review_log import Decision, Verdict
from napari_liverdx.results.store import ResultStore, TileState
from napari_liverdx.slides.slide import Overview, Slide
from napari_liverdx.slides.tiles import read_thumbnails
from napari_liverdx.slides.tissue import slide_picture

__all__ = [
    "FORMATS",
    "TOP_TILES",
    "ReportOptions",
    "report_paths",
    "save_report",
    "top_tiles",
]

FORMATS = ("html", "csv", "pdf")
"""What can be written: a page, a table, a PDF that says what the page says."""

TOP_TILES = 12
"""Tiles shown of each class unless another number is asked for."""

_SIDE = 224


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What a person chooses for a report.

    Attributes
    ----------
    formats : tuple of str
        Among `FORMATS`.
    top : int
        Most tiles to show of each pathological class.
    hide_name : bool
        Whether a code stands in place of the slide's file name, in the report and in its own name.
    folder : Path or None
        Where it goes; beside the result if None.
    """

    formats: tuple[str, ...] = ("html", "csv")
    top: int = TOP_TILES
    hide_name: bool = False
    folder: Path | None = None


def report_paths(
    store: ResultStore,
    formats: Sequence[str],
    folder: Path | None = None,
    *,
    hide_name: bool = False,
) -> dict[str, Path]:
    """Return a report's files by format; beside the result unless a folder is given.

    Raises
    ------
    PlanError
        If there is no such format.
    """
    base = output_stem(store.path, store.manifest, pseudonymize=hide_name)
    for name in formats:
        if name not in FORMATS:
            raise PlanError(f"no report as {name!r}; choose among {', '.join(FORMATS)}")
    return {name: (folder or store.path.parent) / f"{base}.{name}" for name in formats}


def save_report(
    findings: Findings,
    store: ResultStore,
    slide: Slide | None,
    card: ModelCard,
    options: ReportOptions | None = None,
) -> Path:
    """Write the report of a result; nothing is measured again.

    Parameters
    ----------
    findings : Findings
        What was found.
    store : ResultStore
        The result.
    slide : Slide or None
        The slide; without it the report shows where tissue is and no pictures of tiles.
    card : ModelCard
        Of the model that made the result.
    options : ReportOptions, optional
        What to write, and where.

    Returns
    -------
    Path
        Of the first of the formats.

    Raises
    ------
    PlanError
        If there is no such format.
    StorageFullError
        If the disk is full.
    ResultError
        If it cannot be written.
    """
    options = options or ReportOptions()
    folder, hide_name = options.folder, options.hide_name
    paths = report_paths(store, options.formats, folder, hide_name=hide_name)
    if folder is not None:
        with storage_errors(folder, "the result itself is whole"):
            folder.mkdir(parents=True, exist_ok=True)
    if "csv" in paths:
        write_measurements(paths["csv"], findings)
    if "html" in paths or "pdf" in paths:
        report = gather_report(
            store,
            findings,
            slide_picture(slide) if slide is not None else _tissue_picture(store),
            card.model_dump(),
            tiles=_tile_groups(slide, store, findings.assignment.thresholds, options.top),
            hide_name=hide_name,
        )
        if "html" in paths:
            render_report(paths["html"], report)
        if "pdf" in paths:
            from napari_liverdx.reports.pdf import render_pdf

            render_pdf(paths["pdf"], report)
    return next(iter(paths.values()))


def _tissue_picture(store: ResultStore) -> Overview:
    """Draw the tissue in gray on white, in place of a slide that is not there."""
    tissue = store.tissue
    gray = np.where(tissue.mask, 205, 255).astype(np.uint8)
    return Overview(np.repeat(gray[..., None], 3, axis=2), tissue.scale_x, tissue.scale_y)


def top_tiles(
    store: ResultStore, index: int, threshold: float, limit: int
) -> tuple[tuple[TileIndex, ...], int]:
    """Return the tiles with the highest probability of one class.

    Parameters
    ----------
    store : ResultStore
        The result.
    index : int
        Of the class.
    threshold : float
        Least probability.
    limit : int
        Most tiles to return. A tile that shares half its width and half its height or more with a
        more probable one is passed over.

    Returns
    -------
    tuple of TileIndex
        Highest probability first; ties in reading order.
    int
        Number of tiles that reach the threshold.
    """
    values, grid = store.tile_probabilities[index], store.manifest.grid
    rows, cols = np.nonzero((store.state == TileState.DONE) & (values >= threshold))
    chosen: list[TileIndex] = []
    for i in np.argsort(-values[rows, cols], kind="stable"):
        if len(chosen) >= limit:
            break
        row, col = int(rows[i]), int(cols[i])
        near = any(
            2 * abs(row - t.row) * grid.stride_y <= grid.tile_height
            and 2 * abs(col - t.col) * grid.stride_x <= grid.tile_width
            for t in chosen
        )
        if not near:
            chosen.append(TileIndex(row, col))
    return tuple(chosen), len(rows)


def _tile_groups(
    slide: Slide | None, store: ResultStore, thresholds: Mapping[str, float], top: int
) -> tuple[TileGroup, ...]:
    groups = []
    scheme, grid = store.manifest.scheme, store.manifest.grid
    for index in scheme.pathological if top > 0 else ():
        c = scheme[index]
        if c.name not in thresholds:
            continue
        tiles, reached = top_tiles(store, index, thresholds[c.name], top)
        pictures = {}
        if slide is not None:
            side = min(_SIDE, grid.tile_size)
            read = read_thumbnails(slide, grid, tiles, side, threading.Event())
            pictures = {thumbnail.tile: thumbnail.rgb for thumbnail in read}
        shown = [
            TilePicture(
                float(store.tile_probabilities[index, t.row, t.col]),
                f"x {grid.rect(t).x:.0f}, y {grid.rect(t).y:.0f}",
                _said(store.decisions.get(t), store),
                pictures.get(t),
            )
            for t in tiles
        ]
        note = (
            f"{reached:,} of {store.count(TileState.DONE):,} tiles reach {thresholds[c.name]:.2f}"
        )
        if tiles:
            note += f"; shown are the {len(tiles)} most probable" if len(tiles) < reached else ""
            note += ". Places are upper-left corners in level-0 pixels"
        if tiles and slide is None:
            note += ". The slide was not at hand, so that there are no images"
        groups.append(TileGroup(c.title, c.color, f"{note}.", tuple(shown)))
    return tuple(groups)


def _said(decision: Decision | None, store: ResultStore) -> str:
    if decision is None:
        return ""
    if decision.verdict is Verdict.ACCEPTED:
        return "accepted in review"
    titles = {c.name: c.title for c in store.manifest.classes}
    correct = titles.get(decision.correct, decision.correct)
    return f"rejected in review{f': {correct}' if correct else ''}"
