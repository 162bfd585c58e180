"""From probabilities and thresholds to areas and foci, of a slide and of regions of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.core.assignment import Assignment
from napari_liverdx.core.classes import ClassKind
from napari_liverdx.core.foci import find_foci
from napari_liverdx.core.geometry import Region
from napari_liverdx.core.prediction_sets import UNCERTAIN_ID, UNCERTAIN_TITLE

__all__ = [
    "ClassMeasure",
    "Histogram",
    "MeasurementMap",
    "RegionMeasure",
    "measure",
    "measure_regions",
    "probability_histogram",
    "region_subtiles",
]


@dataclass(frozen=True, slots=True)
class ClassMeasure:
    """What was found of one class.

    Attributes
    ----------
    name, title : str
        The class.
    threshold : float or None
        Minimum probability for a map pixel to be counted as this class; None where the class takes
        the map pixels in which it is the most probable (background and normal classes).
    area_mm2 : float
        Area that counts, in mm².
    percent : float
        That area as a percentage of the analyzed tissue; NaN without tissue.
    mean_probability : float
        Mean probability over all analyzed tissue; NaN without tissue and for uncertain map pixels.
    foci : int or None
        Number of connected foci of the area that counts; None but for pathological classes, and
        where the size of a map pixel was not given.
    largest_focus_mm : float or None
        Longest diameter of any focus, mm; 0 without foci, None where ``foci`` is.
    """

    name: str
    title: str
    threshold: float | None
    area_mm2: float
    percent: float
    mean_probability: float
    foci: int | None = None
    largest_focus_mm: float | None = None


@dataclass(frozen=True, slots=True)
class RegionMeasure:
    """What was found in one region.

    Attributes
    ----------
    name : str
        Of the region.
    area_mm2 : float
        Analyzed tissue in it, mm²; percentages refer to it.
    measures : tuple of ClassMeasure
        As `measure` gives them for this tissue alone; a focus that reaches beyond the region
        counts with its part inside.
    """

    name: str
    area_mm2: float
    measures: tuple[ClassMeasure, ...]


@dataclass(frozen=True, slots=True, eq=False)
class MeasurementMap:
    """A map to measure, with its place and scale.

    Attributes
    ----------
    probabilities : ndarray of float32, shape (classes, rows, columns)
        Values in 0 to 1; they mean something only on tissue.
    tissue : ndarray of bool, shape (rows, columns)
        Map pixels that were analyzed and lie on tissue; the same whatever is measured, so that
        areas can be compared.
    origin : tuple of float
        Upper-left corner (x, y) of the map in level-0 pixels.
    subtile_size : tuple of float
        Width and height of a map pixel in level-0 pixels.
    subtile_um : tuple of float
        Width and height of a map pixel in µm.
    subtile_area_um2 : float
        Area of a map pixel in µm².
    """

    probabilities: NDArray[np.float32]
    tissue: NDArray[np.bool_]
    origin: tuple[float, float]
    subtile_size: tuple[float, float]
    subtile_um: tuple[float, float]
    subtile_area_um2: float

    @property
    def tissue_mm2(self) -> float:
        """Analyzed tissue in mm²."""
        return int(np.count_nonzero(self.tissue)) * self.subtile_area_um2 / 1e6


def measure(
    on: MeasurementMap, assignment: Assignment, *, foci: bool = True
) -> tuple[ClassMeasure, ...]:
    """Measure every class where it counts.

    Parameters
    ----------
    on : MeasurementMap
        The map.
    assignment : Assignment
        What counts where on it.
    foci : bool
        Whether the foci of pathological classes are counted.

    Returns
    -------
    tuple of ClassMeasure
        In the order of the scheme; what is uncertain last, where an error rate was chosen.
    """
    whole = (slice(None), slice(None))
    return _measured(on, assignment, whole, on.tissue, foci=foci)


def measure_regions(
    on: MeasurementMap,
    assignment: Assignment,
    regions: Sequence[tuple[str, NDArray[np.bool_]]],
    *,
    foci: bool = True,
) -> tuple[RegionMeasure, ...]:
    """Measure every class in each of several regions; see `measure`.

    Parameters
    ----------
    on, assignment, foci
        As for `measure`.
    regions : sequence of (str, ndarray of bool, shape (rows, columns))
        Names and the map pixels that belong to each, from `region_subtiles`; regions may overlap.

    Returns
    -------
    tuple of RegionMeasure
        In the order of the regions.
    """
    found = []
    for name, subtiles in regions:
        window = _window(subtiles)
        inside = on.tissue[window] & subtiles[window]
        measures = _measured(on, assignment, window, inside, foci=foci)
        area = int(np.count_nonzero(inside)) * on.subtile_area_um2 / 1e6
        found.append(RegionMeasure(name, area, measures))
    return tuple(found)


def _measured(
    on: MeasurementMap,
    assignment: Assignment,
    window: tuple[slice, slice],
    inside: NDArray[np.bool_],
    *,
    foci: bool,
) -> tuple[ClassMeasure, ...]:
    """Measure what counts ``inside``, a part of the map's ``window``."""
    total = int(np.count_nonzero(inside))

    def row(
        name: str, title: str, cut: float | None, hits: NDArray[np.bool_], mean: float
    ) -> ClassMeasure:
        subtiles = int(np.count_nonzero(hits))
        share = 100 * subtiles / total if total else float("nan")
        return ClassMeasure(name, title, cut, subtiles * on.subtile_area_um2 / 1e6, share, mean)

    rows = []
    for i, c in enumerate(assignment.scheme):
        values = on.probabilities[i][window][inside]
        mean = float(values.mean(dtype=np.float64)) if total else float("nan")
        hits = assignment.counted[i][window] & inside
        found = row(c.name, c.title, assignment.thresholds.get(c.name), hits, mean)
        if foci and c.kind is ClassKind.PATHOLOGICAL:
            each = find_foci(hits, on.subtile_um)
            found = replace(found, foci=each.count, largest_focus_mm=each.largest_mm)
        rows.append(found)
    if assignment.quantile is not None:
        uncertain = assignment.uncertain[window] & inside
        rows.append(row(UNCERTAIN_ID, UNCERTAIN_TITLE, None, uncertain, float("nan")))
    return tuple(rows)


