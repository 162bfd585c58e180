"""Recipes are checked and make what they say."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import torch

from napari_liverdx.core.errors import DataError, ModelFileError
from napari_liverdx.models.zoo import find_model
from napari_liverdx.training.config import TrainConfig
from napari_liverdx.training.data.masks import FatMaskDataset
from napari_liverdx.training.recipe import Recipe, load_recipe, scale_notice, train_final
from tests.support.folders import RECIPE
from tests.support.models import CLASSES
from tests.support.training import small_recipe


def test_recipes_may_be_yaml(tmp_path: Path) -> None:
    recipe = load_recipe("liver-steatosis")
    path = tmp_path / "r.yaml"
    path.write_text(recipe.as_yaml(), encoding="utf-8")
    assert load_recipe(str(path)) == recipe
    path.write_text("- a\n- b\n")
    with pytest.raises(DataError, match="settings are needed, this is a list"):
        load_recipe(str(path))
    path.write_text("a: [1\n")
    with pytest.raises(DataError, match="not valid YAML"):
        load_recipe(str(path))


def test_a_start_that_does_not_fit_is_refused() -> None:
    fields = tomllib.loads(RECIPE)
    recipe = Recipe.model_validate({**fields, "start": str(find_model("liver-steatosis"))})
    with pytest.raises(ModelFileError, match="encoder does not fit"):
        recipe.network()


def test_recipes_are_checked(tmp_path: Path) -> None:
    assert load_recipe("liver-steatosis").train.epochs > 5
    with pytest.raises(DataError, match=r"no packaged recipes called 'nonsense'.*liver-steatosis"):
        load_recipe("nonsense")
    with pytest.raises(DataError, match="cannot be read"):
        load_recipe("nonsense.toml")
    path = tmp_path / "a.toml"
    path.write_text("[train\n")
    with pytest.raises(DataError, match="TOML"):
        load_recipe(str(path))
    path.write_text("[card]\n[train]\nepochs = 0\n")
    with pytest.raises(DataError, match=r"train\.epochs"):
        load_recipe(str(path))


@pytest.mark.slow
def test_livernet_trains_as_what_it_is(masked_samples: FatMaskDataset) -> None:
    """Its probabilities and its channel order must reach loss and card."""
    card = {
        "name": "liver-net",
        "title": "L",
        "summary": "",
        "architecture": "livernet",
        "classes": CLASSES,
        "mpp": 0.5,
        "tile_size": 64,
    }
    plan = small_recipe().model_copy(
        update={
            "card": card,
            "train": TrainConfig(epochs=1, warmup_epochs=0, tiles_per_epoch=4, batch_size=2),
        }
    )
    *_, (_, made) = train_final(plan, masked_samples, torch.device("cpu"))
    assert made.output == "probabilities"
    assert made.normalization.channel_order == "BGR"


def test_pictures_that_are_scaled_to_tiles_are_told(class_folders: Path) -> None:
    fields = tomllib.loads(RECIPE)
    recipe = Recipe.model_validate(fields)
    samples = recipe.samples(class_folders)
    said = scale_notice(recipe, samples)
    assert said.startswith("Images are 96 px wide and become tiles of 64 px.")
    assert "0.5 µm/px, must be that of the tiles: 1.5 times" in said
    same = Recipe.model_validate({**fields, "card": {**fields["card"], "tile_size": 96}})
    assert scale_notice(same, samples) == ""
