"""What a report holds, independent of whether it becomes a page or a PDF."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.core.measure import ClassMeasure, Histogram, RegionMeasure
from napari_liverdx.core.prediction_sets import UNCERTAIN_COLOR, UNCERTAIN_ID
from napari_liverdx.results.manifest import RunManifest

__all__ = [
    "Facts",
    "HistogramPart",
    "Picture",
    "Report",
    "ReportTable",
    "Row",
    "TileGroup",
    "TilePicture",
    "findings_table",
    "histogram_parts",
    "metrics_table",
    "regions_table",
]

_NOTHING = "–"


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture of the whole slide.

    Attributes
    ----------
    caption : str
    rgb : ndarray of uint8, shape (rows, columns, 3)
    legend : tuple of (str, str)
        Colors ``#rrggbb`` and what they stand for.
    """

    caption: str
    rgb: NDArray[np.uint8]
    legend: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table.

    Attributes
    ----------
    cells : tuple of str
    color : str
        ``#rrggbb`` of the class it is about; empty for none.
    starts : bool
        Whether a new group of rows begins with it.
    """

    cells: tuple[str, ...]
    color: str = ""
    starts: bool = False


@dataclass(frozen=True, slots=True)
class ReportTable:
    """A table.

    Attributes
    ----------
    columns : tuple of str
    rows : tuple of Row
    words : tuple of int
        Columns that hold words and not numbers.
    swatch : int
        Column in which the color of a row is shown.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    words: tuple[int, ...] = (0,)
    swatch: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class HistogramPart:
    """The probabilities of one class.

    Attributes
    ----------
    title, color : str
        Of the class.
    shares : ndarray of float64, shape (bins,)
        Height of each bar, 0 to 1: the square root of the count, as share of the largest.
    threshold : float
        Of the class.
    """

    title: str
    color: str
    shares: NDArray[np.float64]
    threshold: float

    def bars(self) -> list[tuple[float, float, float, bool]]:
        """Return left, right and height of each bar, 0 to 1, and whether it counts.

        A bar that the threshold cuts is two bars.
        """
        bins, found = len(self.shares), []
        for i, share in enumerate(self.shares.tolist()):
            low, high = i / bins, (i + 1) / bins
            cut = min(max(self.threshold, low), high)
            found += [(a, b, share, c) for a, b, c in ((low, cut, False), (cut, high, True))]
        return [bar for bar in found if bar[1] - bar[0] > 1e-9 and bar[2] > 0]


@dataclass(frozen=True, slots=True, eq=False)
class TilePicture:
    """One tile of high probability.

    Attributes
    ----------
    probability : float
    place : str
        Where it lies.
    decision : str
        What a person said of it; empty without.
    rgb : ndarray of uint8, shape (side, side, 3), or None
        None where the slide is not there.
    """

    probability: float
    place: str
    decision: str
    rgb: NDArray[np.uint8] | None


