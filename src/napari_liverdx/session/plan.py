"""Pure decisions on a session's state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.core.errors import PlanError
from napari_liverdx.inference.plan import RunPlan, plan_run
from napari_liverdx.session.state import SessionState

__all__ = ["blocking_reason", "resolve"]


def blocking_reason(state: SessionState) -> str:
    """What the user must do before a run can start; empty if nothing stands in the way."""
    if state.slide is None:
        return "Open a slide first"
    if state.card is None:
        return "Choose a model"
    if state.slide.mpp is None:
        return "Give the slide's µm per pixel"
    if state.slide.tissue is None:
        return "Tissue is being sought"
    return ""


def resolve(state: SessionState, regions: Sequence[NDArray[np.float64]] | None = None) -> RunPlan:
    """The run that the state describes; changes nothing and reads nothing.

    Parameters
    ----------
    state : SessionState
        State of the dock.
    regions : sequence of ndarray of float, shape (n, 2), optional
        Polygons, (x, y) in level-0 pixels; None for the whole slide.

    Raises
    ------
    PlanError
        If something is still missing, or nothing can be analysed; see also
        `napari_liverdx.inference.plan.plan_run`.
    """
    missing = blocking_reason(state)
    slide, card = state.slide, state.card
    if missing or slide is None or card is None or slide.tissue is None:
        raise PlanError(missing)
    return plan_run(
        slide.levels,
        slide.mpp,
        state.tissue or slide.tissue_map or slide.tissue,
        card,
        regions=regions,
        overlap=state.overlap,
        device=state.device,
    )
