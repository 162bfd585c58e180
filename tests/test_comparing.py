"""Comparing, searching, evaluating: figures, tests, tables, and the commands that make them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from napari_liverdx.cli.app import app
from napari_liverdx.core.errors import DataError, ModelFileError
from napari_liverdx.experiments.compare import Predictions, holm, paired_test
from napari_liverdx.experiments.compare_config import load_comparison
from napari_liverdx.experiments.crossval import _folds_key, fold_parts
from napari_liverdx.experiments.search_space import Range, default_space, load_space, with_settings
from napari_liverdx.metrics import classification as m
from napari_liverdx.models.architectures.registry import ARCHITECTURES, build_model
from napari_liverdx.models.file import load_model_file
from napari_liverdx.models.zoo import find_model, load_model
from napari_liverdx.slides.slide import Slide
from napari_liverdx.training.augment import dihedral, jitter_stain
from napari_liverdx.training.data._all import FolderSamples
from napari_liverdx.training.loop import TrainConfig, _ahead, fine_tune
from napari_liverdx.training.losses import class_weights, focal_cross_entropy, mix
from napari_liverdx.training.recipe import Recipe, load_recipe

SMALL = "mobilenetv3_small_050"


# -- losses --


def test_cross_entropy_is_the_plain_case() -> None:
    torch.manual_seed(0)
    scores, target = torch.randn(6, 3, 4, 4), torch.rand(6, 3, 4, 4).softmax(1)
    own = focal_cross_entropy(scores, target)
    assert torch.allclose(own, torch.nn.functional.cross_entropy(scores, target), atol=1e-6)


def test_focal_loss_by_hand() -> None:
    scores = torch.log(torch.tensor([[0.9, 0.1], [0.4, 0.6]]))
    target = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    expected = (-np.log(0.9) * 0.1**2 - np.log(0.4) * 0.6**2) / 2
    assert float(focal_cross_entropy(scores, target, gamma=2)) == pytest.approx(expected, rel=1e-5)
    weighted = focal_cross_entropy(scores, target, weights=torch.tensor([3.0, 1.0]))
    assert float(weighted) == pytest.approx(3 * (-np.log(0.9) - np.log(0.4)) / 2, rel=1e-5)


def test_class_weights_balance() -> None:
    labels = np.array([0] * 9 + [1] * 3)
    weights = class_weights(labels, 3).numpy()
    assert weights[2] == 1
    assert weights[0] * 9 == pytest.approx(weights[1] * 3)
    assert weights[labels].mean() == pytest.approx(1)


def test_mixup_blends_tiles_and_targets_alike() -> None:
    rng = np.random.default_rng(0)
    tiles = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 2, 2)
    target = torch.eye(4)
    x, t = mix([tiles, target], 0.4, rng)
    assert torch.allclose(t.sum(1), torch.ones(4))
    assert torch.allclose(x[:, 0, 0, 0], t @ torch.arange(4.0))


# -- figures of merit --


@st.composite
def predictions(draw: st.DrawFn) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    n, k = draw(st.integers(6, 40)), draw(st.integers(2, 4))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    labels = rng.integers(0, k, n)
    labels[:k] = np.arange(k)
    return rng.dirichlet(np.ones(k), n), labels


@given(predictions())
def test_metrics_are_those_of_scikit_learn(
    case: tuple[NDArray[np.float64], NDArray[np.intp]],
) -> None:
    from sklearn import metrics as sk

    p, labels = case
    said = p.argmax(1)
    assert m.accuracy(p, labels) == pytest.approx(sk.accuracy_score(labels, said))
    assert m.balanced_accuracy(p, labels) == pytest.approx(
        sk.recall_score(labels, said, average="macro", zero_division=0)
    )
    assert m.f1(p, labels) == pytest.approx(
        sk.f1_score(labels, said, average="macro", zero_division=0)
    )
    assert m.matthews(p, labels) == pytest.approx(sk.matthews_corrcoef(labels, said), abs=1e-9)
    areas = [sk.roc_auc_score(labels == c, p[:, c]) for c in range(p.shape[1])]
    assert m.area_under_curve(p, labels) == pytest.approx(np.mean(areas))
    x, y = m.roc_curve(p[:, 0], labels == 0)
    assert np.trapezoid(y, x) == pytest.approx(areas[0])
    table = m.confusion_matrix(p, labels)
    assert (table == sk.confusion_matrix(labels, said, labels=range(p.shape[1]))).all()


def test_auc_counts_ties_half() -> None:
    p = np.array([[0.5, 0.5], [0.5, 0.5]])
    assert m.area_under_curve(p, np.array([0, 1])) == pytest.approx(0.5)
    assert np.isnan(m.area_under_curve(p, np.array([1, 1])))


def as_predictions(p: NDArray[np.float64], labels: NDArray[np.intp], groups: int) -> Predictions:
    n = len(labels)
    owner = (np.arange(n) * groups // n).astype(str)
    return Predictions(np.arange(n), p, labels, np.ones(n, bool), owner)


def test_paired_test_finds_a_difference_and_no_other() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 300)
    good = np.where(rng.random(300) < 0.95, labels, 1 - labels)
    poor = np.where(rng.random(300) < 0.75, labels, 1 - labels)
    alike = np.where(rng.random(300) < 0.95, labels, 1 - labels)
    one, two, three = (as_predictions(np.eye(2)[s], labels, 30) for s in (good, poor, alike))
    worse = paired_test(one, two, draws=400)
    assert worse.p_value < 0.01
    assert worse.difference.high is not None
    assert worse.difference.high < 0
    assert paired_test(one, three, draws=400).p_value > 0.05
    same = paired_test(one, one, draws=50)
    assert same.p_value == 1
    assert same.difference.value == 0


def test_paired_test_respects_groups() -> None:
    """The same tiles in few groups say less."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    right = np.repeat(rng.random(10) < 0.6, 20)
    one = as_predictions(np.eye(2)[labels], labels, 200)
    by_tile = as_predictions(np.eye(2)[np.where(right, labels, 1 - labels)], labels, 200)
    p_tiles = paired_test(one, by_tile, draws=400).p_value
    few = np.repeat(np.arange(10), 20).astype(str)
    grouped = [
        Predictions(p.index, p.probabilities, p.labels, p.clear, few) for p in (one, by_tile)
    ]
    p_groups = paired_test(*grouped, draws=400).p_value
    assert p_groups > p_tiles


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


