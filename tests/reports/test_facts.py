"""What a report tells of the run and of the slide-level model."""

from __future__ import annotations

import numpy as np

from napari_liverdx.reports.facts import all_facts
from napari_liverdx.results.slide_prediction import SlidePrediction
from napari_liverdx.results.store import ResultStore, TileState
from tests.support.models import make_card
from tests.support.reports import findings


def told(store: ResultStore) -> dict[str, dict[str, str]]:
    facts = all_facts(store, make_card().model_dump(), findings(store))
    return {part.heading: dict(part.rows) for part in facts}


def test_tissue_that_a_person_changed_is_named(store: ResultStore) -> None:
    plain = next(rows for rows in told(store).values() if "Analyzed tissue" in rows)
    assert "Tissue" not in plain
    tissue = {"excluded": {"pen": 0.25}, "kept": {"fold": 1.5}, "edited": True}
    store.manifest = store.manifest.model_copy(update={"tissue": tissue})
    changed = next(rows for rows in told(store).values() if "Analyzed tissue" in rows)
    assert changed["Left out of it"].startswith("pen 0.250 mm²")
    assert changed["Artifacts in it"].startswith("fold 1.500 mm²")
    assert "by a person" in changed["Tissue"]


def test_a_model_that_tells_no_tiles_has_no_row_for_them(store: ResultStore) -> None:
    assert "Slide prediction" not in told(store)
    prediction = SlidePrediction(
        context_name="around",
        context_version="1",
        context_sha256="0" * 64,
        learned_from="slides",
        tiles=store.count(TileState.DONE),
        classes=("normal", "fatty"),
        probabilities=(0.25, 0.75),
    )
    refined = store.tile_probabilities
    store.save_slide_prediction(prediction, refined, np.ones(refined.shape[1:], np.float32))
    rows = told(store)["Slide prediction"]
    assert rows["Slide-level prediction"] == "fatty"
    assert "Tiles that decided" not in rows
