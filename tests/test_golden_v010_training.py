"""Training, search and networks of 0.1.0 go on; see data/v010/README.md."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_liverdx import _v010
from napari_liverdx.experiments.crossval import Fold, cross_validate, fold_parts
from napari_liverdx.experiments.keys import folds_key, reproduction_key, search_key
from napari_liverdx.experiments.search import SearchResult, Trial, search, search_split
from napari_liverdx.experiments.search_space import Range
from napari_liverdx.models.architectures.registry import build_model
from napari_liverdx.training.data.base import TileDataset
from napari_liverdx.training.data.splits import grouped_folds
from napari_liverdx.training.keys import run_key
from napari_liverdx.training.recipe import Recipe, load_recipe
from napari_liverdx.training.transfer import TrainJob, fine_tune
from tests.support.golden import GOLDEN, WROTE

CPU = torch.device("cpu")


@pytest.fixture
def recipe(golden: Path) -> Recipe:
    return load_recipe(str(golden / "recipe.yaml"))


@pytest.fixture
def samples(golden: Path, recipe: Recipe) -> TileDataset:
    return recipe.samples(golden / "pictures")


def test_a_checkpoint_resumes(golden: Path, recipe: Recipe, samples: TileDataset) -> None:
    train, val = grouped_folds(samples, np.arange(len(samples)), 2, 0)[0]
    network, _ = recipe.network()
    key = run_key(network, samples, train, val, 32, recipe.train, 1)
    assert key.former == WROTE["training"]["run_key"]
    checkpoint = golden / "training" / "run.checkpoint"
    job = TrainJob(samples, train, val, 32, recipe.train)
    epochs = list(fine_tune(network, job, checkpoint=checkpoint))
    assert [(e.epoch, e.restored) for e in epochs] == [(1, True), (2, True), (3, False)]
    for epoch, told in zip(epochs, WROTE["training"]["epochs"], strict=False):
        assert {name: getattr(epoch, name) for name in told} == told
    again, _ = recipe.network()
    resumed = fine_tune(again, job, checkpoint=checkpoint)
    assert all(e.restored for e in resumed), "under its new key too"


def test_folds_are_found_and_resume(golden: Path, recipe: Recipe, samples: TileDataset) -> None:
    parts = fold_parts(recipe, samples, 2)
    assert folds_key(recipe, samples, *parts).former == WROTE["training"]["folds_key"]
    folder = golden / "training" / "folds"
    (finished,) = folder.glob("*.npz")
    before = finished.stat().st_mtime_ns
    steps = list(cross_validate(recipe, samples, 2, CPU, folder))
    assert isinstance(steps[0], Fold), "the first fold is not trained again"
    epochs = [s for s in steps if not isinstance(s, Fold)]
    assert [e.restored for e in epochs] == [True, False, False]
    assert finished.stat().st_mtime_ns == before
    assert len(list(folder.iterdir())) == 2


def test_a_search_goes_on(golden: Path, recipe: Recipe, samples: TileDataset) -> None:
    pytest.importorskip("optuna")
    told = WROTE["training"]
    # In the order in which the search was asked for them.
    names = ("train.head_lr", "card.arguments.hidden")
    space = {name: Range.model_validate(told["search_space"][name]) for name in names}
    key = search_key(recipe, space, samples, search_split(recipe, samples, 5))
    assert key.former == told["search_key"]
    folder = golden / "training" / "search"
    steps = list(search(recipe, samples, CPU, folder, space=space, trials=3))
    tried = [s.number for s in steps if isinstance(s, Trial)]
    assert tried == [2], "the first two are not tried again"
    outcome = steps[-1]
    assert isinstance(outcome, SearchResult)
    assert len(outcome.trials) == 3


def test_a_reproduced_model_is_not_trained_again(recipe: Recipe, samples: TileDataset) -> None:
    text = (GOLDEN / "recipe.yaml").read_text(encoding="utf-8")
    key = reproduction_key(text, samples)
    assert key.is_of(WROTE["training"]["reproduce_key"])
    assert key.is_of(key.id)
    assert not reproduction_key(text + " ", samples).is_of(WROTE["training"]["reproduce_key"])


def _same_software() -> bool:
    from importlib.metadata import version

    told = WROTE["versions"]
    return all(version(name) == told[name] for name in ("torch", "timm"))


@pytest.mark.parametrize("name", WROTE["training"]["networks"])
def test_networks_are_written_as_they_were(name: str) -> None:
    """The names of classes of 0.1.0, which checkpoints hang on; layers of others as they are."""
    told = WROTE["training"]["networks"][name]
    if name != "rnn-subtiles" and not _same_software():
        pytest.skip("made with another torch or timm, which write their own layers")
    network = build_model(name, 3, told["arguments"], told["tile_size"])
    text = _v010.module_text(network)
    assert hashlib.sha256(text.encode()).hexdigest() == told["sha256"]


def test_keys_of_this_version_stay(recipe: Recipe, samples: TileDataset) -> None:
    """Whatever a field or a class is called later."""
    told = WROTE["training"]
    space = {name: Range.model_validate(r) for name, r in told["search_space"].items()}
    text = (GOLDEN / "recipe.yaml").read_text(encoding="utf-8")
    keys = (
        folds_key(recipe, samples, *fold_parts(recipe, samples, 2)),
        search_key(recipe, space, samples, search_split(recipe, samples, 5)),
        reproduction_key(text, samples),
    )
    assert [key.id[:12] for key in keys] == ["a19d4697f4a9", "4c9bfa4d93e3", "568becbaf825"]