# -- settings --


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


# -- the commands, end to end --


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes that anything can learn: real liver, as it is and turned blue."""
    from napari_liverdx.slides.open import open_slide
    from napari_liverdx.slides.sample import sample_path

    root = tmp_path_factory.mktemp("folders")
    with open_slide(sample_path()) as slide:
        _write_folders(slide, root)
    return root


def _write_folders(slide: Slide, root: Path) -> None:
    for i in range(24):
        pixels = slide.read_region(0, 1900 + 130 * (i % 6), 500 + 130 * (i // 6), 96, 96)
        name = ("cancer", "normal")[i % 2]
        if name == "cancer":
            pixels = pixels[..., ::-1] // 2
        (root / name).mkdir(exist_ok=True)
        Image.fromarray(pixels).save(root / name / f"p{i // 2 % 6}_{i}.png")


RECIPE = """
start = "scratch"
[card]
name = "tiny"
title = "Tiny"
summary = "s"
architecture = "cnn-rnn"
mpp = 0.5
tile_size = 64
arguments = { encoder = "mobilenetv3_small_050", hidden = 4, projection = 8 }
[[card.classes]]
name = "normal"
title = "Normal"
colour = "#4c9f70"
kind = "normal"
[[card.classes]]
name = "cancer"
title = "Cancer"
colour = "#c2255c"
kind = "pathological"
[data]
kind = "folders"
group_pattern = '^(p\\d+)_'
val_folds = 2
[train]
epochs = 2
warmup_epochs = 0
tiles_per_epoch = 24
batch_size = 6
ema_decay = 0.5
patience = 50
"""


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE)
    return path


def run(*arguments: object) -> str:
    outcome = CliRunner().invoke(app, [str(a) for a in arguments])
    assert outcome.exit_code == 0, outcome.output + repr(outcome.exception)
    return outcome.output


@pytest.mark.slow
def test_compare_command(folders: Path, recipe_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "comparison.toml"
    path.write_text(
        f'title = "Tiny"\nrecipe = "{recipe_file}"\nfolds = 2\nnote = "A note."\n'
        '[[models]]\nname = "one"\narchitecture = "cnn"\n'
        f'arguments = {{ encoder = "{SMALL}" }}\n'
        '[[models]]\nname = "two"\narchitecture = "rnn-subtiles"\n'
        "arguments = { cells = 4, hidden = 4, projection = 8 }\n"
    )
    out = tmp_path / "out"
    said = run("compare", path, folders, "--out", out)
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
    again = run("compare", path, folders, "--out", out)
    assert "epoch" not in again, "finished folds are not trained anew"
    assert json.loads((out / "compare.json").read_text())["tests"] == data["tests"]


@pytest.mark.slow
def test_search_command_resumes(folders: Path, recipe_file: Path, tmp_path: Path) -> None:
    space = tmp_path / "space.toml"
    space.write_text(
        '"train.head_lr" = {low = 1e-4, high = 1e-2, log = true}\n'
        '"card.arguments.hidden" = {choices = [0, 4]}\n'
    )
    out = tmp_path / "out"
    common = ("search", recipe_file, folders, "--out", out, "--space", space, "--test-folds", 3)
    first = run(*common, "--trials", 2)
    assert "trial 1" in first
    second = run(*common, "--trials", 3)
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
    folders: Path, recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "tiny.safetensors"
    # What the shell would have given.
    monkeypatch.setattr(sys, "argv", ["liverdx", "train", str(recipe_file), str(folders)])
    run("train", recipe_file, folders, "--out", model, "--epochs", 8)
    history = (tmp_path / "tiny.history.csv").read_text().splitlines()
    assert len(history) == 9
    assert np.asarray(Image.open(tmp_path / "tiny.curves.png")).std() > 10
    trained = load_model_file(model)
    assert trained.card.cells == trained.network.cells == 1, "labels of tiles teach no cells"
    tiles = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    assert trained.network(tiles).cell_scores is None
    assert "Taught by" in trained.card.training_data
    assert trained.card.domain
    out = tmp_path / "out"
    said = run("evaluate", model, folders, "--recipe", recipe_file, "--out", out)
    assert "balanced accuracy" in said
    assert f"trained on data called {folders.name}" in " ".join(said.split())
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


def test_evaluate_refuses_other_classes(folders: Path, recipe_file: Path, tmp_path: Path) -> None:
    outcome = CliRunner().invoke(
        app, ["evaluate", "liver-steatosis", str(folders), "--out", str(tmp_path / "o")]
    )
    assert isinstance(outcome.exception, DataError)
    assert not (tmp_path / "o").exists()


# -- training options --


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        {"balance": "weights", "focal_gamma": 2.0},
        {"mixup": 0.3, "balance": "none"},
        {"precision": "bfloat16"},
    ],
    ids=["focal and weights", "mixup", "mixed precision"],
)
def test_training_options_learn(folders: Path, more: dict[str, object]) -> None:
    samples = FolderSamples(folders, ("normal", "cancer"), r"^(p\d+)_")
    torch.manual_seed(0)
    network = build_model("rnn-subtiles", 2, {"cells": 4, "hidden": 8, "projection": 16}, 64)
    network.pretrained = False
    config = TrainConfig.model_validate(
        {"epochs": 5, "warmup_epochs": 0, "tiles_per_epoch": 48, "batch_size": 8,
         "head_lr": 5e-3, "ema_decay": 0.5, **more}
    )  # fmt: skip
    train = np.flatnonzero(np.isin(samples.groups, ["p0", "p1", "p2", "p3"]))
    val = np.setdiff1d(np.arange(len(samples)), train)
    epochs = list(fine_tune(network, samples, train, val, size=64, config=config))
    assert epochs[-1].val_balanced_accuracy > 0.8
    again = build_model("rnn-subtiles", 2, {"cells": 4, "hidden": 8, "projection": 16}, 64)
    assert again.state_dict().keys() == network.state_dict().keys()


WORKER = """
import sys
from pathlib import Path
import numpy as np, torch
from napari_liverdx.training.distributed import average_gradients, distributed_run, world
from napari_liverdx.training.loop import TrainConfig, _ahead, fine_tune
from napari_liverdx.training.data._all import FolderSamples
from napari_liverdx.models.architectures.registry import ARCHITECTURES, build_model