def _window(subtiles: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the smallest window that holds all map pixels; an empty one without any."""
    spans = []
    for axis in (1, 0):
        (used,) = np.nonzero(subtiles.any(axis=axis))
        spans.append(slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 0))
    return spans[0], spans[1]


def region_subtiles(
    polygon: NDArray[np.float64],
    origin: tuple[float, float],
    subtile_size: tuple[float, float],
    shape: tuple[int, int],
) -> NDArray[np.bool_]:
    """Return the map pixels whose centers lie in a polygon.

    Parameters
    ----------
    polygon : ndarray of float64, shape (n, 2)
        Corners (x, y) in level-0 pixels, where (0, 0) is the upper-left corner of the first
        pixel. Where a line crosses itself, what it goes round twice is outside.
    origin : tuple of float
        Upper-left corner (x, y) of the map in level-0 pixels.
    subtile_size : tuple of float
        Width and height of a map pixel in level-0 pixels.
    shape : tuple of int
        Rows and columns of the map.

    Returns
    -------
    ndarray of bool, shape (rows, columns)
    """
    region = Region("", (np.asarray(polygon, np.float64),))
    bounds, spans = region.bounds, []
    for low, high, start, step, count in (
        (bounds.y, bounds.bottom, origin[1], subtile_size[1], shape[0]),
        (bounds.x, bounds.right, origin[0], subtile_size[0], shape[1]),
    ):
        first, last = np.floor((np.array([low, high]) - start) / step)
        spans.append(slice(int(np.clip(first, 0, count)), int(np.clip(last + 1, 0, count))))
    rows, cols = spans
    subtiles = np.zeros(shape, np.bool_)
    if rows.start < rows.stop and cols.start < cols.stop:
        ys = (
            origin[1] + (np.arange(rows.start, rows.stop, dtype=np.float64) + 0.5) * subtile_size[1]
        )
        xs = (
            origin[0] + (np.arange(cols.start, cols.stop, dtype=np.float64) + 0.5) * subtile_size[0]
        )
        subtiles[rows, cols] = region.contains(xs, ys)
    return subtiles


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """Map pixels by their probability.

    Attributes
    ----------
    counts : ndarray of int64, shape (bins,)
        Map pixels in each bin.
    edges : ndarray of float64, shape (bins + 1,)
        Limits of the bins, from 0 to 1. A bin holds its lower limit, as a threshold does; the
        last one its upper limit too.
    """

    counts: NDArray[np.int64]
    edges: NDArray[np.float64]

    @property
    def total(self) -> int:
        """Number of map pixels."""
        return int(self.counts.sum())


def probability_histogram(
    values: NDArray[np.floating],
    bins: int = 40,
    *,
    tissue: NDArray[np.bool_] | None = None,
    region: NDArray[np.bool_] | None = None,
) -> Histogram:
    """Count one class's probabilities in a histogram.

    Parameters
    ----------
    values : ndarray of float
        Probabilities, any shape; what lies outside 0 to 1 or is NaN is left out.
    bins : int
        Number of bins of equal width.
    tissue : ndarray of bool, shape of ``values``, optional
        Map pixels that were analyzed; all by default.
    region : ndarray of bool, shape of ``values``, optional
        Map pixels of a region; all by default.

    Returns
    -------
    Histogram

    Raises
    ------
    ValueError
        If there is no bin.
    """
    if bins < 1:
        raise ValueError(f"a histogram needs at least one bin, not {bins}")
    if tissue is not None and region is not None:
        values = values[tissue & region]
    elif tissue is not None or region is not None:
        values = values[tissue if region is None else region]
    counts, _ = np.histogram(values, bins, (0.0, 1.0))
    return Histogram(counts.astype(np.int64), np.linspace(0, 1, bins + 1))
