"""Explanations take the grid of the run and the model of the result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_liverdx.core.errors import PlanError
from napari_liverdx.inference.explain import sentences
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.session.run import inspect_slide
from napari_liverdx.slides.open import open_slide
from tests.support.models import make_card, model_of


def test_session_takes_the_grid_of_a_whole_run_and_the_model_of_the_result(
    small_slide: Path, tiny_file: Path, tiny: LoadedModel, tmp_path: Path
) -> None:
    from napari_liverdx.inference.run import make_manifest
    from napari_liverdx.models.file import save_model_file
    from napari_liverdx.results.slide_prediction import SlidePrediction
    from napari_liverdx.results.store import ResultStore
    from napari_liverdx.session.explain import (
        ExplainRequest,
        explain,
        grid_to_explain,
        model_to_explain,
    )
    from napari_liverdx.session.plan import resolve
    from napari_liverdx.session.state import SessionState

    state = SessionState()
    with pytest.raises(PlanError, match="open a slide"):
        grid_to_explain(state, None)
    with open_slide(small_slide) as slide:
        state.slide.facts = inspect_slide(slide)
        with pytest.raises(PlanError, match="choose a model"):
            grid_to_explain(state, None)
        state.choose_card(str(tiny_file), tiny.card)
        plan = resolve(state)
        assert grid_to_explain(state, None) == plan.grid
        manifest = make_manifest(plan, slide, tiny)
        store = ResultStore.create(tmp_path / "r.liverdx.zarr", manifest, plan.tissue, plan.tiles)
        assert grid_to_explain(state, store) == plan.grid
        tile = plan.tiles[0]
        one = np.array([[0.2, 0.2, 0.6]], np.float32)
        store.add([tile], one, np.broadcast_to(one[0][:, None, None], (1, 3, 7, 7)).copy())
        request = ExplainRequest(7, slide, plan.grid, tile, str(tiny_file), "liver", store)
        answer = explain(request)
        assert answer.number == 7
        assert answer.explanation.class_index == 1
        assert answer.explanation.around is None
        refined = np.zeros((3, *plan.grid.shape), np.float32)
        refined[:, tile.row, tile.col] = 0.1, 0.7, 0.2
        call = SlidePrediction(
            context_name="wide",
            context_version="1",
            context_sha256="0",
            learned_from="tiles",
            tiles=1,
        )
        store.save_slide_prediction(call, refined, np.zeros(plan.grid.shape, np.float32))
        answer = explain(request)
        assert answer.explanation.around is not None
        assert sentences(answer.explanation)[1] == (
            "The slide around it raises Liver without fat from 0.20 to 0.70 (slide-level model "
            "wide)."
        )
        other = tmp_path / "other.safetensors"
        save_model_file(other, tiny.network, make_card(name="other", version="2"), half=False)
        loaded, warning = model_to_explain(str(other), store)
        assert loaded.card.name == "other"
        assert "made with another model (tiny, version 1)" in warning
        assert model_to_explain(str(tiny_file), store)[1] == ""
        small = model_of("livernet", 64)
        save_model_file(other, small.network, small.card, half=False)
        with pytest.raises(PlanError, match="do not fit"):
            model_to_explain(str(other), store)
