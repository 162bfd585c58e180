"""Training into a model file, without a command."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from napari_liverdx._files import exclusive_lock
from napari_liverdx.core.errors import DataError
from napari_liverdx.models.file import load_model_file
from napari_liverdx.training.config import EpochResult
from napari_liverdx.training.recipe import Recipe, scale_notice
from napari_liverdx.training.train_file import Notice, TrainedFile, train_file
from tests.support.folders import RECIPE


@pytest.mark.slow
def test_a_model_is_written_with_its_curves(class_folders: Path, tmp_path: Path) -> None:
    recipe = Recipe.model_validate(tomllib.loads(RECIPE))
    samples = recipe.samples(class_folders)
    samples.notes = ("a.geojson: 2 objects are left out",)
    out = tmp_path / "tiny.safetensors"
    steps = list(train_file(recipe, samples, "cpu", out, command="liverdx train"))
    assert [s.epoch for s in steps if isinstance(s, EpochResult)] == [1, 2]
    assert Notice("a.geojson: 2 objects are left out") in steps
    assert Notice(scale_notice(recipe, samples)) in steps
    done = steps[-1]
    assert isinstance(done, TrainedFile)
    assert load_model_file(out).card == done.card
    assert done.card.command == "liverdx train"
    names = {p.name for p in tmp_path.iterdir()}
    assert names == {"tiny.safetensors", "tiny.history.csv", "tiny.curves.png"}


def test_two_programs_never_train_into_one_file(class_folders: Path, tmp_path: Path) -> None:
    recipe = Recipe.model_validate(tomllib.loads(RECIPE))
    samples = recipe.samples(class_folders)
    out = tmp_path / "models" / "tiny.safetensors"
    out.parent.mkdir()
    lock = out.with_name(out.name + ".lock")
    with (
        exclusive_lock(lock),
        pytest.raises(DataError, match=rf"another program is training .*process {os.getpid()}"),
    ):
        list(train_file(recipe, samples, "cpu", out))
    assert list(out.parent.iterdir()) == []