folder, out = Path(sys.argv[1]), Path(sys.argv[2])
torch.set_num_threads(1)
with distributed_run("cpu") as device:
    rank, size = world()
    assert size == 2
    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 1)
    data = torch.arange(12.0).view(4, 3)
    layer(data[rank::2]).square().mean().backward()
    average_gradients(layer)
    samples = FolderSamples(folder, ("normal", "cancer"), r"^(p\\d+)_")
    network = build_model("rnn-subtiles", 2, {"cells": 4, "hidden": 4, "projection": 8}, 64)
    network.pretrained = False
    config = TrainConfig(epochs=2, warmup_epochs=0, tiles_per_epoch=24, batch_size=8, ema_decay=0.5)
    train = np.flatnonzero(np.isin(samples.groups, ["p0", "p1", "p2"]))
    val = np.setdiff1d(np.arange(len(samples)), train)
    epochs = list(fine_tune(network, samples, train, val, size=64, config=config, device=device,
                            checkpoint=out / "run.checkpoint"))
    torch.save({"gradient": layer.weight.grad, "weights": network.state_dict(),
                "losses": [(e.train_loss, e.val_loss) for e in epochs]}, out / f"{rank}.pt")
"""


@pytest.mark.slow
def test_two_processes_train_one_network(folders: Path, tmp_path: Path) -> None:
    """torchrun's own launch: gradients are those of the whole batch, weights stay alike."""
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    outcome = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
         str(script), str(folders), str(tmp_path)],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert outcome.returncode == 0, outcome.stderr[-3000:]
    one, two = (torch.load(tmp_path / f"{r}.pt", weights_only=True) for r in (0, 1))
    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 1)
    layer(torch.arange(12.0).view(4, 3)).square().mean().backward()
    assert layer.weight.grad is not None
    assert torch.allclose(one["gradient"], layer.weight.grad, rtol=1e-5)
    assert torch.equal(one["gradient"], two["gradient"])
    for name, tensor in one["weights"].items():
        assert torch.equal(tensor, two["weights"][name]), name
    assert one["losses"] == two["losses"]
    assert (tmp_path / "run.checkpoint").exists()


