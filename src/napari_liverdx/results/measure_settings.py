"""What a person chooses for a measurement, and what it makes of a result's map and tiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from napari_liverdx.core.assignment import DEFAULT_THRESHOLD, Assignment, assign
from napari_liverdx.core.classes import ClassScheme
from napari_liverdx.core.errors import PlanError
from napari_liverdx.core.measure import MeasurementMap
from napari_liverdx.core.prediction_sets import Quantiles
from napari_liverdx.results.measurement_map import MapKind, measurement_map
from napari_liverdx.results.store import ResultStore, TileState

__all__ = ["MeasureSettings", "assign_map", "assign_tiles"]


@dataclass(frozen=True, slots=True)
class MeasureSettings:
    """Thresholds, error rate and what is measured; their one owner, wherever they are needed.

    Attributes
    ----------
    thresholds : mapping of str to float
        Per pathological class; `DEFAULT_THRESHOLD` where absent.
    error_rate : float or None
        How often the true class may be missing from a prediction set; None: nothing is uncertain.
    map_kind : MapKind
        What is measured.
    """

    thresholds: Mapping[str, float] = field(default_factory=dict)
    error_rate: float | None = None
    map_kind: MapKind = MapKind.SUBTILES

    def threshold(self, name: str) -> float:
        """Return the probability from which a class counts."""
        return float(self.thresholds.get(name, DEFAULT_THRESHOLD))

    def with_threshold(self, name: str, value: float) -> MeasureSettings:
        """Return the same with another threshold of one class."""
        return replace(self, thresholds={**self.thresholds, name: value})

    def of_scheme(self, scheme: ClassScheme) -> MeasureSettings:
        """Return the same with a threshold for each pathological class and for no other."""
        names = [scheme[i].name for i in scheme.pathological]
        return replace(self, thresholds={name: self.threshold(name) for name in names})

    def quantile(self, quantiles: Quantiles) -> float | None:
        """Return the quantile that fits what is measured: of tiles, or of the dense map."""
        return quantiles.subtile if self.map_kind is MapKind.SUBTILES else quantiles.tile

    def check(self, scheme: ClassScheme) -> None:
        """Refuse thresholds that mean nothing for a model.

        Raises
        ------
        PlanError
            If one is of no pathological class or not between 0 and 1.
        """
        allowed = [scheme[i].name for i in scheme.pathological]
        for name, value in self.thresholds.items():
            if name not in allowed or not 0 <= value <= 1:
                raise PlanError(
                    f"threshold {name}={value:g}: choose a class among {', '.join(allowed)} and a "
                    "probability between 0 and 1"
                )


def assign_map(
    store: ResultStore,
    settings: MeasureSettings,
    quantiles: Quantiles,
    on: MeasurementMap | None = None,
) -> Assignment:
    """Decide what counts where on the map of a result.

    Parameters
    ----------
    store : ResultStore
        The result.
    settings : MeasureSettings
        What was chosen.
    quantiles : Quantiles
        Of the model's calibration scores at the chosen error rate.
    on : MeasurementMap, optional
        The map of the chosen kind, if it is there already.

    Raises
    ------
    PlanError
        If an error rate was chosen and its quantile is missing.
    """
    on = on or measurement_map(store, settings.map_kind)
    quantile = _needed(settings, settings.quantile(quantiles))
    scheme = store.manifest.scheme
    return assign(on.probabilities, on.tissue, scheme, settings.thresholds, quantile)


def assign_tiles(store: ResultStore, settings: MeasureSettings, quantiles: Quantiles) -> Assignment:
    """Decide which class each tile belongs to, by the rule of the map, on the grid of tiles.

    Raises
    ------
    PlanError
        If an error rate was chosen and its quantile is missing.
    """
    done = store.state == TileState.DONE
    quantile = _needed(settings, quantiles.tile)
    scheme = store.manifest.scheme
    return assign(store.tile_probabilities, done, scheme, settings.thresholds, quantile)


def _needed(settings: MeasureSettings, quantile: float | None) -> float | None:
    """Return the quantile; an error rate is never passed over in silence."""
    if settings.error_rate is None:
        return None
    if quantile is None:
        raise PlanError(
            f"error rate {settings.error_rate:g}: the model's calibration scores are needed and "
            "not at hand; choose the model that made the result, or no error rate"
        )
    return quantile
