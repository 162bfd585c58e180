"""The Python interface: from a slide to a table in three lines.

>>> import napari_liverdx as liverdx
>>> result = liverdx.analyze_slide("slide.svs", out="results")  # doctest: +SKIP
>>> result.to_dataframe()  # doctest: +SKIP
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.core.errors import MppError, PlanError, ResultError
from napari_liverdx.core.grid import TileGrid, TileIndex, plan_grid
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.inference.device import choose_device
from napari_liverdx.inference.explain import Explanation, explain_tile, tile_at
from napari_liverdx.inference.run import RunProgress
from napari_liverdx.mil.file import load_mil_model
from napari_liverdx.mil.train import apply_mil_model
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.models.zoo import load_model
from napari_liverdx.results.store import ResultStore
from napari_liverdx.session.plan import plan_slide
from napari_liverdx.session.result import Result, open_result
from napari_liverdx.session.run import Progressed, Started, loaded_model, run
from napari_liverdx.slides.address import local_path, remote_address
from napari_liverdx.slides.open import open_slide

__all__ = [
    "DEFAULT_MODEL",
    "Result",
    "RunProgress",
    "Started",
    "analyze_slide",
    "explain",
    "load_model",
    "open_result",
    "open_slide",
]

DEFAULT_MODEL = "liver-steatosis"
RESULTS_FOLDER = "liverdx-results"
"""Folder beside the slide in which results lie unless another is given."""


def analyze_slide(
    slide: str | Path,
    model: str | Path | LoadedModel = DEFAULT_MODEL,
    *,
    out: str | Path | None = None,
    mpp: float | None = None,
    device: str = "auto",
    precision: str = "auto",
    overlap: float = 0.0,
    batch_size: int | None = None,
    regions: Sequence[NDArray[np.float64]] | None = None,
    keep_artifacts: bool = False,
    scene: int | None = None,
    color_managed: bool = False,
    mil_model: str | Path | None = None,
    on_started: Callable[[Started], None] | None = None,
    on_progress: Callable[[RunProgress], None] | None = None,
    stop: threading.Event | None = None,
) -> Result:
    """Analyze a slide, or resume its analysis, and return the stored result.

    Parameters
    ----------
    slide : path
        The slide.
    model : str, path or LoadedModel
        Name, path, or the model itself.
    out : path, optional
        Folder for the result; ``liverdx-results`` beside the slide by default.
    mpp : float, optional
        Level-0 µm/px, if the slide states none or a wrong one.
    device : str
        auto, cpu, cuda, cuda:N or mps.
    precision : str
        auto, float32, float16 or bfloat16.
    overlap : float
        Share of a tile that neighbors have in common.
    batch_size : int, optional
        Tiles at a time; the device's default otherwise.
    regions : sequence of ndarray of float, shape (n, 2), optional
        Polygons to analyze, (x, y) in level-0 pixels; the whole slide by default.
    keep_artifacts : bool
        Whether pen marks, folds and blurred tissue are analyzed too.
    scene : int, optional
        Index of the scene, where the file holds several; the largest by default.
    color_managed : bool
        Whether colors are turned into sRGB by the file's ICC profile.
    mil_model : path, optional
        Slide-level model that refines the tiles and predicts the slide's class.
    on_started : callable, optional
        Called once with the plan and the store, before the first tile.
    on_progress : callable, optional
        Called after each batch.
    stop : threading.Event, optional
        Set it, from another thread or a callback, to end after the current batch; what is done
        is kept and the same call resumes.

    Raises
    ------
    LiverDxError
        Whatever stands in the way; finished tiles are kept.
    """
    place = local_path(slide)
    loaded = model if isinstance(model, LoadedModel) else loaded_model(str(model))
    mil = None if mil_model is None else load_mil_model(Path(mil_model))
    if mil is not None:
        mil.check_tile_model(loaded.card.name, loaded.sha256)
        mil.check_overlap(overlap)
    given = None if mpp is None else Mpp.square(mpp)
    choice = choose_device(device, precision)
    stop = threading.Event() if stop is None else stop
    with open_slide(place, mpp=given, scene=scene, color_managed=color_managed) as opened:
        plan = plan_slide(
            opened,
            loaded.card,
            regions=regions,
            overlap=overlap,
            device=choice,
            batch_size=batch_size,
            keep_artifacts=keep_artifacts,
        )
        folder = _beside(place) if out is None else Path(out)
        events = run(plan, opened, loaded, folder, stop, keep_embeddings=mil is not None)
        with closing(events):
            store = _follow(events, place, on_started, on_progress)
    if mil is not None and not stop.is_set():
        apply_mil_model(store, mil)
    return Result(store, card=loaded.card, slide=place)


def _beside(slide: Path) -> Path:
    """Return the folder for results beside a slide; that of a remote one lies where we are."""
    parent = Path.cwd() if remote_address(slide) is not None else slide.resolve().parent
    return parent / RESULTS_FOLDER


def _follow(
    events: Iterable[Started | Progressed],
    slide: Path,
    on_started: Callable[[Started], None] | None,
    on_progress: Callable[[RunProgress], None] | None,
) -> ResultStore:
    """Run to the end, tell the callbacks, and return the store."""
    store: ResultStore | None = None
    for event in events:
        if isinstance(event, Started):
            store = event.store
            if on_started is not None:
                on_started(event)
        elif on_progress is not None:
            on_progress(event.progress)
    if store is None:
        raise ResultError(f"{slide}: the analysis did not start; run it again")
    return store


def explain(
    slide: str | Path,
    *,
    tile: tuple[int, int] | None = None,
    at: tuple[float, float] | None = None,
    model: str | Path | LoadedModel = DEFAULT_MODEL,
    class_name: str | None = None,
    mpp: float | None = None,
    overlap: float = 0.0,
    scene: int | None = None,
    color_managed: bool = False,
) -> Explanation:
    """Explain one tile: Grad-CAM, and the map with and without the recurrent network.

    Parameters
    ----------
    slide : path
        The slide.
    tile : (int, int), optional
        Row and column in the grid of tiles; either this or ``at``.
    at : (float, float), optional
        x and y in level-0 pixels.
    model : str, path or LoadedModel
        Name, path, or the model itself.
    class_name : str, optional
        Class to explain; the predicted one by default.
    mpp : float, optional
        Level-0 µm/px, if the slide states none or a wrong one.
    overlap : float
        Share of a tile that neighbors have in common.
    scene : int, optional
        Index of the scene, where the file holds several; the largest by default.
    color_managed : bool
        Whether colors are turned into sRGB by the file's ICC profile.

    Raises
    ------
    LiverDxError
        If there is no such tile, class or model, or the slide cannot be read.
    """
    loaded = model if isinstance(model, LoadedModel) else loaded_model(str(model))
    card = loaded.card
    if class_name is not None and class_name not in card.scheme.names:
        raise PlanError(
            f"{card.name} has no class {class_name!r}; it has {', '.join(card.scheme.names)}"
        )
    index = None if class_name is None else card.scheme.index(class_name)
    given = None if mpp is None else Mpp.square(mpp)
    with open_slide(slide, mpp=given, scene=scene, color_managed=color_managed) as opened:
        if opened.mpp is None:
            raise MppError(f"{slide}: {opened.info.mpp_question}; give its µm/px (mpp, --mpp)")
        grid = plan_grid(
            opened.levels,
            opened.mpp,
            model_mpp=card.mpp,
            tile_size=card.tile_size,
            overlap=overlap,
        )
        return explain_tile(opened, grid, _tile_of(grid, tile, at), loaded, index)


def _tile_of(
    grid: TileGrid, tile: tuple[int, int] | None, at: tuple[float, float] | None
) -> TileIndex:
    if (tile is None) == (at is None):
        raise PlanError("say which tile: by row and column (--tile) or by place (--at)")
    if tile is not None:
        return TileIndex(*tile)
    x, y = at or (0.0, 0.0)
    found = tile_at(grid, x, y)
    if found is None:
        raise PlanError(f"--at {x:g},{y:g}: this place is not on the slide")
    return found
