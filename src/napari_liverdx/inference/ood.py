"""Whether a model knows such slides: before a run, while it runs, and from its result."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import Any

import numpy as np

from napari_liverdx.core.ood import OodAssessment, assess_ood
from napari_liverdx.inference.plan import RunPlan
from napari_liverdx.inference.predict import TileBatchResult, predict_watched
from napari_liverdx.models.card import ModelCard
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.models.ood import ood_rule
from napari_liverdx.results.store import ResultStore, TileState
from napari_liverdx.slides.slide import Slide

__all__ = ["PROBE_TILES", "ood_record", "probe_ood", "read_result"]

PROBE_TILES = 32


def probe_ood(
    plan: RunPlan,
    slide: Slide,
    model: LoadedModel,
    n: int = PROBE_TILES,
    stop: threading.Event | None = None,
) -> OodAssessment | None:
    """Look at a few tiles spread over the tissue, before a run.

    Parameters
    ----------
    plan : RunPlan
        The decided run.
    slide : Slide
        The slide to read.
    model : LoadedModel
        The model.
    n : int
        Most tiles to look at.
    stop : threading.Event, optional
        Set it to end the look early; what was seen until then counts.

    Returns
    -------
    OodAssessment or None
        None where the model holds no domain statistics.
    """
    rule = ood_rule(model.card)
    if rule is None:
        return None
    places = np.linspace(0, len(plan.tiles) - 1, min(n, len(plan.tiles))).round().astype(int)
    scores = [np.empty(0, np.float32)]
    chosen = [plan.tiles[i] for i in places]
    with closing(predict_watched(plan, slide, model, chosen)) as batches:
        for batch in batches:
            if isinstance(batch, TileBatchResult) and batch.ood is not None:
                scores.append(batch.ood)
            if stop is not None and stop.is_set():
                break
    return assess_ood(np.concatenate(scores), rule)


def read_result(store: ResultStore, card: ModelCard) -> OodAssessment | None:
    """Assess the tiles that are done; None where the model holds no domain statistics."""
    rule = ood_rule(card)
    if rule is None:
        return None
    return assess_ood(store.ood[store.state == TileState.DONE], rule)


def ood_record(reading: OodAssessment | None) -> dict[str, Any]:
    """Return a reading as it is kept in a manifest; empty without one."""
    if reading is None:
        return {}
    return {
        "state": reading.state.value,
        "sentence": reading.state.sentence,
        "numbers": reading.numbers,
        "tiles": reading.tiles,
        "outside": reading.outside,
        "expected_share": reading.rate,
    }
