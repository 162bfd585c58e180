"""What a search may change."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_liverdx.core.errors import DataError
from napari_liverdx.experiments.search_space import Range, default_space, load_space, with_settings
from napari_liverdx.training.recipe import load_recipe


def test_settings_are_replaced_by_their_dotted_names(tmp_path: Path) -> None:
    recipe = load_recipe("liver-steatosis")
    changed = with_settings(recipe, {"train.head_lr": 0.5, "card.arguments.hidden": 7})
    assert changed.train.head_lr == 0.5
    assert changed.card["arguments"]["hidden"] == 7
    assert recipe.card["arguments"]["hidden"] == 64
    with pytest.raises(DataError, match="nonsense"):
        with_settings(recipe, {"train.nonsense": 1})
    path = tmp_path / "space.toml"
    path.write_text('"train.head_lr" = {low = 1e-4, high = 1e-2, log = true}\n')
    assert load_space(path) == {"train.head_lr": Range(low=1e-4, high=1e-2, log=True)}
    path.write_text('"train.head_lr" = {low = 2, high = 1}\n')
    with pytest.raises(DataError, match="must be below"):
        load_space(path)


def test_the_search_space_fits_the_architecture() -> None:
    recipe = load_recipe("liver-steatosis")
    assert 0 not in default_space(recipe)["card.arguments.hidden"].choices
    plain = with_settings(recipe, {"card.architecture": "cnn"})
    assert not [name for name in default_space(plain) if name.startswith("card.")]
