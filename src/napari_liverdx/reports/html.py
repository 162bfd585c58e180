"""A self-contained HTML page about one result."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader
from numpy.typing import NDArray
from PIL import Image

from napari_liverdx._files import atomic_write
from napari_liverdx._text import storable
from napari_liverdx.core.assignment import Assignment
from napari_liverdx.core.errors import storage_errors
from napari_liverdx.core.measure import MeasurementMap
from napari_liverdx.core.prediction_sets import UNCERTAIN_COLOR, UNCERTAIN_TITLE
from napari_liverdx.reports.facts import (
    all_facts,
    manifest_json,
    measuring_note,
    shown_name,
    warnings_of,
)
from napari_liverdx.reports.layout import chart_caption, sections
from napari_liverdx.reports.parts import (
    Picture,
    Report,
    TileGroup,
    findings_table,
    histogram_parts,
    metrics_table,
    regions_table,
)
from napari_liverdx.results.findings import Findings
from napari_liverdx.results.store import ResultStore
from napari_liverdx.slides.slide import Overview

__all__ = [
    "gather_report",
    "overlay_picture",
    "render_report",
    "small_picture",
]

_LONGEST_SIDE = 1400


def overlay_picture(
    overview: Overview, on: MeasurementMap, assignment: Assignment, *, opacity: float = 0.6
) -> NDArray[np.uint8]:
    """Draw each pathological class over the slide where it counts.

    Parameters
    ----------
    overview : Overview
        Thumbnail of the slide.
    on : MeasurementMap
        What was measured.
    assignment : Assignment
        What counts where on it; what is uncertain is gray.
    opacity : float
        Of a map pixel with probability 1.

    Returns
    -------
    ndarray of uint8, shape (rows, columns, 3)
    """
    rows, cols = overview.rgb.shape[:2]
    (width, height), (x, y) = on.subtile_size, on.origin
    map_rows = np.floor(((np.arange(rows) + 0.5) * overview.scale_y - y) / height).astype(int)
    map_cols = np.floor(((np.arange(cols) + 0.5) * overview.scale_x - x) / width).astype(int)
    n_rows, n_cols = on.tissue.shape
    inside = ((map_rows >= 0) & (map_rows < n_rows))[:, None] & (
        (map_cols >= 0) & (map_cols < n_cols)
    )[None, :]
    place = np.ix_(np.clip(map_rows, 0, n_rows - 1), np.clip(map_cols, 0, n_cols - 1))
    picture = overview.rgb.astype(np.float32)
    uncertain = assignment.uncertain[place] & inside
    gray = [int(UNCERTAIN_COLOR[i : i + 2], 16) for i in (1, 3, 5)]
    picture[uncertain] = 0.3 * picture[uncertain] + 0.7 * np.array(gray, np.float32)
    for index in assignment.scheme.pathological:
        drawn = assignment.counted[index][place] & inside
        alpha = (np.where(drawn, on.probabilities[index][place], 0) * opacity)[..., None]
        picture = picture * (1 - alpha) + np.multiply(assignment.scheme[index].rgb, 255) * alpha
    return picture.round().astype(np.uint8)


def small_picture(picture: NDArray[np.uint8], longest: int = _LONGEST_SIDE) -> Image.Image:
    """Shrink a picture to at most ``longest`` pixels on a side, without metadata."""
    image = Image.fromarray(picture)
    image.thumbnail((longest, longest))
    return image


def _base64(picture: NDArray[np.uint8], kind: str, **options: Any) -> str:
    buffer = io.BytesIO()
    small_picture(picture).save(buffer, format=kind, **options)
    return base64.b64encode(buffer.getvalue()).decode()


def gather_report(
    store: ResultStore,
    findings: Findings,
    overview: Overview,
    card: Mapping[str, Any],
    *,
    tiles: Sequence[TileGroup] = (),
    hide_name: bool = False,
) -> Report:
    """Gather all that a report says; it names no folder and no patient and shows no label.

    Parameters
    ----------
    store : ResultStore
        The result.
    findings : Findings
        What was found; nothing is measured again.
    overview : Overview
        Thumbnail of the slide.
    card : mapping
        The model card as plain data.
    tiles : sequence of TileGroup
        The tiles with the highest probability.
    hide_name : bool
        Whether eight digits of the slide's fingerprint stand in place of its file name, which
        may hold a person's name.
    """
    manifest, settings, assignment = store.manifest, findings.settings, findings.assignment
    thresholds = assignment.thresholds
    legend = tuple(
        (c.color, f"{c.title}, probability ≥ {thresholds[c.name]:.2f}")
        for c in (manifest.classes[i] for i in manifest.scheme.pathological)
    )
    if assignment.quantile is not None:
        legend += ((UNCERTAIN_COLOR, UNCERTAIN_TITLE),)
    subtitle = (card["title"], f"version {card['version']}", manifest.finished or manifest.created)
    foci = any(m.foci is not None for m in findings.measures)
    return Report(
        title=shown_name(manifest, hide_name),
        subtitle=" · ".join(part for part in subtitle if part),
        notice=manifest.notice,
        warnings=warnings_of(store, hide_name),
        pictures=(
            Picture("The slide", overview.rgb),
            Picture(
                "With the findings", overlay_picture(overview, findings.on, assignment), legend
            ),
        ),
        findings=findings_table(findings.measures, manifest, settings.error_rate),
        note=measuring_note(store, settings.map_kind, foci=foci, regions=bool(findings.regions)),
        regions=regions_table(findings.regions, manifest, settings.error_rate),
        histograms=histogram_parts(findings.histograms, thresholds, manifest),
        tiles=tuple(tiles),
        facts=all_facts(store, card, findings),
        metrics=metrics_table(card),
        manifest_json=manifest_json(manifest, hide_name),
    )


def render_report(path: Path, report: Report) -> None:
    """Write a report as one HTML file that refers to no other.

    Raises
    ------
    StorageFullError
        If the disk is full.
    ResultError
        If it cannot be written.
    """
    environment = Environment(
        loader=PackageLoader("napari_liverdx.reports", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html").render(
        report=report,
        sections=sections(report),
        caption=chart_caption,
        png=lambda picture: _base64(picture, "PNG", optimize=True),
        jpeg=lambda picture: _base64(picture, "JPEG", quality=90),
    )
    _write(path, page)


def _write(path: Path, text: str) -> None:
    with storage_errors(path, "the result itself is whole"), atomic_write(path) as partial:
        partial.write_text(storable(text), encoding="utf-8")