def test_augmentation_is_the_same_for_the_same_seed() -> None:
    tiles = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
    a, b = (
        jitter_stain(
            dihedral([tiles], torch.Generator().manual_seed(3))[0],
            torch.Generator().manual_seed(4),
        )
        for _ in range(2)
    )
    assert torch.equal(a, b)


def test_folds_of_another_split_are_not_reused(folders: Path, tmp_path: Path) -> None:
    """A fold's model that learned from what is now for testing must not be found again."""
    recipe = Recipe.model_validate(tomllib.loads(RECIPE))
    samples = FolderSamples(folders, ("normal", "cancer"), r"^(p\d+)_")
    before = _folds_key(recipe, samples, *fold_parts(recipe, samples, 2))
    assert before == _folds_key(recipe, samples, *fold_parts(recipe, samples, 2))
    samples.splits = np.where(np.isin(samples.groups, ["p4", "p5"]), "test", "train")
    parts = fold_parts(recipe, samples, 2)
    assert set(samples.groups[parts[1]]) == {"p4", "p5"}
    assert before != _folds_key(recipe, samples, *parts)


def test_a_start_that_does_not_fit_is_refused() -> None:
    fields = tomllib.loads(RECIPE)
    recipe = Recipe.model_validate({**fields, "start": str(find_model("liver-steatosis"))})
    with pytest.raises(ModelFileError, match="encoder does not fit"):
        recipe.network()


