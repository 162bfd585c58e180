"""Measuring a result while thresholds, regions and what is measured change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from napari_liverdx.core.errors import PlanError
from napari_liverdx.core.measure import MeasurementMap
from napari_liverdx.core.prediction_sets import Quantiles
from napari_liverdx.models.conformal import conformal_quantiles
from napari_liverdx.models.zoo import find_by_hash
from napari_liverdx.results.findings import Findings, NamedPolygon, measure_result
from napari_liverdx.results.measure_settings import MeasureSettings
from napari_liverdx.results.measurement_map import MapKind, measurement_map
from napari_liverdx.results.store import ResultStore
from napari_liverdx.results.view_state import ViewState

__all__ = ["Measurer", "stored_quantiles", "stored_settings"]


class Measurer:
    """Measures one result; keeps what does not depend on the thresholds."""

    def __init__(self, store: ResultStore) -> None:
        self._store = store
        self._map: MeasurementMap | None = None
        self._map_kind = MapKind.SUBTILES

    def forget(self) -> None:
        """Discard the kept map, as the result holds more than before."""
        self._map = None

    def map(self, map_kind: MapKind) -> MeasurementMap:
        """Return the map to measure on."""
        if self._map is None or map_kind is not self._map_kind:
            self._map, self._map_kind = measurement_map(self._store, map_kind), map_kind
        return self._map

    def take(
        self,
        settings: MeasureSettings,
        quantiles: Quantiles,
        regions: Sequence[NamedPolygon] = (),
    ) -> Findings:
        """Measure the result; see `napari_liverdx.results.findings.measure_result`."""
        on = self.map(settings.map_kind)
        return measure_result(self._store, settings, quantiles, regions, on=on)


def stored_quantiles(store: ResultStore, error_rate: float | None, model: str = "") -> Quantiles:
    """Return the quantiles of the model that made a result.

    Parameters
    ----------
    store : ResultStore
        The result.
    error_rate : float or None
        The chosen one.
    model : str
        Name or path of a model to look at too; those in the model folders are found by themselves.

    Raises
    ------
    PlanError
        If an error rate was chosen and the model is not found or holds no calibration scores.
    """
    if error_rate is None:
        return Quantiles()
    m = store.manifest
    found = find_by_hash(m.model_name, m.model_version, m.model_sha256, model)
    if found is None:
        raise PlanError(
            f"{store.path}: error rate {error_rate:g} needs the model that made the result, "
            f"{m.model_name} version {m.model_version}, which is not among the models; put it into "
            "the model folder, or choose no error rate"
        )
    return conformal_quantiles(found[1], error_rate)


def stored_settings(store: ResultStore, view: ViewState) -> tuple[MeasureSettings, Quantiles]:
    """Return the settings a result was left with, and their quantiles.

    Without the model that made it an error rate promises nothing, and none is applied.
    """
    settings = view.settings.of_scheme(store.manifest.scheme)
    try:
        return settings, stored_quantiles(store, settings.error_rate)
    except PlanError:
        return replace(settings, error_rate=None), Quantiles()
