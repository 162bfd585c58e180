"""Fine-tuning is stopped; its versions are accepted, numbered and discarded, with their results."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from napari_liverdx.core.grid import TileIndex
from napari_liverdx.models.card import ModelCard
from napari_liverdx.models.file import (
    file_sha256,
    load_model_file,
    read_card,
    rewrite_model_file,
)
from napari_liverdx.models.versions import accept_trial, discard_trial, trial_path, versions_of
from napari_liverdx.models.zoo import available_models
from napari_liverdx.results.review_log import Decision
from napari_liverdx.session.finetune import (
    FinetuneRequest,
    accept,
    discard,
    run_finetuning,
    trial_results,
)
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.slide import Slide
from napari_liverdx.training.config import EpochResult
from napari_liverdx.training.interactive.finetune import FinetuneResult
from tests.support.results import square_result
from tests.support.teaching import collected


def _request(slide: Slide, model: Path, epochs: int = 2) -> FinetuneRequest:
    card = read_card(model)
    return FinetuneRequest(str(model), collected(slide), trial_path(card), epochs)


@pytest.mark.slow
def test_a_stopped_lesson_leaves_no_model(painted: Path, tiny_file: Path) -> None:
    stop = threading.Event()
    with open_slide(painted) as slide:
        request = _request(slide, tiny_file)
        for event in run_finetuning(request, stop):
            assert not isinstance(event, EpochResult | FinetuneResult)
            stop.set()
    assert not request.trial.exists()


@pytest.mark.slow
def test_versions_are_kept_numbered_and_discarded(
    painted: Path, tiny_file: Path, own_models: Path
) -> None:
    card = read_card(tiny_file)
    with open_slide(painted) as slide:
        for _ in range(2):
            assert list(run_finetuning(_request(slide, tiny_file, 1), threading.Event()))
            assert "tiny-v2" not in available_models() or own_models.exists()
            kept = accept_trial(card)
            assert not trial_path(card).exists()
        assert kept.name == "tiny-v3.safetensors"
        assert list(run_finetuning(_request(slide, kept, 1), threading.Event()))
    # The version taken meanwhile is not overwritten.
    fourth = read_card(trial_path(card))
    assert fourth.version == "4"
    assert fourth.parent["name"] == "tiny-v3"
    (own_models / "tiny-v4.safetensors").write_bytes(kept.read_bytes())
    fifth = accept_trial(card)
    assert fifth.name == "tiny-v5.safetensors"
    assert read_card(fifth).title == "Tiny, version 5"
    load_model_file(fifth)
    listed = versions_of(card, (tiny_file,))
    assert [v.card.version for v in listed if v.name != "tiny-v4"] == ["1", "2", "3", "5"]
    assert [c.title for n, c in available_models().items() if n.startswith("tiny-v")][:2] == [
        "Tiny, version 2",
        "Tiny, version 3",
    ]
    discard_trial(card)
    discard_trial(card)


# -- results of a trial lie among the others: accepted they stay, discarded they go --


@pytest.fixture
def card(tiny_file: Path, own_models: Path) -> ModelCard:
    """Of a model with a trial."""
    card = read_card(tiny_file)
    parent = {"base": "tiny", "base_title": "Tiny", "name": "tiny"}
    trial = card.model_copy(update={"name": "tiny-v2", "version": "2", "parent": parent})
    rewrite_model_file(tiny_file, trial, {}, trial_path(card))
    return card


@pytest.fixture
def results(card: ModelCard, tmp_path: Path) -> dict[str, Path]:
    """One of the trial, one of it that was reviewed, one that is shown, one of another model."""
    made = {n: tmp_path / f"{n}.liverdx.zarr" for n in ("plain", "reviewed", "shown", "other")}
    sha256 = file_sha256(trial_path(card))
    for name, path in made.items():
        store = square_result(path, model_sha256="0" * 64 if name == "other" else sha256)
        if name == "reviewed":
            store.decisions.put(TileIndex(0, 0), Decision.accept("fat"))
    return made


def left(results: dict[str, Path]) -> set[str]:
    return {name for name, path in results.items() if path.exists()}


def test_what_goes_with_the_trial(card: ModelCard, results: dict[str, Path]) -> None:
    folder = results["plain"].parent
    assert trial_results(card, folder, (results["shown"],)) == (results["plain"],)
    assert trial_results(card, None) == ()


def test_accepted_nothing_is_moved(card: ModelCard, results: dict[str, Path]) -> None:
    sha256 = file_sha256(trial_path(card))
    path = accept(card, results["plain"].parent)
    assert path.name == "tiny-v2.safetensors"
    assert file_sha256(path) == sha256
    assert left(results) == set(results)
    assert not trial_path(card).parent.exists()


def test_results_of_a_trial_that_becomes_another_file_go(
    card: ModelCard, results: dict[str, Path], own_models: Path
) -> None:
    """Another version took its number meanwhile; what a person reviewed is kept all the same."""
    shutil.copy(trial_path(card), own_models / "tiny-v2.safetensors")
    path = accept(card, results["plain"].parent, (results["shown"],))
    assert path.name == "tiny-v3.safetensors"
    assert left(results) == {"reviewed", "shown", "other"}


def test_discarded_its_results_go(card: ModelCard, results: dict[str, Path]) -> None:
    discard(card, results["plain"].parent, (results["shown"],))
    assert not trial_path(card).exists()
    assert left(results) == {"reviewed", "shown", "other"}
    discard(card, results["plain"].parent)
    assert left(results) == {"reviewed", "shown", "other"}
