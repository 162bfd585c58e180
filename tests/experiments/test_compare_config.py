"""Comparisons: packaged, published, and wrong ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from napari_liverdx.core.errors import DataError
from napari_liverdx.experiments.compare_config import load_comparison
from napari_liverdx.models.architectures.registry import ARCHITECTURES


@pytest.mark.parametrize(
    "name", ["liver-steatosis", "oral-he-100x", "oral-he-400x", "hcc", "hcc-small"]
)
def test_packaged_comparisons_are_valid(name: str) -> None:
    recipes = load_comparison(name).recipes()
    assert next(iter(recipes)) == "cnn-rnn"
    used = {r.model_card().architecture for r in recipes.values()}
    missing = set(ARCHITECTURES) - used - {"livernet-ensemble"}
    assert missing == (set() if name == "hcc" else {"inception-v3", "densenet-121"})


def test_bad_comparisons_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no packaged comparisons called 'x'.*oral-he-100x"):
        load_comparison("x")
    path = tmp_path / "a.toml"
    path.write_text('title = "a"\nrecipe = "liver-steatosis"\n')
    with pytest.raises(DataError, match="at least two models"):
        load_comparison(str(path))
    model = '[[models]]\nname = "m"\narchitecture = "cnn"\n'
    path.write_text(f'title = "a"\nrecipe = "liver-steatosis"\n{model}{model}')
    with pytest.raises(DataError, match="two models named 'm'"):
        load_comparison(str(path)).recipes()
    path.write_text(
        f'title = "a"\nrecipe = "liver-steatosis"\n{model}[models.train]\nepochs = 0\n'
        '[[models]]\nname = "n"\narchitecture = "cnn"\n'
    )
    with pytest.raises(DataError, match=r"model 'm': train\.epochs"):
        load_comparison(str(path)).recipes()


@pytest.mark.parametrize("name", ["liver-steatosis", "oral-he-100x", "oral-he-400x"])
def test_published_comparisons_are_whole(name: str) -> None:
    from tests.support.paths import REPOSITORY

    folder = REPOSITORY / "docs" / "results" / name
    data = json.loads((folder / "compare.json").read_text())
    page = (folder / "compare.md").read_text()
    assert set(data["models"]) == set(load_comparison(name).recipes())
    assert data["command"].startswith(f"liverdx compare {name} ")
    for model, facts in data["models"].items():
        value = facts["metrics"]["balanced accuracy"]
        assert f"| {model} |" in page
        assert f"{value['value']:.3f}" in page
    assert (folder / "compare.png").exists()
