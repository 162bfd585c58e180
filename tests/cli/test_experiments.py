"""`liverdx compare`, `search`, `evaluate` and `reproduce`, end to end."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from napari_liverdx.cli.app import app
from napari_liverdx.core.errors import DataError
from napari_liverdx.experiments.tables import card_figures
from napari_liverdx.models.file import load_model_file
from napari_liverdx.models.zoo import load_model
from napari_liverdx.slides.slide import Slide
from napari_liverdx.training.recipe import load_recipe
from tests.support.cli import run_command
from tests.support.folders import RECIPE
from tests.support.models import SMALL
from tests.support.training import small_recipe


@pytest.mark.slow
def test_compare_command(class_folders: Path, recipe_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "comparison.toml"
    path.write_text(
        f'title = "Tiny"\nrecipe = "{recipe_file}"\nfolds = 2\nnote = "A note."\n'
        '[[models]]\nname = "one"\narchitecture = "cnn"\n'
        f'arguments = {{ encoder = "{SMALL}" }}\n'
        '[[models]]\nname = "two"\narchitecture = "rnn-subtiles"\n'
        "arguments = { cells = 4, hidden = 4, projection = 8 }\n"
    )
    out = tmp_path / "out"
    said = run_command("compare", path, class_folders, "--out", out)
    assert "one: fold 2 of 2 done" in said
    page, data = (out / "compare.md").read_text(), json.loads((out / "compare.json").read_text())
    assert "| two | random |" in page
    assert "A note." in page
    assert set(data["models"]) == {"one", "two"}
    assert data["tiles"] == 24
    assert data["groups"] == 6
    for model in data["models"].values():
        for metric in ("accuracy", "balanced accuracy", "AUC", "F1", "MCC"):
            value = model["metrics"][metric]
            assert value["low"] <= value["value"] <= value["high"]
        assert model["complexity"]["flops"] > 0
    assert data["tests"]["two"]["p, Holm"] <= 1
    for picture in ("compare.png", "speed.png"):
        assert np.asarray(Image.open(out / picture)).std() > 10
    lines = (out / "predictions.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * 24
    again = run_command("compare", path, class_folders, "--out", out)
    assert "epoch" not in again, "finished folds are not trained anew"
    assert json.loads((out / "compare.json").read_text())["tests"] == data["tests"]


@pytest.mark.slow
def test_search_command_resumes(class_folders: Path, recipe_file: Path, tmp_path: Path) -> None:
    space = tmp_path / "space.toml"
    space.write_text(
        '"train.head_lr" = {low = 1e-4, high = 1e-2, log = true}\n'
        '"card.arguments.hidden" = {choices = [0, 4]}\n'
    )
    out = tmp_path / "out"
    common = (
        "search",
        recipe_file,
        class_folders,
        "--out",
        out,
        "--space",
        space,
        "--test-folds",
        3,
    )
    first = run_command(*common, "--trials", 2)
    assert "trial 1" in first
    second = run_command(*common, "--trials", 3)
    assert "trial 0" not in second
    assert "trial 2" in second
    rows = (out / "trials.csv").read_text().splitlines()
    assert len(rows) == 4
    found = load_recipe(str(out / "best.yaml"))
    facts = json.loads((out / "search.json").read_text())
    assert found.train.head_lr == facts["settings"]["train.head_lr"]
    assert "balanced accuracy" in facts["set aside before the search"]["as found"]


@pytest.mark.slow
def test_train_then_evaluate(
    class_folders: Path, recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "tiny.safetensors"
    # What the shell would have given.
    monkeypatch.setattr(sys, "argv", ["liverdx", "train", str(recipe_file), str(class_folders)])
    run_command("train", recipe_file, class_folders, "--out", model, "--epochs", 8)
    history = (tmp_path / "tiny.history.csv").read_text().splitlines()
    assert len(history) == 9
    assert np.asarray(Image.open(tmp_path / "tiny.curves.png")).std() > 10
    trained = load_model_file(model)
    assert trained.card.subtiles == trained.network.subtiles == 1, "labels of tiles teach no cells"
    tiles = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    assert trained.network(tiles).subtile_scores is None
    assert "Trained on" in trained.card.training_data
    assert trained.card.ood
    out = tmp_path / "out"
    said = run_command("evaluate", model, class_folders, "--recipe", recipe_file, "--out", out)
    assert "balanced accuracy" in said
    assert f"trained on data called {class_folders.name}" in " ".join(said.split())
    data = json.loads((out / "evaluation.json").read_text())
    assert data["tiles"] == 24
    assert sum(map(sum, data["confusion"])) == 24
    wrong = 24 - sum(data["confusion"][i][i] for i in range(2))
    assert len(data["worst"]) == wrong
    page = (out / "evaluation.html").read_text()
    assert not re.search(r"(src|href)=\"(?!data:)", page), "the page refers to no other file"
    assert "24 tiles are clearly of one class" in page
    assert page.count("data:image/png") >= 3
    assert page.count("data:image/jpeg") == wrong


def test_evaluate_refuses_other_classes(
    class_folders: Path, recipe_file: Path, tmp_path: Path
) -> None:
    outcome = CliRunner().invoke(
        app, ["evaluate", "liver-steatosis", str(class_folders), "--out", str(tmp_path / "o")]
    )
    assert isinstance(outcome.exception, DataError)
    assert not (tmp_path / "o").exists()


@pytest.mark.slow
@pytest.mark.budget(40, reason="a whole source of real tiles, which the card speaks of")
def test_evaluate_on_the_second_source(data_root: Path, tmp_path: Path) -> None:
    """Source T was never trained on; the card claims at least 0.95 there."""
    out = tmp_path / "out"
    run_command(
        "evaluate", "liver-steatosis", data_root / "liver_steatosis", "--source", "T", "-o", out
    )
    data = json.loads((out / "evaluation.json").read_text())
    assert data["groups"] == 23
    assert data["metrics"]["balanced accuracy"]["value"] > 0.95
    assert data["metrics on all tiles"]["balanced accuracy"]["value"] > 0.9
    assert data["model"]["sha256"] == load_model("liver-steatosis").sha256


@pytest.mark.slow
def test_genes_beside_the_class(class_folders: Path, tmp_path: Path) -> None:
    """A property that equals the class is learned from the tiles of which it is known."""
    lines = ["path,label,group,split,TP53"]
    for i, path in enumerate(sorted(class_folders.glob("*/*.png"))):
        label = path.parent.name
        gene = "" if i % 5 == 0 else str(int(label == "cancer"))
        group = path.name.split("_")[0]
        split = "test" if group in ("p4", "p5") else "train"
        lines.append(f"{path},{label},{group},{split},{gene}")
    table = tmp_path / "tiles.csv"
    table.write_text("\n".join(lines) + "\n")
    recipe = tmp_path / "genes.toml"
    recipe.write_text(
        RECIPE.replace('kind = "folders"', 'kind = "table"')
        .replace("group_pattern = '^(p\\d+)_'\n", "")
        .replace('architecture = "cnn-rnn"', 'architecture = "cnn"')
        .replace(", hidden = 4, projection = 8", ', attributes = ["TP53"]')
        .replace("tiles_per_epoch = 24", "tiles_per_epoch = 48\nhead_lr = 5e-3")
    )
    model = tmp_path / "genes.safetensors"
    run_command("train", recipe, table, "--out", model, "--epochs", 10)
    run_command(
        "evaluate", model, table, "--recipe", recipe, "--split", "test", "--out", tmp_path / "o"
    )
    data = json.loads((tmp_path / "o" / "evaluation.json").read_text())
    assert data["tiles"] == 8
    assert data["attributes"]["TP53"]["AUC"]["value"] > 0.8
    assert data["attributes"]["TP53"]["known"] < 8
    table.write_text(table.read_text().replace(",1\n", ",maybe\n", 1))
    outcome = CliRunner().invoke(app, ["train", str(recipe), str(table), "--out", str(model)])
    assert "neither 1, 0 nor empty" in str(outcome.exception)


@pytest.mark.slow
def test_crossval_compares_a_recipe_with_its_variant(masked_tiles: Path, tmp_path: Path) -> None:
    """Its folds, tables and figures for a card are those of a comparison."""
    out, recipe = tmp_path / "out", tmp_path / "recipe.yaml"
    recipe.write_text(small_recipe().as_yaml())
    how = ("--out", out, "--folds", 2, "--allow-leaks")
    said = run_command("crossval", recipe, masked_tiles, *how)
    assert "tiny without the RNN: fold 2 of 2 done" in said
    stored = json.loads((out / "crossval.json").read_text())
    assert list(stored["models"]) == ["tiny", "tiny without the RNN"]
    assert "tiny without the RNN" in stored["tests"]
    model = stored["models"]["tiny"]
    assert set(model["further"]) == {"all", "subtiles", "second source all"}
    figures = card_figures(out / "crossval.json")
    value = figures["balanced accuracy, second source clear"]
    assert value.value == model["second"]["balanced accuracy"]["value"]
    page = (out / "crossval.md").read_text()
    assert "## Against tiny" in page
    assert "## Subtiles whose truth is a single class" in page


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
