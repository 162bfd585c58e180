"""Results of a trial lie among the others: accepted they stay, discarded they go."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from napari_liverdx.core.grid import TileIndex
from napari_liverdx.models.card import ModelCard
from napari_liverdx.models.file import file_sha256, read_card, rewrite_model_file
from napari_liverdx.models.versions import trial_path
from napari_liverdx.results.review_log import Decision
from napari_liverdx.session.trial import accept, discard, trial_results
from tests.support.results import square_result


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
