"""The slides of a batch and where each of them stands."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from psygnal import Signal

from napari_liverdx.core.resolution import MPP_RANGE, is_plausible_mpp
from napari_liverdx.reports.cohort import CohortRow
from napari_liverdx.session.batch import SlideState, first_rows
from napari_liverdx.session.batch_slide import SlideStep
from napari_liverdx.slides.listing import SlideEntry

__all__ = ["OVER", "BatchItem", "SlideList"]

OVER = (SlideState.FAILED, SlideState.STOPPED, SlideState.DONE, SlideState.RESUMED)
"""States after which nothing more is done about a slide."""


@dataclass(slots=True)
class BatchItem:
    """A slide of the table.

    Attributes
    ----------
    listed : SlideEntry
    step : SlideStep
        Where it stands.
    name : str
        The slide's, with its folder where another slide has the same name.
    """

    listed: SlideEntry
    step: SlideStep
    name: str

    @property
    def row(self) -> CohortRow:
        """What is known of it."""
        return self.step.row

    @property
    def share(self) -> float:
        """How much of its work is over, 0 to 1."""
        return 1.0 if self.step.state in OVER else self.step.progress

    @property
    def has_result(self) -> bool:
        """Whether there is something to open."""
        return self.step.result is not None and not self.step.state.is_active

    @property
    def mpp(self) -> float:
        """The given resolution, or the file's; NaN while it is unknown."""
        return self.row.mpp if self.listed.mpp is None else self.listed.mpp

    @property
    def mpp_text(self) -> str:
        """The resolution for people; empty while it is unknown."""
        return "" if math.isnan(self.mpp) else f"{self.mpp:.4g}"


class SlideList:
    """Slides with their states and findings; only the resolution can be edited.

    Signals: ``inserting(int, int)`` with first and last position, ``inserted()``,
    ``removing(int)``, ``removed()``, ``changed(int, int)`` with first and last position,
    ``refused(str)`` when an edit makes no sense, ``listed()`` when slides come, go, or get another
    resolution.
    """

    inserting = Signal(int, int)
    inserted = Signal()
    removing = Signal(int)
    removed = Signal()
    changed = Signal(int, int)
    refused = Signal(str)
    listed = Signal()

    def __init__(self) -> None:
        self.items: list[BatchItem] = []
        self.locked = False

    # -- which slides --

    @property
    def files(self) -> tuple[SlideEntry, ...]:
        """The slides in their order."""
        return tuple(item.listed for item in self.items)

    def add(self, found: Iterable[SlideEntry]) -> int:
        """Append slides that are not listed yet; the number of new ones."""
        known = {(item.listed.path.absolute(), item.listed.scene) for item in self.items}
        once = {(s.path.absolute(), s.scene): s for s in reversed(list(found))}
        new = [s for key, s in reversed(once.items()) if key not in known]
        if new:
            first = len(self.items)
            self.inserting.emit(first, first + len(new) - 1)
            rows = first_rows(new)
            self.items += [
                BatchItem(s, SlideStep(SlideState.WAITING, r), r.slide)
                for s, r in zip(new, rows, strict=True)
            ]
            self.inserted.emit()
            self._name_folders()
        return len(new)

    def remove(self, positions: Iterable[int]) -> None:
        """Take slides out; their results stay on disk."""
        for position in sorted(set(positions), reverse=True):
            self.removing.emit(position)
            del self.items[position]
            self.removed.emit()
        self._name_folders()

    def _name_folders(self) -> None:
        names = Counter(item.row.slide for item in self.items)
        for item, row in zip(self.items, first_rows(self.files), strict=True):
            item.step = replace(item.step, row=replace(item.row, folder=row.folder))
            several = names[row.slide] > 1 and row.folder
            name = f"{row.folder}/{row.slide}" if several else row.slide
            scene = item.listed.scene
            item.name = name if scene is None else f"{name}, scene {scene}"
        self._tell_all()
        self.listed.emit()

    def set_mpp(self, position: int, text: str) -> bool:
        """Take the resolution a person gives; the slide then waits to be analyzed with it.

        Parameters
        ----------
        position : int
            Of the slide.
        text : str
            µm per pixel; empty for what the file says.

        Returns
        -------
        bool
            Whether anything changed.
        """
        item, given = self.items[position], text.strip().replace(",", ".")
        if self.locked or given == item.mpp_text:
            return False
        try:
            mpp = float(given) if given else None
        except ValueError:
            mpp = math.nan
        if mpp is not None and not is_plausible_mpp(mpp):
            self.refused.emit(
                f"{text} is not a plausible µm/px; give a number between {MPP_RANGE[0]:g} and "
                f"{MPP_RANGE[1]:g}, for example 0.25 for a 40x scan"
            )
            return False
        item.listed = replace(item.listed, mpp=mpp)
        row = CohortRow(item.row.slide, item.row.folder, SlideState.WAITING.value)
        item.step = SlideStep(SlideState.WAITING, row)
        self.changed.emit(position, position)
        self.listed.emit()
        return True

    # -- where they stand --

    def forget(self) -> None:
        """Drop what was found before, as another model was chosen."""
        for item, row in zip(self.items, first_rows(self.files), strict=True):
            item.step = SlideStep(SlideState.WAITING, row)
        self._tell_all()

    def begin(self) -> None:
        """Let all slides wait; results that were found can still be opened."""
        for item, row in zip(self.items, first_rows(self.files), strict=True):
            item.step = SlideStep(SlideState.WAITING, row, result=item.step.result)
        self._tell_all()

    def take(self, position: int, step: SlideStep) -> None:
        """Take over the step that a slide has reached."""
        item = self.items[position]
        item.step = step if step.result is not None else replace(step, result=item.step.result)
        self.changed.emit(position, position)

    def settle(self, message: str) -> None:
        """Mark slides that a broken batch left at work as failed."""
        for position, item in enumerate(self.items):
            if item.step.state.is_active:
                self.take(position, item.step.to(SlideState.FAILED, message, problem=message))

    @property
    def share(self) -> float:
        """How much of all work is over, 0 to 1."""
        return sum(i.share for i in self.items) / len(self.items) if self.items else 0.0

    def _tell_all(self) -> None:
        if self.items:
            self.changed.emit(0, len(self.items) - 1)
