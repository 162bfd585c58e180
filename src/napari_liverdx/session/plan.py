"""Pure decisions on a session's state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.core.errors import MppError, PlanError
from napari_liverdx.core.tissue import ARTIFACTS
from napari_liverdx.inference.device import DeviceChoice
from napari_liverdx.inference.plan import RunPlan, plan_run
from napari_liverdx.models.card import ModelCard
from napari_liverdx.session.state import SessionState
from napari_liverdx.slides.slide import Slide
from napari_liverdx.slides.tissue import slide_tissue_map

__all__ = ["blocking_reason", "plan_slide", "resolve"]


def blocking_reason(state: SessionState) -> str:
    """Return what the user must do before a run can start; empty if nothing stands in the way."""
    if state.slide.facts is None:
        return "Open a slide first"
    if state.model.card is None:
        return "Choose a model"
    if state.slide.facts.mpp is None:
        return "Give the slide's µm per pixel"
    if state.slide.facts.tissue is None:
        return "Detecting tissue"
    return ""


def resolve(state: SessionState, regions: Sequence[NDArray[np.float64]] | None = None) -> RunPlan:
    """Resolve the run that the state describes; changes nothing and reads nothing.

    Parameters
    ----------
    state : SessionState
        State of the dock.
    regions : sequence of ndarray of float, shape (n, 2), optional
        Polygons, (x, y) in level-0 pixels; None for the whole slide.

    Raises
    ------
    PlanError
        If something is still missing, or nothing can be analyzed; see also
        `napari_liverdx.inference.plan.plan_run`.
    """
    missing = blocking_reason(state)
    slide, card = state.slide.facts, state.model.card
    if missing or slide is None or card is None or slide.tissue is None:
        raise PlanError(missing)
    return plan_run(
        slide.levels,
        slide.mpp,
        state.slide.tissue or slide.tissue_map or slide.tissue,
        card,
        regions=regions,
        overlap=state.run.overlap,
        device=state.run.device,
    )


def plan_slide(
    slide: Slide,
    card: ModelCard,
    *,
    regions: Sequence[NDArray[np.float64]] | None = None,
    overlap: float = 0.0,
    device: DeviceChoice | None = None,
    batch_size: int | None = None,
    keep_artifacts: bool = False,
) -> RunPlan:
    """Detect a slide's tissue and plan its analysis.

    Parameters
    ----------
    slide : Slide
        With its resolution.
    card : ModelCard
        Card of the model.
    regions, overlap, device, batch_size
        See `napari_liverdx.inference.plan.plan_run`.
    keep_artifacts : bool
        Whether pen marks, folds and blurred tissue are analyzed too.

    Raises
    ------
    LiverDxError
        If the slide cannot be read, or as `napari_liverdx.inference.plan.plan_run`.
    """
    if slide.mpp is None:
        raise MppError(
            f"{slide.path}: {slide.info.mpp_question}; give its µm/px (--mpp 0.25 for 40x, "
            "--mpp 0.5 for 20x)"
        )
    tissue = slide_tissue_map(slide).keeping(ARTIFACTS if keep_artifacts else frozenset())
    return plan_run(
        slide.levels,
        slide.mpp,
        tissue,
        card,
        regions=regions,
        overlap=overlap,
        device=device,
        batch_size=batch_size,
    )
