"""What the dock shows, as one evented model with no widget in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from psygnal import EventedModel
from pydantic import ConfigDict, Field

from napari_liverdx._ids import Choice
from napari_liverdx.core.assignment import DEFAULT_THRESHOLD
from napari_liverdx.core.classes import ClassKind
from napari_liverdx.core.measure import ClassMeasure
from napari_liverdx.core.ood import OodAssessment
from napari_liverdx.core.resolution import Level, Mpp
from napari_liverdx.core.tissue import TissueMap, TissueMask
from napari_liverdx.inference.device import DeviceChoice
from napari_liverdx.inference.run import RunProgress
from napari_liverdx.models.card import ModelCard
from napari_liverdx.results.measure_settings import MeasureSettings
from napari_liverdx.results.view_state import ViewState
from napari_liverdx.slides.backend import SlideInfo

__all__ = [
    "AnalysisRegion",
    "ChosenModel",
    "ChosenSlide",
    "RunState",
    "RunStatus",
    "SessionState",
    "SlideFacts",
]


class AnalysisRegion(Choice):
    """What part of the slide is analyzed."""

    WHOLE = "whole_slide", "Whole slide"
    VIEW = "view", "Current view"
    SHAPES = "shapes", "Drawn shapes"


class RunStatus(StrEnum):
    """Where a run stands."""

    IDLE = "idle"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FINISHED = "finished"
    FAILED = "failed"

    @property
    def is_active(self) -> bool:
        """Whether a worker is at it."""
        return self in (RunStatus.RUNNING, RunStatus.STOPPING)


@dataclass(frozen=True, slots=True, eq=False)
class SlideFacts:
    """What is known of the chosen slide.

    Attributes
    ----------
    name : str
    info : SlideInfo
        What the file says of itself.
    mpp : Mpp or None
        As the file or a person says.
    tissue : TissueMask or None
        None until it was detected.
    unreadable : int
        Damaged stored tiles met so far.
    tissue_map : TissueMap or None
        What was found: tissue, pen marks, folds, blur; ``tissue`` is what of it is analyzed.
    color_managed : bool
        Whether colors are turned into sRGB.
    """

    name: str
    info: SlideInfo
    mpp: Mpp | None
    tissue: TissueMask | None = None
    unreadable: int = 0
    tissue_map: TissueMap | None = None
    color_managed: bool = False

    @property
    def levels(self) -> tuple[Level, ...]:
        """Levels, finest first."""
        return self.info.levels

    @property
    def tissue_mm2(self) -> float | None:
        """Tissue area, or None while it or the resolution is unknown."""
        if self.tissue is None or self.mpp is None:
            return None
        return self.tissue.area_px * self.mpp.x * self.mpp.y / 1e6

    def properties(self) -> tuple[tuple[str, str], ...]:
        """Return what there is to know of the file, each with its title, for people."""
        return self.info.properties(self.mpp, color_managed=self.color_managed)


class ChosenSlide(EventedModel):
    """The chosen slide; every field has an event.

    Attributes
    ----------
    facts : SlideFacts or None
    tissue : TissueMap or None
        As the user wants it analyzed; None: as it was found.
    ood : OodAssessment or None
        Whether the slide looks like the training data; None until tiles were scored.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    facts: SlideFacts | None = None
    tissue: TissueMap | None = None
    ood: OodAssessment | None = None


class ChosenModel(EventedModel):
    """The model that is used; every field has an event.

    Attributes
    ----------
    name : str
        Name or path.
    card : ModelCard or None
    first_threshold : float
        Where thresholds begin when a model is chosen.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    name: str = ""
    card: ModelCard | None = None
    first_threshold: float = DEFAULT_THRESHOLD


class RunState(EventedModel):
    """How the next run is made, and where the last one stands; every field has an event.

    Attributes
    ----------
    device : DeviceChoice or None
    analysis_region : AnalysisRegion
    overlap : float
    out_folder : Path or None
        Where results go; None until a slide is chosen.
    status : RunStatus
    progress : RunProgress or None
    message : str
        Last thing to tell the user.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    device: DeviceChoice | None = None
    analysis_region: AnalysisRegion = AnalysisRegion.WHOLE
    overlap: float = 0.0
    out_folder: Path | None = None
    status: RunStatus = RunStatus.IDLE
    progress: RunProgress | None = None
    message: str = ""


class SessionState(EventedModel):
    """The state of one dock, in parts that each own their settings.

    Attributes
    ----------
    slide : ChosenSlide
    model : ChosenModel
    run : RunState
    settings : MeasureSettings
        Thresholds, error rate and what is measured, of the shown result or the next.
    measures : tuple of ClassMeasure
    view : ViewState
        How probability layers look.
    hide_names : bool
        Whether what is exported is pseudonymized.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    slide: ChosenSlide = Field(default_factory=ChosenSlide)
    model: ChosenModel = Field(default_factory=ChosenModel)
    run: RunState = Field(default_factory=RunState)
    settings: MeasureSettings = MeasureSettings()
    measures: tuple[ClassMeasure, ...] = ()
    view: ViewState = ViewState()
    hide_names: bool = False

    def choose_card(self, model: str, card: ModelCard | None) -> None:
        """Take another model; thresholds and error rate go back to their default."""
        self.model.name = model
        scheme = () if card is None else card.scheme
        first = {
            c.name: self.model.first_threshold for c in scheme if c.kind is ClassKind.PATHOLOGICAL
        }
        self.settings = replace(self.settings, thresholds=first, error_rate=None)
        self.slide.ood = None
        # After the thresholds: who listens for the card reads them.
        self.model.card = card
