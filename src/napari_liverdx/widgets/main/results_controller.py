"""The shown result: its layers, thresholds, measurements and report."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from psygnal import Signal

from napari_liverdx.core.errors import ResultError
from napari_liverdx.core.prediction_sets import Quantiles
from napari_liverdx.exports.registry import ExportOptions
from napari_liverdx.models.conformal import conformal_quantiles
from napari_liverdx.reports.write import ReportOptions, save_report
from napari_liverdx.results.find_slide import relative_place
from napari_liverdx.results.findings import Findings, NamedPolygon
from napari_liverdx.results.locate import output_stem
from napari_liverdx.results.measure_settings import MeasureSettings
from napari_liverdx.results.measurement_map import MapKind
from napari_liverdx.results.store import ResultStore
from napari_liverdx.results.view_state import ViewState
from napari_liverdx.session.export import write_export
from napari_liverdx.session.measure import Measurer
from napari_liverdx.session.state import SessionState
from napari_liverdx.slides.slide import Slide
from napari_liverdx.viewer.layers.base import SLIDE_KEY
from napari_liverdx.viewer.layers.result import ResultLayers
from napari_liverdx.widgets.parts.host import Host
from napari_liverdx.widgets.parts.workers import Workers, once

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["FindingsController"]

_REFRESH_MS = 300
_SAVE_MS = 800
_LOG = logging.getLogger(__name__)


class FindingsController:
    """Shows one result and keeps layers, table and thresholds together.

    Results stay on a shelf while their layers are in the viewer, so that several slides and
    several runs stand side by side; one of them is the shown one.

    Signals: ``changed()`` when another result is shown, or none; ``filled()`` when the shown one
    holds more tiles or is measured anew, a few times a second at most; ``viewed()`` when opacity,
    colormap, visibility or what is measured changed.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer.
    state : SessionState
        State of the dock.
    workers : Workers
        Where slow work runs.
    host : Host
        Time and notifications.
    """

    changed = Signal()
    filled = Signal()
    viewed = Signal()

    def __init__(
        self, viewer: ViewerModel, state: SessionState, workers: Workers, host: Host
    ) -> None:
        self.viewer = viewer
        self.state = state
        self.results: ResultLayers | None = None
        self.open_results: list[ResultLayers] = []
        self.found: Findings | None = None
        self._measurer: Measurer | None = None
        self._regions: tuple[NamedPolygon, ...] = ()
        self._workers = workers
        self._host = host
        self._dirty = False
        self._timer = host.timer(_REFRESH_MS, self.refresh, repeats=True)
        self._saving = host.timer(_SAVE_MS, self.save_view)

    # -- which result --

    def show(self, store: ResultStore, reference: Image, view: ViewState | None = None) -> None:
        """Make layers of a result over its slide, and show it."""
        path = store.path
        self.open_results = [
            r for r in self.open_results if r.store.path != path and r.is_in(self.viewer)
        ]
        if view is not None:
            self.state.view = view
        results = ResultLayers(
            self.viewer, store, reference, self.state.settings, self.state.view, self._quantiles()
        )
        self.open_results.append(results)
        self.activate(results)

    def activate(self, results: ResultLayers) -> None:
        """Show a result from the shelf: table, thresholds and review are about it from now on."""
        self.save_view()
        if self.results is None or self.results.reference is not results.reference:
            # They were drawn on another slide.
            self._regions = ()
        self.results, self._measurer, self.found = results, Measurer(results.store), None
        self.state.settings, self.state.view = results.settings, results.view
        self._dirty = True
        self.changed.emit()
        self.viewed.emit()
        self._host.run_later(0, self._measure)

    def of_layer(self, reference: Image | None) -> list[ResultLayers]:
        """Return results on the shelf of one slide, newest last."""
        self.open_results = [r for r in self.open_results if r.is_in(self.viewer)]
        return [r for r in self.open_results if r.reference is reference]

    def at(self, path: str) -> ResultLayers | None:
        """Return the result at a path, if it is on the shelf."""
        return next((r for r in self.open_results if str(r.store.path) == path), None)

    def drop(self) -> None:
        """Show no result any more; layers stay where they are."""
        had = self.results is not None
        self.save_view()
        self.results, self._measurer, self.found = None, None, None
        self.state.measures = ()
        if had:
            self.changed.emit()

    def put_away(self, gone: Sequence[ResultLayers]) -> None:
        """Take the layers of results off the viewer and the shelf."""
        for results in gone:
            results.remove(self.viewer)
        self.open_results = [r for r in self.open_results if r not in gone]
        if self.results in gone:
            self.drop()

    def remove(self, reference: Image | None) -> None:
        """Take the layers of all results of a slide away, and show none."""
        for results in self.of_layer(reference):
            results.remove(self.viewer)
        self.drop()

    # -- how it looks --

    def set_view(self, **changes: Any) -> None:
        """Change opacity, colormap or visibility."""
        self.state.view = self.state.view.model_copy(update=changes)
        if self.results is not None:
            self.results.set_view(self.state.view)
            self._saving.start()
        self.viewed.emit()

    def toggle(self) -> None:
        """Show or hide the probability layers."""
        self.set_view(visible=not self.state.view.visible)

    def save_view(self) -> None:
        """Keep with the shown result how it is viewed."""
        self._saving.stop()
        results = self.results
        if results is None:
            return
        slide = results.reference.metadata.get(SLIDE_KEY)
        place = relative_place(slide.path, results.store.path) if slide is not None else ""
        view = results.view.with_settings(results.settings).model_copy(update={"slide": place})
        try:
            view.save(results.store.path)
        except ResultError as error:
            # The result is whole; only its view is not kept.
            _LOG.warning("%s", error)

    def close(self) -> None:
        """Keep the view, and let go of all results."""
        self.rest()
        self.save_view()
        self.results, self._measurer, self.open_results = None, None, []

    # -- following a run --

    def follow(self) -> None:
        """Redraw a few times a second from now on."""
        self._timer.start()

    def note(self) -> None:
        """Note that there is something new to draw."""
        self._dirty = True

    def settle(self) -> None:
        """Redraw a last time, tiles too, and stop following."""
        self.rest()
        self.refresh(force=True)

    def rest(self) -> None:
        """Stop following."""
        self._timer.stop()

    def refresh(self, *, force: bool = False) -> None:
        """Draw and measure what is new."""
        if self.results is None or not (self._dirty or force):
            return
        began = time.perf_counter()
        self.results.refresh(tiles=force)
        if self._measurer is not None:
            self._measurer.forget()
        self._dirty = True
        self._measure()
        # On large maps redraw less often, so that the viewer keeps most of its time.
        spent_ms = round(1000 * (time.perf_counter() - began))
        self._timer.interval = max(_REFRESH_MS, 8 * spent_ms)

    # -- what is measured --

    def set_threshold(self, name: str, value: float) -> None:
        """Move a threshold: the layer and the table follow, nothing is recomputed."""
        self._take_settings(self.state.settings.with_threshold(name, value))
        if self.results is not None and not self._timer.is_running:
            self._host.run_later(0, self._measure)

    def set_error_rate(self, rate: float) -> None:
        """Count what the model cannot be sure of apart; 0 switches it off."""
        self._take_settings(replace(self.state.settings, error_rate=rate or None))
        self._measure()

    def set_map_kind(self, map_kind: MapKind) -> None:
        """Measure the map, or the tiles."""
        self._take_settings(replace(self.state.settings, map_kind=map_kind))
        self._measure()
        self.viewed.emit()

    def _take_settings(self, settings: MeasureSettings) -> None:
        """Make settings those of the session and of the shown result."""
        self.state.settings = settings
        if self.results is not None:
            self.results.set_settings(settings, self._quantiles())
            self._saving.start()
            self._dirty = True

    def _quantiles(self) -> Quantiles:
        card = self.state.model.card
        if card is None:
            return Quantiles()
        return conformal_quantiles(card, self.state.settings.error_rate)

    def set_regions(self, regions: Sequence[NamedPolygon]) -> None:
        """Measure these regions too: names and corners (x, y) in level-0 pixels."""
        self._regions = tuple(regions)
        self._dirty = True
        self._measure()

    @property
    def regions(self) -> tuple[NamedPolygon, ...]:
        """Regions that are measured one by one."""
        return self._regions

    @property
    def map_kind(self) -> MapKind:
        """What is measured."""
        return self.state.settings.map_kind

    def _measure(self) -> None:
        if self._measurer is None or not self._dirty:
            return
        self._dirty = False
        self.found = self._measurer.take(self.state.settings, self._quantiles(), self._regions)
        self.state.measures = self.found.measures
        self.filled.emit()

    # -- handing on --

    def beside(self, ending: str) -> Path:
        """Return a file about the shown result: beside it, named like it or by a code."""
        if self.results is None:
            return Path.home() / ending
        store = self.results.store
        base = output_stem(store.path, store.manifest, pseudonymize=self.state.hide_names)
        return store.path.with_name(f"{base}.{ending}")

    def save_report(
        self,
        slide: Slide | None,
        *,
        hide_name: bool = False,
        said: Callable[[str], object] | None = None,
    ) -> None:
        """Write the report and tables of the shown result, in the background.

        Parameters
        ----------
        slide : Slide or None
            The slide; without it the report shows no tissue.
        hide_name : bool
            Whether a code stands in place of the slide's file name.
        said : callable, optional
            Told what came of it; by default the dock's message line is.
        """
        say = said or self._say
        card, found = self.state.model.card, self.found
        if self.results is None or found is None:
            return
        if card is None:
            say("The report needs the model that made the result")
            return
        options = ReportOptions(("html", "csv", "pdf"), hide_name=hide_name)
        work = once(save_report, found, self.results.store, slide, card, options)
        self._workers.start(work, lambda path: say(f"Report saved: {path}"), self._not_written(say))

    def export(
        self,
        name: str,
        path: Path,
        slide: Slide | None,
        *,
        hide_name: bool = False,
        said: Callable[[str], object] | None = None,
    ) -> None:
        """Write the shown result in another program's format, in the background.

        Parameters
        ----------
        name : str
            Key of `napari_liverdx.exports.registry.EXPORTS`.
        path : Path
            File or folder to write.
        slide, hide_name, said
            As for `save_report`.
        """
        if self.results is None:
            return
        say = said or self._say
        options = ExportOptions(self.results.settings, self.results.quantiles, hide_name=hide_name)
        work = once(write_export, self.results.store, name, path, slide, options)
        self._workers.start(work, lambda _: say(f"Saved {path.name}"), self._not_written(say))

    def _say(self, text: str) -> None:
        self.state.run.message = text

    def _not_written(self, say: Callable[[str], object]) -> Callable[[str], None]:
        def tell(problem: str) -> None:
            say("Nothing was written")
            self._host.show_error(problem)

        return tell
