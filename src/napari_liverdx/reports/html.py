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
from napari_liverdx.core.errors import storage_errors
from napari_liverdx.core.measure import ClassMeasure, Histogram, RegionMeasure
from napari_liverdx.core.prediction_sets import UNCERTAIN_COLOR, UNCERTAIN_TITLE, uncertain_mask
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
from napari_liverdx.results.measurement_map import MapKind, measurement_map
from napari_liverdx.results.store import ResultStore
from napari_liverdx.slides.slide import Overview

__all__ = [
    "gather_report",
    "overlay_picture",
    "render_report",
    "small_picture",
    "write_report",
]

_LONGEST_SIDE = 1400


def overlay_picture(
    overview: Overview,
    store: ResultStore,
    thresholds: Mapping[str, float],
    *,
    opacity: float = 0.6,
    quantile: float | None = None,
    map_kind: MapKind = MapKind.SUBTILES,
) -> NDArray[np.uint8]:
    """The slide with each pathological class drawn over it where it reaches its threshold.

    Parameters
    ----------
    overview : Overview
        Small picture of the slide.
    store : ResultStore
        The result.
    thresholds : mapping of str to float
        Per pathological class.
    opacity : float
        Of a cell with probability 1.
    quantile : float, optional
        See `napari_liverdx.core.measure.measure`; cells that are not sure are grey.
    map_kind : MapKind
        What is drawn.

    Returns
    -------
    ndarray of uint8, shape (rows, columns, 3)
    """
    rows, cols = overview.rgb.shape[:2]
    (width, height), (x, y) = store.subtile_size, store.origin
    shown = measurement_map(store, map_kind)
    map_rows = np.floor(((np.arange(rows) + 0.5) * overview.scale_y - y) / height).astype(int)
    map_cols = np.floor(((np.arange(cols) + 0.5) * overview.scale_x - x) / width).astype(int)
    n_rows, n_cols = shown.tissue.shape
    inside = ((map_rows >= 0) & (map_rows < n_rows))[:, None] & (
        (map_cols >= 0) & (map_cols < n_cols)
    )[None, :]
    place = np.ix_(np.clip(map_rows, 0, n_rows - 1), np.clip(map_cols, 0, n_cols - 1))
    analysed = shown.tissue[place] & inside
    picture = overview.rgb.astype(np.float32)
    if quantile is not None:
        uncertain = analysed & uncertain_mask(shown.probabilities, quantile)[place]
        gray = [int(UNCERTAIN_COLOR[i : i + 2], 16) for i in (1, 3, 5)]
        picture[uncertain] = 0.3 * picture[uncertain] + 0.7 * np.array(gray, np.float32)
        analysed &= ~uncertain
    for index in store.manifest.scheme.pathological:
        tissue_class = store.manifest.classes[index]
        values = shown.probabilities[index][place]
        drawn = analysed & (values >= thresholds[tissue_class.name])
        alpha = (np.where(drawn, values, 0) * opacity)[..., None]
        picture = picture * (1 - alpha) + np.multiply(tissue_class.rgb, 255) * alpha
    return picture.round().astype(np.uint8)


def small_picture(picture: NDArray[np.uint8], longest: int = _LONGEST_SIDE) -> Image.Image:
    """A picture no larger than ``longest`` pixels on a side; it carries no metadata."""
    image = Image.fromarray(picture)
    image.thumbnail((longest, longest))
    return image


def _base64(picture: NDArray[np.uint8], kind: str, **options: Any) -> str:
    buffer = io.BytesIO()
    small_picture(picture).save(buffer, format=kind, **options)
    return base64.b64encode(buffer.getvalue()).decode()


def gather_report(
    store: ResultStore,
    measures: Sequence[ClassMeasure],
    overview: Overview,
    card: Mapping[str, Any],
    *,
    error_rate: float | None = None,
    quantile: float | None = None,
    regions: Sequence[RegionMeasure] = (),
    histograms: Mapping[str, Histogram] | None = None,
    tiles: Sequence[TileGroup] = (),
    map_kind: MapKind = MapKind.SUBTILES,
    hide_name: bool = False,
) -> Report:
    """All that a report says; it names no folder and no patient and shows no label.

    Parameters
    ----------
    store : ResultStore
        The result.
    measures : sequence of ClassMeasure
        Rows of the table of findings.
    overview : Overview
        Small picture of the slide.
    card : mapping
        The model card as plain data.
    error_rate, quantile : float, optional
        The chosen error rate and its quantile of the calibration scores.
    regions : sequence of RegionMeasure
        Findings in regions.
    histograms : mapping of str to Histogram, optional
        Per pathological class.
    tiles : sequence of TileGroup
        The most suspicious tiles.
    map_kind : MapKind
        What was measured.
    hide_name : bool
        Whether eight digits of the slide's fingerprint stand in place of its file name, which
        may hold a person's name.
    """
    manifest = store.manifest
    thresholds = {m.name: m.threshold for m in measures if m.threshold is not None}
    tissue_mm2 = float(store.tissue_subtiles().sum()) * store.subtile_area_um2 / 1e6
    legend = tuple(
        (manifest.classes[i].color, f"{manifest.classes[i].title}, probability ≥ {cut:.2f}")
        for i in manifest.scheme.pathological
        if (cut := thresholds.get(manifest.classes[i].name)) is not None
    )
    if quantile is not None:
        legend += ((UNCERTAIN_COLOR, UNCERTAIN_TITLE),)
    overlay = overlay_picture(overview, store, thresholds, quantile=quantile, map_kind=map_kind)
    subtitle = (card["title"], f"version {card['version']}", manifest.finished or manifest.created)
    foci = any(m.foci is not None for m in measures)
    return Report(
        title=shown_name(manifest, hide_name),
        subtitle=" · ".join(part for part in subtitle if part),
        notice=manifest.notice,
        warnings=warnings_of(store, hide_name),
        pictures=(
            Picture("The slide", overview.rgb),
            Picture("With the findings", overlay, legend),
        ),
        findings=findings_table(measures, manifest, error_rate),
        note=measuring_note(store, map_kind, foci=foci, regions=bool(regions)),
        regions=regions_table(regions, manifest, error_rate),
        histograms=histogram_parts(histograms or {}, thresholds, manifest),
        tiles=tuple(tiles),
        facts=all_facts(store, card, tissue_mm2, error_rate, quantile),
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


def write_report(
    path: Path,
    store: ResultStore,
    measures: Sequence[ClassMeasure],
    overview: Overview,
    card: Mapping[str, Any],
    **choices: Any,
) -> None:
    """Write the report as HTML; see `gather_report` for all but ``path``.

    Raises
    ------
    StorageFullError
        If the disk is full.
    ResultError
        If it cannot be written.
    """
    render_report(path, gather_report(store, measures, overview, card, **choices))


def _write(path: Path, text: str) -> None:
    with storage_errors(path, "the result itself is whole"), atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8")
