"""A cross-validation and a comparison with their files, without a command."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import torch

from napari_liverdx.experiments.compare import ComparisonResult
from napari_liverdx.experiments.compare_config import Comparison, ModelEntry
from napari_liverdx.experiments.compare_files import compare_files, crossval_files
from napari_liverdx.experiments.crossval import Fold
from napari_liverdx.experiments.written import Written
from napari_liverdx.training.data.folders import FolderDataset
from napari_liverdx.training.recipe import Recipe
from tests.support.folders import RECIPE


@pytest.mark.slow
def test_files_of_both_come_from_the_same_folds(class_folders: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(Recipe.model_validate(tomllib.loads(RECIPE)).as_yaml())
    arguments = {"cells": 4, "hidden": 4, "projection": 8}
    comparison = Comparison(
        title="Tiny",
        recipe=str(recipe),
        folds=2,
        train={"epochs": 1},
        models=(ModelEntry(name="one", architecture="rnn-subtiles", arguments=arguments),),
        note="A note.",
    )
    samples = FolderDataset(class_folders, ("normal", "cancer"), r"^(p\d+)_")
    out, work, cpu = tmp_path / "out", tmp_path / "work", torch.device("cpu")
    steps = list(compare_files(comparison, samples, cpu, out, work=work, command="liverdx compare"))
    assert sum(isinstance(s, tuple) and isinstance(s[1], Fold) for s in steps) == 2
    assert isinstance(steps[-2], ComparisonResult)
    written = steps[-1]
    assert isinstance(written, Written)
    assert [p.name for p in written.paths] == ["compare.md", "compare.json", "predictions.csv"]
    assert all(p.exists() for p in written.paths)
    page = (out / "compare.md").read_text()
    assert "Made by `liverdx compare`" in page
    assert "A note." in page
    assert (out / "speed.png").exists()
    again = list(crossval_files(comparison, samples, cpu, out, work=work))
    epochs = [s[1] for s in again if isinstance(s, tuple) and not isinstance(s[1], Fold)]
    assert epochs == []
    assert isinstance(again[-1], Written)
    assert all(p.exists() for p in again[-1].paths)
