"""What was found on a slide: measured once, then passed on whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.core.assignment import Assignment
from napari_liverdx.core.measure import (
    ClassMeasure,
    Histogram,
    MeasurementMap,
    RegionMeasure,
    measure,
    measure_regions,
    probability_histogram,
    region_subtiles,
)
from napari_liverdx.core.prediction_sets import Quantiles
from napari_liverdx.results.measure_settings import MeasureSettings, assign_map
from napari_liverdx.results.measurement_map import measurement_map
from napari_liverdx.results.store import ResultStore

__all__ = ["Findings", "NamedPolygon", "measure_result"]

NamedPolygon = tuple[str, NDArray[np.float64]]
"""A region's name and its corners, (x, y) in level-0 pixels, shape (n, 2)."""


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """What was found on a slide.

    Attributes
    ----------
    settings : MeasureSettings
        What was chosen.
    on : MeasurementMap
        What was measured.
    assignment : Assignment
        What counts where on it.
    tissue_mm2 : float
        Analyzed tissue.
    measures : tuple of ClassMeasure
        Of all analyzed tissue.
    regions : tuple of RegionMeasure
        Of the drawn regions.
    histograms : mapping of str to Histogram
        Per pathological class, of all analyzed tissue.
    """

    settings: MeasureSettings
    on: MeasurementMap
    assignment: Assignment
    tissue_mm2: float
    measures: tuple[ClassMeasure, ...]
    regions: tuple[RegionMeasure, ...] = ()
    histograms: Mapping[str, Histogram] = field(default_factory=dict)


def measure_result(
    store: ResultStore,
    settings: MeasureSettings = MeasureSettings(),  # noqa: B008
    quantiles: Quantiles = Quantiles(),  # noqa: B008
    regions: Sequence[NamedPolygon] = (),
    *,
    on: MeasurementMap | None = None,
) -> Findings:
    """Measure a result.

    Parameters
    ----------
    store : ResultStore
        The result.
    settings : MeasureSettings
        What was chosen.
    quantiles : Quantiles
        Of the model's calibration scores at the chosen error rate; see
        `napari_liverdx.models.conformal.conformal_quantiles`.
    regions : sequence of (str, ndarray of float64, shape (n, 2))
        Names and corners (x, y) in level-0 pixels.
    on : MeasurementMap, optional
        The map of the chosen kind, if it is there already.

    Raises
    ------
    PlanError
        If an error rate was chosen and its quantile is missing.
    """
    on = on or measurement_map(store, settings.map_kind)
    assignment = assign_map(store, settings, quantiles, on)
    inside = [
        (name, region_subtiles(corners, on.origin, on.subtile_size, on.tissue.shape))
        for name, corners in regions
    ]
    scheme = store.manifest.scheme
    histograms = {
        scheme[i].name: probability_histogram(on.probabilities[i], tissue=on.tissue)
        for i in scheme.pathological
    }
    return Findings(
        settings,
        on,
        assignment,
        on.tissue_mm2,
        measure(on, assignment),
        measure_regions(on, assignment, inside),
        histograms,
    )
