"""Measuring a result while thresholds, regions and what is measured change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.core.measure import (
    ClassMeasure,
    Histogram,
    RegionMeasure,
    measure,
    measure_regions,
    probability_histogram,
    region_subtiles,
)
from napari_liverdx.results.measurement_map import MapKind, MeasurementMap, measurement_map
from napari_liverdx.results.store import ResultStore

__all__ = ["Findings", "Measurer", "NamedPolygon"]

NamedPolygon = tuple[str, NDArray[np.float64]]
"""A region's name and its corners, (x, y) in level-0 pixels, shape (n, 2)."""


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """What was found on a slide.

    Attributes
    ----------
    map_kind : MapKind
        What was measured.
    tissue_mm2 : float
        Analysed tissue.
    measures : tuple of ClassMeasure
        Of all analysed tissue.
    regions : tuple of RegionMeasure
        Of the drawn regions.
    histograms : mapping of str to Histogram
        Per pathological class, of all analysed tissue.
    """

    map_kind: MapKind
    tissue_mm2: float
    measures: tuple[ClassMeasure, ...]
    regions: tuple[RegionMeasure, ...] = ()
    histograms: Mapping[str, Histogram] = field(default_factory=dict)


class Measurer:
    """Measures one result; keeps what does not depend on the thresholds.

    Parameters
    ----------
    store : ResultStore
        The result.
    """

    def __init__(self, store: ResultStore) -> None:
        self._store = store
        self._map: MeasurementMap | None = None
        self._map_kind = MapKind.SUBTILES

    def forget(self) -> None:
        """The result holds more than before."""
        self._map = None

    def map(self, map_kind: MapKind) -> MeasurementMap:
        """The map to measure on."""
        if self._map is None or map_kind is not self._map_kind:
            self._map, self._map_kind = measurement_map(self._store, map_kind), map_kind
        return self._map

    def take(
        self,
        map_kind: MapKind,
        thresholds: Mapping[str, float],
        quantile: float | None,
        regions: Sequence[NamedPolygon] = (),
    ) -> Findings:
        """Measure.

        Parameters
        ----------
        map_kind : MapKind
            What to measure.
        thresholds : mapping of str to float
            Per pathological class.
        quantile : float or None
            See `napari_liverdx.core.measure.measure`.
        regions : sequence of (str, ndarray of float64, shape (n, 2))
            Names and corners (x, y) in level-0 pixels.
        """
        found, scheme = self.map(map_kind), self._store.manifest.scheme
        shape = found.tissue.shape
        subtiles = [
            (n, region_subtiles(p, found.origin, found.subtile_size, shape)) for n, p in regions
        ]
        area, sides = found.subtile_area_um2, found.subtile_um
        measures = measure(
            found.probabilities,
            found.tissue,
            scheme,
            subtile_area_um2=area,
            thresholds=thresholds,
            quantile=quantile,
            subtile_um=sides,
        )
        inside = measure_regions(
            found.probabilities,
            found.tissue,
            scheme,
            subtiles,
            subtile_area_um2=area,
            thresholds=thresholds,
            quantile=quantile,
            subtile_um=sides,
        )
        histograms = {
            scheme[i].name: probability_histogram(found.probabilities[i], tissue=found.tissue)
            for i in scheme.pathological
        }
        tissue_mm2 = int(np.count_nonzero(found.tissue)) * area / 1e6
        return Findings(map_kind, tissue_mm2, measures, inside, histograms)
