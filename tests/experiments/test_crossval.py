"""Cross-validation resumes by fold, and no fold of another split is reused."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_liverdx.experiments.crossval import audited_folds, cross_validate, fold_parts
from napari_liverdx.experiments.keys import folds_key
from napari_liverdx.training.data.folders import FolderDataset
from napari_liverdx.training.data.masks import FatMaskDataset
from napari_liverdx.training.recipe import Recipe
from tests.support.folders import RECIPE
from tests.support.training import small_recipe


def test_folds_of_another_split_are_not_reused(class_folders: Path, tmp_path: Path) -> None:
    """A fold's model that learned from what is now for testing must not be found again."""
    recipe = Recipe.model_validate(tomllib.loads(RECIPE))
    samples = FolderDataset(class_folders, ("normal", "cancer"), r"^(p\d+)_")
    before = folds_key(recipe, samples, *fold_parts(recipe, samples, 2))
    assert before == folds_key(recipe, samples, *fold_parts(recipe, samples, 2))
    samples.splits = np.where(np.isin(samples.groups, ["p4", "p5"]), "test", "train")
    parts = fold_parts(recipe, samples, 2)
    assert set(samples.groups[parts[1]]) == {"p4", "p5"}
    assert before != folds_key(recipe, samples, *parts)


@pytest.mark.slow
def test_cross_validation_resumes_by_fold(masked_samples: FatMaskDataset, tmp_path: Path) -> None:
    work = tmp_path / "work"
    first = list(cross_validate(small_recipe(), masked_samples, 2, torch.device("cpu"), work))
    assert len(first) == 4
    again = list(cross_validate(small_recipe(), masked_samples, 2, torch.device("cpu"), work))
    assert len(again) == 2
    stored = next(work.glob("fold0-*.npz"))
    stored.write_bytes(stored.read_bytes()[:-300])
    torn = list(cross_validate(small_recipe(), masked_samples, 2, torch.device("cpu"), work))
    assert len(torn) == 3, "one epoch of the damaged fold alone"
    tested = np.concatenate([np.unique(f.tiles.index) for f in again])
    assert sorted(tested) == np.flatnonzero(masked_samples.sources == "A").tolist()
    assert set(again[0].second.index) == set(np.flatnonzero(masked_samples.sources == "T"))


def test_an_audit_compares_the_tested_samples(class_folders: Path) -> None:
    recipe = Recipe.model_validate(tomllib.loads(RECIPE))
    samples = FolderDataset(class_folders, ("normal", "cancer"), r"^(p\d+)_")
    samples.splits = np.where(np.isin(samples.groups, ["p4", "p5"]), "test", "train")
    parts = audited_folds(recipe, samples, 2)
    assert list(parts) == ["fold 1", "fold 2", "test"]
    assert sorted(np.concatenate(list(parts.values()))) == list(range(24))
    assert set(samples.groups[parts["test"]]) == {"p4", "p5"}