@dataclass(frozen=True, slots=True, eq=False)
class TileGroup:
    """The tiles with the highest probability of a class.

    Attributes
    ----------
    title, color : str
        Of the class.
    note : str
        How many there are, and which are shown.
    tiles : tuple of TilePicture
    """

    title: str
    color: str
    note: str
    tiles: tuple[TilePicture, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """Named facts under a heading."""

    heading: str
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """A report.

    Attributes
    ----------
    title, subtitle : str
        The slide; the model and when.
    notice : str
        That it is for research use.
    warnings : tuple of str
        What a reader must know before the numbers.
    pictures : tuple of Picture
    findings : ReportTable
    note : str
        What was measured and how.
    regions : ReportTable or None
    histograms : tuple of HistogramPart
    tiles : tuple of TileGroup
    facts : tuple of Facts
    metrics : ReportTable or None
        Of the model, from its card.
    manifest_json : str
    """

    title: str
    subtitle: str
    notice: str
    warnings: tuple[str, ...]
    pictures: tuple[Picture, ...]
    findings: ReportTable
    note: str
    regions: ReportTable | None
    histograms: tuple[HistogramPart, ...]
    tiles: tuple[TileGroup, ...]
    facts: tuple[Facts, ...]
    metrics: ReportTable | None
    manifest_json: str


_MEASURED = ("Threshold", "Area, mm²", "% of tissue", "Mean probability")
_FOCI = ("Foci", "Largest, mm")


def findings_table(
    measures: Sequence[ClassMeasure], manifest: RunManifest, error_rate: float | None
) -> ReportTable:
    """Return the table of findings; without columns for foci where none were counted."""
    foci = any(m.foci is not None for m in measures)
    rows = tuple(
        Row((m.title, *_numbers(m, error_rate, foci)), _colors(manifest).get(m.name, ""))
        for m in measures
    )
    return ReportTable(("Class", *_MEASURED, *(_FOCI if foci else ())), rows)


def regions_table(
    regions: Sequence[RegionMeasure], manifest: RunManifest, error_rate: float | None
) -> ReportTable | None:
    """Return the table of findings in each region; None without regions."""
    if not regions:
        return None
    foci = any(m.foci is not None for r in regions for m in r.measures)
    rows = []
    for region in regions:
        for number, m in enumerate(region.measures):
            head = (region.name, f"{region.area_mm2:.3f}") if number == 0 else ("", "")
            cells = (*head, m.title, *_numbers(m, error_rate, foci))
            rows.append(Row(cells, _colors(manifest).get(m.name, ""), number == 0))
    columns = ("Region", "Tissue, mm²", "Class", *_MEASURED, *(_FOCI if foci else ()))
    return ReportTable(columns, tuple(rows), (0, 2), 2)


def _numbers(m: ClassMeasure, error_rate: float | None, foci: bool) -> tuple[str, ...]:
    if m.name == UNCERTAIN_ID:
        rule = "" if error_rate is None else f"error rate {error_rate:g}"
    else:
        rule = "most probable" if m.threshold is None else f"{m.threshold:.2f}"
    cells = (rule, f"{m.area_mm2:.3f}", _number(m.percent, 1), _number(m.mean_probability, 3))
    if not foci:
        return cells
    if m.foci is None or m.largest_focus_mm is None:
        return (*cells, "", "")
    return (*cells, f"{m.foci:,}", f"{m.largest_focus_mm:.2f}" if m.foci else _NOTHING)


def _number(value: float, digits: int) -> str:
    return _NOTHING if math.isnan(value) else f"{value:.{digits}f}"


def _colors(manifest: RunManifest) -> dict[str, str]:
    return {UNCERTAIN_ID: UNCERTAIN_COLOR, **{c.name: c.color for c in manifest.classes}}


def histogram_parts(
    histograms: Mapping[str, Histogram], thresholds: Mapping[str, float], manifest: RunManifest
) -> tuple[HistogramPart, ...]:
    """Return histograms of the pathological classes that have one with anything in it."""
    parts = []
    for index in manifest.scheme.pathological:
        c = manifest.classes[index]
        found = histograms.get(c.name)
        if found is None or not found.total or c.name not in thresholds:
            continue
        heights = np.sqrt(found.counts)
        parts.append(HistogramPart(c.title, c.color, heights / heights.max(), thresholds[c.name]))
    return tuple(parts)


def metrics_table(card: Mapping[str, object]) -> ReportTable | None:
    """Return the table of the model's performance from its card; None where it holds none."""
    metrics = card.get("metrics")
    if not isinstance(metrics, Mapping) or not metrics:
        return None
    rows = []
    for name, metric in metrics.items():
        text = f"{metric['value']:.3f}"
        if metric.get("low") is not None and metric.get("high") is not None:
            text += f" ({metric['low']:.3f} to {metric['high']:.3f})"
        rows.append(Row((str(name), text, str(metric.get("how") or ""))))
    return ReportTable(("Metric", "Value (95 % interval)", "How"), tuple(rows), (0, 1, 2))
