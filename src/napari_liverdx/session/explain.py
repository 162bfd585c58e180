"""Explaining a tile of the dock's slide: which grid, which model, and the work itself."""

from __future__ import annotations

from dataclasses import dataclass, replace

from napari_liverdx.core.errors import ModelFileError, PlanError
from napari_liverdx.core.grid import TileGrid, TileIndex, plan_grid
from napari_liverdx.inference.explain import Explanation, around_tile, explain_tile
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.results.store import ResultStore
from napari_liverdx.session.run import loaded_model
from napari_liverdx.session.state import SessionState
from napari_liverdx.slides.slide import Slide

__all__ = ["ExplainRequest", "Explained", "explain", "grid_to_explain", "model_to_explain"]

_SAME_SIZE = 0.05
"""Relative difference of two tiles' sides that a model may not mind."""


@dataclass(frozen=True, slots=True, eq=False)
class ExplainRequest:
    """What is asked.

    Attributes
    ----------
    number : int
        Returned with the answer; answers to earlier requests are dropped by it.
    slide : Slide
    grid : TileGrid
    tile : TileIndex
    model : str
        Name or path of the chosen model.
    class_name : str
        The class to explain; empty for the predicted one.
    store : ResultStore or None
        The result that is shown.
    """

    number: int
    slide: Slide
    grid: TileGrid
    tile: TileIndex
    model: str
    class_name: str = ""
    store: ResultStore | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Explained:
    """The answer.

    Attributes
    ----------
    number : int
    explanation : Explanation
    warning : str
        Empty, or what does not fit the shown result.
    """

    number: int
    explanation: Explanation
    warning: str = ""


def grid_to_explain(state: SessionState, store: ResultStore | None) -> TileGrid:
    """Return the grid whose tiles can be explained: the result's, or that of a whole-slide run.

    Raises
    ------
    PlanError
        If a slide, a model or the resolution is missing.
    """
    if store is not None:
        return store.manifest.grid
    slide, card = state.slide.facts, state.model.card
    if slide is None:
        raise PlanError("open a slide first")
    if card is None:
        raise PlanError("choose a model first")
    if slide.mpp is None:
        raise PlanError("give the slide's µm per pixel first")
    # The grid of `resolve`, without waiting for the tissue.
    return plan_grid(
        slide.levels,
        slide.mpp,
        model_mpp=card.mpp,
        tile_size=card.tile_size,
        overlap=state.run.overlap,
    )


def model_to_explain(name: str, store: ResultStore | None) -> tuple[LoadedModel, str]:
    """Return the model that made the result, or the chosen one with a warning.

    Parameters
    ----------
    name : str
        Name or path of the chosen model.
    store : ResultStore or None
        The shown result.

    Raises
    ------
    ModelFileError
        If the chosen model cannot be loaded.
    PlanError
        If the result is of another model that is not here, and its tiles do not fit the chosen.
    """
    if store is None:
        return loaded_model(name), ""
    manifest = store.manifest
    for candidate in (name, manifest.model_name):
        try:
            loaded = loaded_model(candidate)
        except ModelFileError:
            continue
        if loaded.sha256 == manifest.model_sha256:
            return loaded, ""
    loaded = loaded_model(name)
    side_um = manifest.grid.tile_width * manifest.grid.scale_x * manifest.mpp[0]
    alike = abs(side_um / (loaded.card.mpp * loaded.card.tile_size) - 1) < _SAME_SIZE
    if loaded.card.tile_size != manifest.grid.tile_size or not alike:
        raise PlanError(
            f"the result was made with {manifest.model_name}, which is not here, and its tiles do "
            f"not fit {loaded.card.name}; analyze the slide again, or choose that model"
        )
    return loaded, (
        f"The result was made with another model ({manifest.model_name}, version "
        f"{manifest.model_version}) that is not here; this explains {loaded.card.name}."
    )


def explain(request: ExplainRequest) -> Explained:
    """Answer a request.

    Raises
    ------
    LiverDxError
        If the model cannot be used, there is no such tile or class, or the slide is damaged there.
    """
    model, warning = model_to_explain(request.model, request.store)
    names = model.card.scheme.names
    if request.class_name and request.class_name not in names:
        raise PlanError(
            f"{model.card.name} has no class {request.class_name!r}; it has {', '.join(names)}"
        )
    index = names.index(request.class_name) if request.class_name else None
    explanation = explain_tile(request.slide, request.grid, request.tile, model, index)
    if request.store is not None and not warning:
        explanation = replace(explanation, around=around_tile(request.store, request.tile))
    return Explained(request.number, explanation, warning)
