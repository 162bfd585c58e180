"""A stored result with what can be done with it: measure, report, export."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.core.errors import PlanError, ResultError
from napari_liverdx.core.ood import OodAssessment
from napari_liverdx.core.prediction_sets import Quantiles
from napari_liverdx.exports.registry import ExportOptions, export_path
from napari_liverdx.exports.registry import export as write_export
from napari_liverdx.inference.ood import read_result
from napari_liverdx.models.card import ModelCard
from napari_liverdx.models.conformal import conformal_quantiles
from napari_liverdx.models.zoo import find_by_hash
from napari_liverdx.reports.measurements import WHOLE
from napari_liverdx.reports.write import TOP_TILES, ReportOptions, report_paths, save_report
from napari_liverdx.results.find_slide import find_slide
from napari_liverdx.results.findings import Findings, NamedPolygon
from napari_liverdx.results.manifest import RunManifest
from napari_liverdx.results.measure_settings import MeasureSettings
from napari_liverdx.results.measurement_map import MapKind
from napari_liverdx.results.slide_prediction import SlidePrediction
from napari_liverdx.results.store import ResultStore
from napari_liverdx.results.view_state import ViewState
from napari_liverdx.session.export import export_picture
from napari_liverdx.session.measure import Measurer
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.slide import Slide

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Result", "open_result"]


class Result:
    """A stored result: what was found on a slide, ready to be measured, reported and exported.

    Made by `analyze_slide` and `open_result`.

    Attributes
    ----------
    store : ResultStore
        The arrays and the manifest behind it.
    """

    def __init__(
        self,
        store: ResultStore,
        *,
        card: ModelCard | None = None,
        slide: Path | None = None,
        model: str | Path | None = None,
    ) -> None:
        self.store = store
        self._card = card
        self._slide = slide
        self._model = model
        self._measurer = Measurer(store)

    def __repr__(self) -> str:
        manifest = self.manifest
        state = "complete" if self.store.is_complete else "incomplete"
        return f"<Result of {manifest.slide_name} by {manifest.model_name}, {state}: {self.path}>"

    # -- what is stored --

    @property
    def path(self) -> Path:
        """The folder, NAME.liverdx.zarr."""
        return self.store.path

    @property
    def manifest(self) -> RunManifest:
        """How the result was made: slide, model, grid, device, versions, timings."""
        return self.store.manifest

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """Probabilities of the map pixels, shape (classes, rows, columns); 0 outside tissue."""
        return self.store.probabilities

    @property
    def tile_probabilities(self) -> NDArray[np.float32]:
        """Probabilities of the tiles, shape (classes, tile rows, tile columns)."""
        return self.store.tile_probabilities

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of `probabilities`."""
        return self.manifest.scheme.names

    @property
    def is_complete(self) -> bool:
        """Whether every tile on tissue was analyzed."""
        return self.store.is_complete

    @property
    def slide_prediction(self) -> SlidePrediction | None:
        """What a slide-level model says; None if none was applied."""
        return self.store.slide_prediction

    @property
    def ood(self) -> OodAssessment | None:
        """Whether the tiles look like the training data; None where the model cannot tell."""
        return read_result(self.store, self.card)

    @property
    def thresholds(self) -> dict[str, float]:
        """Thresholds the result was last viewed with, per pathological class."""
        return dict(ViewState.load(self.path).thresholds)

    @property
    def card(self) -> ModelCard:
        """Card of the very model that made the result.

        Raises
        ------
        PlanError
            If that model is not found.
        """
        if self._card is None:
            m = self.manifest
            also = "" if self._model is None else str(self._model)
            found = find_by_hash(m.model_name, m.model_version, m.model_sha256, also)
            if found is None:
                what = f"than {also}" if also else f"than {m.model_name} as it is here"
                raise PlanError(
                    f"{self.path}: was made with another file {what}; give the model it was made "
                    "with (--model)"
                )
            self._card = found[1]
        return self._card

    @contextmanager
    def opened_slide(self) -> Iterator[Slide | None]:
        """Open the slide of the result for a while; None if it is not found.

        Raises
        ------
        PlanError
            If another slide was given for it.
        """
        if self._slide is None:
            slide = find_slide(self.store)
        else:
            slide = open_slide(
                self._slide,
                mpp=self.store.mpp,
                scene=self.manifest.scene,
                color_managed=self.manifest.color_managed,
            )
        try:
            if slide is not None and slide.fingerprint() != self.manifest.slide_fingerprint:
                raise PlanError(
                    f"{self._slide}: not the slide of this result; give the one it was made of"
                )
            yield slide
        finally:
            if slide is not None:
                slide.close()

    # -- measuring --

    def measure(
        self,
        thresholds: Mapping[str, float] | None = None,
        error_rate: float | None = None,
        map_kind: MapKind = MapKind.SUBTILES,
        regions: Sequence[NamedPolygon] = (),
    ) -> Findings:
        """Measure areas, shares and foci of each class.

        Parameters
        ----------
        thresholds : mapping of str to float, optional
            Per pathological class; 0.5 where absent. By default those the result was last looked
            at with.
        error_rate : float, optional
            Count as uncertain what the model cannot decide at this error rate.
        map_kind : MapKind
            What is measured.
        regions : sequence of (str, ndarray of float, shape (n, 2))
            Regions to measure too: their names, and corners (x, y) in level-0 pixels.

        Raises
        ------
        PlanError
            If the model holds no calibration scores for an error rate, or is not found.
        """
        settings = self._settings(thresholds, error_rate, map_kind)
        return self._measurer.take(settings, self._quantiles(error_rate), regions)

    def _settings(
        self, thresholds: Mapping[str, float] | None, error_rate: float | None, map_kind: MapKind
    ) -> MeasureSettings:
        chosen = self.thresholds if thresholds is None else thresholds
        return MeasureSettings(chosen, error_rate, map_kind)

    def _quantiles(self, error_rate: float | None) -> Quantiles:
        # Without an error rate no model needs to be found.
        return Quantiles() if error_rate is None else conformal_quantiles(self.card, error_rate)

    def to_rows(self, findings: Findings | None = None) -> list[dict[str, Any]]:
        """Return one row for each region and class, all analyzed tissue first.

        Parameters
        ----------
        findings : Findings, optional
            From `measure`; measured with its defaults otherwise.

        Returns
        -------
        list of dict
            Keys: slide, model, region, class, threshold, area_mm2, percent_of_tissue,
            mean_probability, foci, largest_focus_mm. What does not apply is None.
        """
        found = self.measure() if findings is None else findings
        parts = [(WHOLE, found.measures), *((r.name, r.measures) for r in found.regions)]
        return [
            {
                "slide": self.manifest.slide_name,
                "model": self.manifest.model_name,
                "region": region,
                "class": m.name,
                "threshold": m.threshold,
                "area_mm2": m.area_mm2,
                "percent_of_tissue": m.percent,
                "mean_probability": m.mean_probability,
                "foci": m.foci,
                "largest_focus_mm": m.largest_focus_mm,
            }
            for region, measures in parts
            for m in measures
        ]

    def to_dataframe(self, findings: Findings | None = None) -> pd.DataFrame:
        """Return the rows of `to_rows` as a pandas table.

        Raises
        ------
        ResultError
            If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ResultError(
                "a table for pandas needs pandas: pip install pandas; to_rows() gives the same "
                "rows without it"
            ) from error
        return pd.DataFrame(self.to_rows(findings))

    # -- handing out --

    def report(
        self,
        folder: str | Path | None = None,
        findings: Findings | None = None,
        *,
        formats: Sequence[str] = ("html", "csv"),
        top: int = TOP_TILES,
        pseudonymize: bool = False,
    ) -> dict[str, Path]:
        """Write the report.

        Parameters
        ----------
        folder : path, optional
            Where it goes; beside the result by default.
        findings : Findings, optional
            From `measure`; measured with its defaults otherwise.
        formats : sequence of str
            Among html, csv and pdf.
        top : int
            Most tiles to show of each pathological class.
        pseudonymize : bool
            Whether a code stands in place of the slide's file name.

        Returns
        -------
        dict of str to Path
            The written files by format.

        Raises
        ------
        LiverDxError
            If the model or the format is unknown, or a file cannot be written.
        """
        place = None if folder is None else Path(folder)
        found = self.measure() if findings is None else findings
        options = ReportOptions(tuple(formats), top, pseudonymize, place)
        with self.opened_slide() as slide:
            save_report(found, self.store, slide, self.card, options)
        return report_paths(self.store, formats, place, hide_name=pseudonymize)

    def export(
        self,
        format: str,
        path: str | Path | None = None,
        *,
        thresholds: Mapping[str, float] | None = None,
        error_rate: float | None = None,
        map_kind: MapKind = MapKind.SUBTILES,
        with_overview: bool = False,
        pseudonymize: bool = False,
        **options: bool,
    ) -> Path:
        """Write the result in another program's format.

        Parameters
        ----------
        format : str
            geojson (QuPath), csv, ome-tiff, ome-zarr or dicom; see
            `napari_liverdx.exports.registry.EXPORTS`.
        path : path, optional
            File or folder to write; beside the result by default.
        thresholds, error_rate, map_kind
            As in `measure`; areas are those that it gives.
        with_overview : bool
            Whether a small picture of the slide may go into formats that hold one.
        pseudonymize : bool
            Whether a code stands in place of the slide's file name.
        **options : bool
            Of the format: ``as_bytes`` of ome-tiff, ``fractional`` of dicom.

        Returns
        -------
        Path
            What was written.

        Raises
        ------
        LiverDxError
            If the format is unknown or the file cannot be written.
        """
        overview = None
        if with_overview:
            with self.opened_slide() as slide:
                overview = None if slide is None else export_picture(self.store, slide)
        if path is None:
            path = export_path(self.store, format, self.path.parent, hide_name=pseudonymize)
        chosen = ExportOptions(
            self._settings(thresholds, error_rate, map_kind),
            self._quantiles(error_rate),
            overview,
            pseudonymize,
            **options,
        )
        write_export(self.store, format, Path(path), chosen)
        return Path(path)


def open_result(
    path: str | Path, *, slide: str | Path | None = None, model: str | Path | None = None
) -> Result:
    """Open a stored result.

    Parameters
    ----------
    path : path
        NAME.liverdx.zarr.
    slide : path, optional
        Its slide, if it does not lie near the result.
    model : str or path, optional
        Name or path of its model, if that is not among those that can be named.

    Raises
    ------
    ResultError
        If there is no such result or it is damaged.
    """
    store = ResultStore.open(Path(path))
    return Result(store, slide=None if slide is None else Path(slide), model=model)
