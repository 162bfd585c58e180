"""`liverdx reproduce`: the founding study's protocol on a stand-in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from napari_liverdx.cli.app import app
from napari_liverdx.slides.slide import Slide
from tests.support.cli import run_command
from tests.support.folders import RECIPE


@pytest.mark.slow
@pytest.mark.budget(40, reason="a search, three models on two folds, a training and an evaluation")
def test_the_founding_protocol_on_a_stand_in_folder(tmp_path: Path, sample: Slide) -> None:
    """Four classes, train and test, patients in the names: the shape of docs/reproduce-hcc.md."""
    classes = ("no-cancer", "hcc-1", "hcc-2", "hcc-3")
    order = [(0, 1, 2), (2, 1, 0), (1, 0, 2), (0, 2, 1)]
    for i in range(64):
        part, label = ("test" if i >= 48 else "train"), i % 4
        x, y = 1900 + 112 * (i % 10), 500 + 112 * (i // 10)
        pixels = sample.read_region(0, x, y, 104, 104)[..., order[label]]
        folder = tmp_path / "data" / part / classes[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{part}{i // 4 % 6}_{i}.png")
    comparison = tmp_path / "tiny.yaml"
    comparison.write_text(
        "title: Stand-in\nrecipe: hcc\nfolds: 2\nmodels_from: literature-small.toml\n"
        "card: {tile_size: 64}\n"
        "data: {val_folds: 2}\n"
        "train: {tiles_per_epoch: 16, batch_size: 8, warmup_epochs: 0, frozen_share: 1.0}\n"
    )
    out = tmp_path / "out"
    arguments = ("reproduce", comparison, tmp_path / "data", "--out", out, "--trials", 1)
    said = run_command(*arguments, "--epochs", 1)
    for step in ("1 of 4", "2 of 4", "3 of 4", "4 of 4"):
        assert step in said
    compared = json.loads((out / "compare" / "compare.json").read_text())
    assert set(compared["models"]) == {"cnn-rnn", "cnn", "rnn-subtiles"}
    assert compared["tiles"] == 48
    assert "## On independent data" in (out / "compare" / "compare.md").read_text()
    tested = json.loads((out / "evaluation" / "evaluation.json").read_text())
    assert tested["tiles"] == 16
    assert tested["classes"] == list(classes)
    again = run_command(*arguments, "--epochs", 1)
    assert "trial 0" not in again, "what is done is not done again"


def test_the_protocol_needs_independent_images(class_folders: Path, tmp_path: Path) -> None:
    comparison = tmp_path / "c.toml"
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE)
    comparison.write_text(
        f'title = "T"\nrecipe = "{recipe}"\nmodels_from = "literature-small.toml"\n'
    )
    outcome = CliRunner().invoke(
        app, ["reproduce", str(comparison), str(class_folders), "--out", str(tmp_path / "o")]
    )
    assert "needs independent images" in str(outcome.exception)
