"""A self-contained HTML page about one result."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader
from numpy.typing import NDArray
from PIL import Image

from napari_liverdx.core.domain import NO_STATISTICS
from napari_liverdx.core.errors import ResultError
from napari_liverdx.core.measure import ClassMeasure
from napari_liverdx.core.uncertain import NOT_SURE, NOT_SURE_COLOUR, not_sure
from napari_liverdx.io.result import ResultStore, TileState
from napari_liverdx.io.slide import Overview

__all__ = ["overlay_picture", "write_csv", "write_report"]

_LONGEST_SIDE = 1400


def overlay_picture(
    overview: Overview,
    store: ResultStore,
    thresholds: Mapping[str, float],
    *,
    opacity: float = 0.6,
    quantile: float | None = None,
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

    Returns
    -------
    ndarray of uint8, shape (rows, columns, 3)
    """
    rows, cols = overview.rgb.shape[:2]
    (width, height), (x, y) = store.cell_size, store.origin
    map_rows = np.floor(((np.arange(rows) + 0.5) * overview.scale_y - y) / height).astype(int)
    map_cols = np.floor(((np.arange(cols) + 0.5) * overview.scale_x - x) / width).astype(int)
    n_rows, n_cols = store.probabilities.shape[1:]
    inside = ((map_rows >= 0) & (map_rows < n_rows))[:, None] & (
        (map_cols >= 0) & (map_cols < n_cols)
    )[None, :]
    place = np.ix_(np.clip(map_rows, 0, n_rows - 1), np.clip(map_cols, 0, n_cols - 1))
    analysed = store.tissue_cells()[place] & inside
    picture = overview.rgb.astype(np.float32)
    if quantile is not None:
        unsure = analysed & not_sure(store.probabilities, quantile)[place]
        grey = [int(NOT_SURE_COLOUR[i : i + 2], 16) for i in (1, 3, 5)]
        picture[unsure] = 0.3 * picture[unsure] + 0.7 * np.array(grey, np.float32)
        analysed &= ~unsure
    for index in store.manifest.scheme.pathological:
        tissue_class = store.manifest.classes[index]
        values = store.probabilities[index][place]
        shown = analysed & (values >= thresholds[tissue_class.name])
        alpha = (np.where(shown, values, 0) * opacity)[..., None]
        picture = picture * (1 - alpha) + np.multiply(tissue_class.rgb, 255) * alpha
    return picture.round().astype(np.uint8)


def _png(picture: NDArray[np.uint8]) -> str:
    image = Image.fromarray(picture)
    image.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def write_report(
    path: Path,
    store: ResultStore,
    measures: Sequence[ClassMeasure],
    overview: Overview,
    card: Mapping[str, object],
    *,
    error_rate: float | None = None,
    quantile: float | None = None,
) -> None:
    """Write the report; it refers to no other file and names no patient.

    Parameters
    ----------
    path : Path
        File to write.
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
    """
    thresholds = {m.name: m.threshold for m in measures if m.threshold is not None}
    manifest = store.manifest
    tissue_mm2 = float(store.tissue_cells().sum()) * store.cell_area_um2 / 1e6
    environment = Environment(
        loader=PackageLoader("napari_liverdx.io", "templates"), autoescape=True
    )
    page = environment.get_template("report.html").render(
        manifest=manifest,
        measures=measures,
        error_rate=error_rate,
        not_sure=NOT_SURE,
        colours={NOT_SURE: NOT_SURE_COLOUR, **{c.name: c.colour for c in manifest.classes}},
        no_statistics=NO_STATISTICS,
        card=card,
        tissue_mm2=tissue_mm2,
        size_mm=[s * m / 1000 for s, m in zip(manifest.slide_size, manifest.mpp, strict=True)],
        slide_call=store.slide_call,
        counts={s.name.lower(): store.count(s) for s in TileState},
        plain=_png(overview.rgb),
        overlay=_png(overlay_picture(overview, store, thresholds, quantile=quantile)),
        manifest_json=json.dumps(manifest.model_dump(mode="json"), indent=1),
    )
    _write(path, page)


def write_csv(path: Path, measures: Sequence[ClassMeasure]) -> None:
    """Write the table of measurements as CSV."""
    lines = ["class,threshold,area_mm2,percent_of_tissue,mean_probability"]
    lines += [
        f"{m.name},{'' if m.threshold is None else m.threshold},{m.area_mm2:.6f},"
        f"{m.percent:.4f},{'' if m.name == NOT_SURE else f'{m.mean_probability:.6f}'}"
        for m in measures
    ]
    _write(path, "\n".join(lines) + "\n")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ResultError(f"{path}: cannot be written ({error.strerror or error})") from error
