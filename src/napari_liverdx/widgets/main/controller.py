"""Turns intentions into runs and layers; owns the workers."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Shapes
from psygnal import Signal

from napari_liverdx.core.errors import LiverDxError, ModelFileError
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.models.file import read_card
from napari_liverdx.models.zoo import available_models, find_model
from napari_liverdx.session.plan import resolve
from napari_liverdx.session.run import (
    Progressed,
    Started,
    inspect_slide,
    run,
    slide_facts,
)
from napari_liverdx.session.state import AnalysisRegion, RunStatus, SessionState
from napari_liverdx.slides.sample import sample_path
from napari_liverdx.slides.slide import Slide
from napari_liverdx.viewer.layers.base import SLIDE_KEY, place_slide_layer
from napari_liverdx.viewer.layers.drawing import drawing_layer, find_drawing
from napari_liverdx.viewer.layers.result import ResultLayers
from napari_liverdx.viewer.layers.slide_source import (
    bare,
    is_slide_layer,
    regions_from_shapes,
    slide_of_layer,
    visible_region,
)
from napari_liverdx.viewer.layers.visibility import Stage
from napari_liverdx.widgets.main.ood_probe import OodProbe
from napari_liverdx.widgets.main.reopen import Reopener
from napari_liverdx.widgets.main.results_controller import FindingsController
from napari_liverdx.widgets.parts.host import Host
from napari_liverdx.widgets.parts.keys import Keys
from napari_liverdx.widgets.parts.workers import CancelToken, Ticket, Tickets, Workers, once
from napari_liverdx.widgets.slide.slide_opener import SlideOpener

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["DockController"]

REGIONS = "Regions to analyze"
_ANALYZE = "analyze"


class DockController:
    """The dock's logic: listens to the viewer, starts and stops workers, fills layers.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer.
    state : SessionState
        State of the dock.
    host : Host
        Time, threads and notifications.
    """

    about_to_run = Signal()

    def __init__(self, viewer: ViewerModel, state: SessionState, host: Host) -> None:
        self.host = host
        self.viewer = viewer
        self.state = state
        self.layer: Image | None = None
        self.slide: Slide | None = None
        self.stop = CancelToken()
        self.workers = Workers(host, self.stop)
        self.keys = Keys(viewer)
        self._stage = Stage(viewer)
        self.findings = FindingsController(viewer, state, self.workers, host)
        self.reopener = Reopener(self)
        self.opener = SlideOpener(self)
        self.closed = False
        self._folder_chosen = False
        self._runs, self._looks = Tickets(), Tickets()
        self._probe = OodProbe(state, self.workers)
        viewer.layers.events.removed.connect(self._on_removed)

    # -- slide --

    def slide_layers(self) -> list[Image]:
        """Return the layers that can be analyzed, newest first."""
        return [bare(layer) for layer in reversed(self.viewer.layers) if is_slide_layer(layer)]

    def open_path(self, path: str | Path) -> None:
        """Open a slide as a new layer and choose it; see `SlideOpener.open`."""
        self.opener.open(path)

    def open_result(self, path: Path, slide: Path | None = None) -> bool:
        """Show a stored result over its slide; see `Reopener.open`."""
        return self.reopener.open(path, slide)

    def choose_layer(self, layer: Image | None) -> None:
        """Make a layer the slide to analyze and look for its tissue in the background."""
        layer = bare(layer)
        if layer is self.layer or self.state.run.status.is_active:
            return
        try:
            self.slide = None if layer is None else slide_of_layer(layer)
        except LiverDxError as error:
            self.host.show_error(str(error))
            return
        self.layer = layer
        if layer is not None and layer in self.viewer.layers:
            self._stage.show(layer)
            self.viewer.layers.selection.active = layer
        self.findings.drop()
        self._probe.forget()
        self.state.run.progress = None
        self.state.run.status, self.state.run.message = RunStatus.IDLE, ""
        if self.slide is None or layer is None:
            self.state.slide.facts = None
            return
        if not self._folder_chosen:
            self.state.run.out_folder = _default_folder(self.slide.path)
        self._look()
        self.reopener.restore(layer)

    def choose_folder(self, folder: Path) -> None:
        """Put results into ``folder`` from now on, for other slides too."""
        self._folder_chosen = True
        self.state.run.out_folder = folder

    def set_mpp(self, value: float) -> None:
        """Take the resolution the user gives; results at another one are put away."""
        try:
            self.take_mpp(Mpp.square(value, "given by user"))
        except LiverDxError as error:
            self.host.show_error(str(error))

    def take_mpp(self, mpp: Mpp) -> None:
        """Use a resolution from now on; nothing changes where it is the slide's already."""
        if self.slide is None or self.layer is None or self.state.run.status.is_active:
            return
        if self.slide.mpp == mpp:
            return
        place_slide_layer(self.layer, mpp)
        self.take_slide(self.slide.with_mpp(mpp))
        self.viewer.reset_view()

    def take_slide(self, slide: Slide) -> None:
        """Go on with the chosen slide as a person wants it read; what was found is put away."""
        if self.layer is None:
            return
        self.slide = slide
        self.layer.metadata[SLIDE_KEY] = slide
        self.findings.remove(self.layer)
        self.state.run.status, self.state.run.message = RunStatus.IDLE, ""
        self.state.run.progress = None
        self._look()

    def _look(self) -> None:
        slide = self.slide
        if slide is None:
            return
        self.state.slide.facts = slide_facts(slide)
        ticket = self._looks.take()

        def found(facts: Any) -> None:
            if ticket.holds:
                self.state.slide.facts = facts
                self._probe.start(self.slide)

        def failed(problem: str) -> None:
            if ticket.holds:
                self._failed(problem)

        self.workers.start(once(inspect_slide, slide), found, failed)

    # -- model --

    def choose_model(self, name: str) -> bool:
        """Take a model by name or path; False and a notification if it cannot be used."""
        if self.state.run.status.is_active:
            return False
        if name == self.state.model.name:
            return True
        try:
            card = read_card(find_model(name))
        except ModelFileError as error:
            self.host.show_error(str(error))
            return False
        self.findings.drop()
        self.state.choose_card(name, card)
        self._probe.start(self.slide)
        return True

    def models(self) -> dict[str, Any]:
        """Return the cards of the models that can be named, and of the chosen file."""
        cards: dict[str, Any] = dict(available_models())
        if self.state.model.card is not None:
            cards.setdefault(self.state.model.name, self.state.model.card)
        return cards

    # -- run --

    def analyze(self) -> None:
        """Start a run, or resume the stopped one."""
        slide, layer, folder = self.slide, self.layer, self.state.run.out_folder
        if slide is None or layer is None or folder is None or self.state.run.status.is_active:
            return
        self.about_to_run.emit()
        try:
            plan = resolve(self.state, self._regions(layer))
        except LiverDxError as error:
            self._failed(str(error))
            return
        for warning in plan.warnings:
            self.host.show_warning(warning)
        # From here on the run itself tells.
        self._probe.stop()
        ticket = self._runs.take()
        self.state.run.progress = None
        self.state.run.status, self.state.run.message = RunStatus.RUNNING, "Loading the model…"
        stop = self.stop.renew()
        events = run(plan, slide, self.state.model.name, folder, stop)
        self.workers.start(
            events,
            lambda event: self._on_event(ticket, event),
            lambda problem: self._on_error(ticket, problem),
            lambda: self._on_end(ticket),
        )
        self.findings.follow()

    def _regions(self, layer: Image) -> Any:
        if self.state.run.analysis_region is AnalysisRegion.WHOLE:
            return None
        if self.state.run.analysis_region is AnalysisRegion.VIEW:
            return visible_region(self.viewer, layer)
        return regions_from_shapes(self._shapes(), layer)

    def _shapes(self) -> Shapes:
        active = self.viewer.layers.selection.active
        if isinstance(active, Shapes):
            return active
        return find_drawing(self.viewer, _ANALYZE) or Shapes()

    def draw_regions(self) -> None:
        """Offer a Shapes layer to draw on, and choose drawn shapes as the area."""
        if self.layer is None:
            return
        drawing_layer(self.viewer, self.layer, REGIONS, _ANALYZE)
        self.state.run.analysis_region = AnalysisRegion.SHAPES

    def cancel(self) -> None:
        """Ask the run to stop; finished tiles stay and the next start resumes."""
        if self.state.run.status is RunStatus.RUNNING:
            self.stop.throw()
            self.state.run.status, self.state.run.message = RunStatus.STOPPING, "Stopping…"

    def _on_event(self, ticket: Ticket, event: Started | Progressed) -> None:
        if not ticket.holds or self.layer is None:
            return
        if isinstance(event, Started):
            self.findings.show(event.store, self.layer)
            self.state.run.message = ""
        else:
            self.state.run.progress = event.progress
        self.findings.note()

    def _on_end(self, ticket: Ticket) -> None:
        if not ticket.holds:
            return
        self.findings.settle()
        stopped = self.stop.event.is_set()
        self.state.run.status = RunStatus.STOPPED if stopped else RunStatus.FINISHED
        self.state.run.message = self._summary(stopped)

    def _summary(self, stopped: bool) -> str:
        progress = self.state.run.progress
        if progress is None:
            return ""
        done = f"{progress.done:,} of {progress.total:,} tiles"
        text = f"Stopped after {done}; Analyze resumes" if stopped else f"Finished, {done} analyzed"
        if progress.failed:
            text += f". {progress.failed} tiles could not be read and are left out"
        return text

    def _on_error(self, ticket: Ticket, problem: str) -> None:
        if not ticket.holds:
            return
        self.findings.settle()
        self._failed(problem)

    def _failed(self, problem: str) -> None:
        self.state.run.status, self.state.run.message = RunStatus.FAILED, problem
        self.host.show_error(problem)

    @property
    def results(self) -> ResultLayers | None:
        """The result that is shown."""
        return self.findings.results

    # -- workers and the end --

    @property
    def is_busy(self) -> bool:
        """Whether any worker is at work."""
        return self.workers.are_busy

    def _on_removed(self, event: Any) -> None:
        layer = bare(event.value)
        # What was found on a slide goes with it; the stored results stay.
        orphans = self.findings.of_layer(layer)
        if orphans:
            self.host.run_later(0, partial(self.findings.put_away, orphans))
        if layer is self.layer:
            self.stop.throw()
            self._runs.void()
            self._looks.void()
            self._probe.forget()
            self.findings.rest()
            self.layer, self.slide = None, None
            self.findings.drop()
            self.state.slide.facts = None
            self.state.run.progress = None
            self.state.run.status, self.state.run.message = RunStatus.IDLE, ""

    def close(self) -> None:
        """Stop everything and let go of the viewer."""
        self.closed = True
        self.keys.release()
        self.stop.throw()
        self._probe.stop()
        self.findings.close()
        self._runs.void()
        self._looks.void()
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        self.layer, self.slide = None, None


def _default_folder(slide: Path) -> Path:
    own = os.path.exists(slide) and slide != sample_path()
    beside = slide.parent if own else Path.home()
    base = beside if os.access(beside, os.W_OK) else Path.home()
    return base / "liverdx-results"
