"""What a search found, as files."""

from __future__ import annotations

import csv
import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_liverdx.core.errors import DataError
from napari_liverdx.experiments.search import SearchResult, Trial
from napari_liverdx.experiments.search_files import search_files, write_search
from napari_liverdx.models.card import Interval
from napari_liverdx.training.data.folders import FolderDataset
from napari_liverdx.training.recipe import Recipe, load_recipe
from tests.support.folders import RECIPE


def test_a_search_is_written(tmp_path: Path) -> None:
    recipe = Recipe.model_validate(tomllib.loads(RECIPE))
    trials = (
        Trial(0, {"train.head_lr": 0.001}, 0.7, "complete", True),
        Trial(1, {"train.seed": 3}, 0.9, "pruned", False),
    )
    figures = {"MCC": Interval(value=0.5, low=0.1, high=0.8)}
    result = SearchResult(recipe, {"train.head_lr": 0.001}, trials, figures, {})
    paths = write_search(tmp_path, result, "liverdx search")
    assert [p.name for p in paths] == ["best.yaml", "search.json", "trials.csv"]
    assert load_recipe(str(paths[0])) == recipe
    facts = json.loads(paths[1].read_text())
    assert facts["command"] == "liverdx search"
    assert facts["set aside before the search"]["as found"]["MCC"]["value"] == 0.5
    rows = list(csv.reader(paths[2].read_text().splitlines()))
    assert rows[0] == ["trial", "state", "validation loss", "train.head_lr", "train.seed"]
    assert rows[2] == ["1", "pruned", "0.9", "", "3"]


def test_data_that_leak_are_not_searched(class_folders: Path, tmp_path: Path) -> None:
    recipe = Recipe.model_validate(tomllib.loads(RECIPE))
    samples = FolderDataset(class_folders, ("normal", "cancer"), r"^(p\d+)_")
    # The same images again, of other patients.
    samples.paths *= 2
    samples.names = [*samples.names, *(f"copy of {n}" for n in samples.names)]
    samples.groups = np.concatenate([samples.groups, np.char.add("q", samples.groups)])
    for name in ("labels", "sources", "splits"):
        setattr(samples, name, np.tile(getattr(samples, name), 2))
    folder = tmp_path / "out"
    with pytest.raises(DataError, match="identical images"):
        list(search_files(recipe, samples, torch.device("cpu"), folder))
    assert not folder.exists()
