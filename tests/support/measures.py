"""Measuring bare maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from napari_liverdx.core.assignment import assign
from napari_liverdx.core.classes import ClassScheme
from napari_liverdx.core.measure import (
    ClassMeasure,
    MeasurementMap,
    RegionMeasure,
    measure,
    measure_regions,
)


def bare_map(
    probabilities: np.ndarray,
    tissue: np.ndarray,
    area_um2: float = 1.0,
    um: tuple[float, float] = (1.0, 1.0),
) -> MeasurementMap:
    """A map that lies at the slide's first pixel, one of its pixels to one of the slide's."""
    return MeasurementMap(probabilities, tissue, (0.0, 0.0), (1.0, 1.0), um, area_um2)


def measured(
    probabilities: np.ndarray,
    tissue: np.ndarray,
    scheme: ClassScheme,
    *,
    subtile_area_um2: float = 1.0,
    thresholds: Mapping[str, float] | None = None,
    quantile: float | None = None,
    subtile_um: tuple[float, float] | None = None,
) -> tuple[ClassMeasure, ...]:
    """Assign and measure a map; foci where the size of its pixels is given."""
    on = bare_map(probabilities, tissue, subtile_area_um2, subtile_um or (1.0, 1.0))
    assigned = assign(probabilities, tissue, scheme, thresholds, quantile)
    return measure(on, assigned, foci=subtile_um is not None)


def measured_regions(
    probabilities: np.ndarray,
    tissue: np.ndarray,
    scheme: ClassScheme,
    regions: Sequence[tuple[str, np.ndarray]],
    *,
    subtile_area_um2: float = 1.0,
    thresholds: Mapping[str, float] | None = None,
    quantile: float | None = None,
    subtile_um: tuple[float, float] | None = None,
) -> tuple[RegionMeasure, ...]:
    """The same in regions."""
    on = bare_map(probabilities, tissue, subtile_area_um2, subtile_um or (1.0, 1.0))
    assigned = assign(probabilities, tissue, scheme, thresholds, quantile)
    return measure_regions(on, assigned, regions, foci=subtile_um is not None)
