"""A look in the background whether the model knows such slides."""

from __future__ import annotations

import threading
from typing import Any

from napari_liverdx.core.errors import LiverDxError
from napari_liverdx.models.ood import ood_rule
from napari_liverdx.session.plan import resolve
from napari_liverdx.session.run import probe_slide_ood
from napari_liverdx.session.state import SessionState
from napari_liverdx.slides.slide import Slide
from napari_liverdx.widgets.parts.workers import Workers, once

__all__ = ["OodProbe"]


class OodProbe:
    """Fills the state's domain reading before a run; one look at a time.

    Parameters
    ----------
    state : SessionState
        State of the dock.
    workers : Workers
        Where the look runs.
    """

    def __init__(self, state: SessionState, workers: Workers) -> None:
        self._state = state
        self._workers = workers
        self._stop = threading.Event()

    def stop(self) -> None:
        """End a look under way and drop what it finds."""
        self._stop.set()

    def forget(self) -> None:
        """Stop, and know nothing again."""
        self.stop()
        self._state.slide.ood = None

    def start(self, slide: Slide | None) -> None:
        """Score a few tiles, if there is a slide, a resolution and a model that can tell."""
        self.forget()
        card = self._state.model.card
        if slide is None or card is None or ood_rule(card) is None:
            return
        try:
            plan = resolve(self._state)
        # What stands in the way is told when the run is asked for.
        except LiverDxError:
            return
        stop = self._stop = threading.Event()

        def found(reading: Any) -> None:
            if not stop.is_set():
                self._state.slide.ood = reading

        work = once(probe_slide_ood, plan, slide, self._state.model.name, stop)
        self._workers.start(work, found, lambda _: None)