def test_the_search_space_fits_the_architecture() -> None:
    recipe = load_recipe("liver-steatosis")
    assert 0 not in default_space(recipe)["card.arguments.hidden"].choices
    plain = with_settings(recipe, {"card.architecture": "cnn"})
    assert not [name for name in default_space(plain) if name.startswith("card.")]


# -- what is published is what was measured --


@pytest.mark.parametrize("name", ["liver-steatosis", "oral-he-100x", "oral-he-400x"])
def test_published_comparisons_are_whole(name: str) -> None:
    from .conftest import REPOSITORY

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


def test_evaluate_on_the_second_source(data_root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run("evaluate", "liver-steatosis", data_root / "liver_steatosis", "--source", "T", "-o", out)
    data = json.loads((out / "evaluation.json").read_text())
    assert data["groups"] == 23
    assert data["metrics"]["balanced accuracy"]["value"] > 0.95
    assert data["metrics on all tiles"]["balanced accuracy"]["value"] > 0.9
    assert data["model"]["sha256"] == load_model("liver-steatosis").sha256


# -- properties beside the class --


@pytest.mark.slow
def test_genes_beside_the_class(folders: Path, tmp_path: Path) -> None:
    """A property that equals the class is learned from the tiles of which it is known."""
    lines = ["path,label,group,split,TP53"]
    for i, path in enumerate(sorted(folders.glob("*/*.png"))):
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
    run("train", recipe, table, "--out", model, "--epochs", 10)
    run("evaluate", model, table, "--recipe", recipe, "--split", "test", "--out", tmp_path / "o")
    data = json.loads((tmp_path / "o" / "evaluation.json").read_text())
    assert data["tiles"] == 8
    assert data["attributes"]["TP53"]["AUC"]["value"] > 0.8
    assert data["attributes"]["TP53"]["known"] < 8
    table.write_text(table.read_text().replace(",1\n", ",maybe\n", 1))
    outcome = CliRunner().invoke(app, ["train", str(recipe), str(table), "--out", str(model)])
    assert "neither 1, 0 nor empty" in str(outcome.exception)


# -- the founding study's protocol --


@pytest.mark.slow
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
    said = run(*arguments, "--epochs", 1)
    for step in ("1 of 4", "2 of 4", "3 of 4", "4 of 4"):
        assert step in said
    compared = json.loads((out / "compare" / "compare.json").read_text())
    assert set(compared["models"]) == {"cnn-rnn", "cnn", "rnn-subtiles"}
    assert compared["tiles"] == 48
    assert "## On independent data" in (out / "compare" / "compare.md").read_text()
    tested = json.loads((out / "evaluation" / "evaluation.json").read_text())
    assert tested["tiles"] == 16
    assert tested["classes"] == list(classes)
    again = run(*arguments, "--epochs", 1)
    assert "trial 0" not in again, "what is done is not done again"


def test_the_protocol_needs_independent_images(folders: Path, tmp_path: Path) -> None:
    comparison = tmp_path / "c.toml"
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE)
    comparison.write_text(
        f'title = "T"\nrecipe = "{recipe}"\nmodels_from = "literature-small.toml"\n'
    )
    outcome = CliRunner().invoke(
        app, ["reproduce", str(comparison), str(folders), "--out", str(tmp_path / "o")]
    )
    assert "needs independent images" in str(outcome.exception)


def test_batches_made_ahead_come_in_order_and_all() -> None:
    """What runs on a GPU: each batch is drawn in a thread while the one before is used."""
    assert list(_ahead(iter(range(1, 6)))) == [1, 2, 3, 4, 5]
    assert list(_ahead([])) == []
    early = _ahead(range(1, 100))
    assert next(early) == 1
    early.close()
