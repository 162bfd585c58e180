"""Learning: labels, augmentation, transfer learning, honest evaluation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from napari_liverdx.core.errors import DataError
from napari_liverdx.experiments.crossval import cross_validate
from napari_liverdx.metrics.bootstrap import (
    balanced_accuracy,
    evaluate_predictions,
    grouped_interval,
)
from napari_liverdx.models.architectures.cnn_rnn import CnnRnnClassifier
from napari_liverdx.models.architectures.pretrained import load_imagenet_encoder
from napari_liverdx.models.zoo import load_model
from napari_liverdx.slides.slide import Slide
from napari_liverdx.training.augment import dihedral, jitter_stain
from napari_liverdx.training.data._all import FolderSamples, LabelRule, MaskedSamples, blank_pixels
from napari_liverdx.training.data.splits import grouped_folds
from napari_liverdx.training.loop import EpochResult, TrainConfig, fine_tune, predict_samples
from napari_liverdx.training.recipe import Recipe, load_recipe, train_final

from .conftest import CLASSES

CONFIG = TrainConfig(
    epochs=3, warmup_epochs=1, tiles_per_epoch=16, batch_size=8, frozen_share=0.3, seed=1
)


@pytest.fixture
def folder(tmp_path: Path, sample: Slide) -> Path:
    """Sixteen tiles of real liver with masks of its bright vacuoles, in the documented form."""
    root = tmp_path / "tiles"
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    lines = ["tile,group,source,fat_fraction"]
    places = [(1900 + 300 * (i % 4), 500 + 300 * (i // 4)) for i in range(12)]
    places += [(60 + 70 * i, 100) for i in range(4)]
    for i, (x, y) in enumerate(places):
        pixels = sample.read_region(0, x, y, 288, 288)
        bright = ndimage.gaussian_filter(pixels.min(2).astype(float), 2) > 215
        mask = bright if i < 12 else np.zeros_like(bright)
        Image.fromarray(pixels).save(root / "images" / f"t{i}.png")
        Image.fromarray((mask * 255).astype(np.uint8)).save(root / "masks" / f"t{i}.png")
        lines.append(f"t{i},g{i // 2},{'A' if i % 4 else 'T'},{mask.mean():.5f}")
    (root / "tiles.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture
def samples(folder: Path) -> MaskedSamples:
    return MaskedSamples(folder)


def network() -> CnnRnnClassifier:
    torch.manual_seed(0)
    return CnnRnnClassifier(3, "mobilenetv3_small_050", 224, 8, 16)


# -- labels --


def test_label_rule_passes_from_class_to_class() -> None:
    rule = LabelRule()
    blank = np.array([0, 0, 0, 1, 0.5, 0], np.float32)
    fat = np.array([0, 0.5, 0.0125, 0, 0, 0.02], np.float32)
    target = rule.targets(blank, fat, cell=False)
    assert target.sum(0) == pytest.approx(1)
    assert target[:, 0] == pytest.approx([0, 1, 0])
    assert target[:, 1] == pytest.approx([0, 0, 1])
    assert target[:, 2] == pytest.approx([0, 0.5, 0.5], abs=1e-5)
    assert target[:, 3] == pytest.approx([1, 0, 0])
    assert target[:, 4] == pytest.approx([0.5, 0.5, 0], abs=1e-5)
    assert target[:, 5] == pytest.approx([0, 0, 1])


def test_glass_is_blank_and_vacuoles_and_slits_are_not() -> None:
    image = np.full((200, 200, 3), (200, 130, 170), np.uint8)
    image[:, :80] = 243
    image[100:120, 150:170] = 243
    image[:, 120:124] = 243
    fat = np.zeros((200, 200), bool)
    blank = blank_pixels(image, fat)
    assert blank[:, 5:70].all()
    assert not blank[:, 90:].any()
    fat[:100, :80] = True
    assert not blank_pixels(image, fat)[:95, :70].any()


def test_masked_samples_follow_their_masks(samples: MaskedSamples) -> None:
    assert len(samples) == 16
    assert set(samples.sources) == {"A", "T"}
    for i in range(len(samples)):
        for example in samples.fixed(i, 224, 7):
            assert example.tile.shape == (224, 224, 3)
            assert example.target.sum() == pytest.approx(1, abs=1e-5)
            assert example.cells is not None
            assert example.cells.sum(0) == pytest.approx(1, abs=1e-5)
    assert (samples.labels[12:] == 0).all(), "glass is background"
    assert (samples.labels[:12] == 2).sum() >= 10, "the sample is fatty"


def test_truth_does_not_depend_on_the_model(samples: MaskedSamples) -> None:
    """Models with other cells are tested on the same labels."""
    for i in range(len(samples)):
        targets = [[e.target for e in samples.fixed(i, 128, cells)] for cells in (1, 4, 7, 14)]
        for other in targets[1:]:
            assert np.array_equal(targets[0], other)


def test_bad_data_is_named(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        MaskedSamples(tmp_path / "nowhere")
    (folder / "masks" / "t3.png").unlink()
    with pytest.raises(DataError, match="no picture for tile 't3'"):
        MaskedSamples(folder)
    Image.new("L", (10, 10)).save(folder / "masks" / "t3.png")
    with pytest.raises(DataError, match="same size"):
        MaskedSamples(folder)
    (folder / "masks" / "t3.png").write_bytes(b"junk")
    with pytest.raises(DataError, match="damaged"):
        MaskedSamples(folder)
    (folder / "tiles.csv").write_text("tile,source\na,b\n")
    with pytest.raises(DataError, match="column group"):
        MaskedSamples(folder)


def test_folders_of_classes(tmp_path: Path) -> None:
    for name in ("cancer", "normal"):
        (tmp_path / name).mkdir()
        for i in range(4):
            Image.new("RGB", (64, 64), (i, 0, 0)).save(tmp_path / name / f"p{i // 2}_{i}.png")
    samples = FolderSamples(tmp_path, group_pattern=r"^(p\d+)_")
    assert samples.classes == ("cancer", "normal")
    assert sorted(set(samples.groups)) == ["p0", "p1"]
    example = samples.draw(5, 32, 7, np.random.default_rng(0))
    assert example.tile.shape == (32, 32, 3)
    assert example.target.tolist() == [0, 1]
    assert example.cells is None
    with pytest.raises(DataError, match="does not match"):
        FolderSamples(tmp_path, group_pattern="xyz")
    with pytest.raises(DataError, match="at least two"):
        FolderSamples(tmp_path / "cancer")


# -- augmentation --


def test_stain_jitter_changes_tissue_and_keeps_glass() -> None:
    generator = torch.Generator().manual_seed(0)
    tissue = torch.full((8, 3, 16, 16), 0, dtype=torch.uint8)
    tissue[:] = torch.tensor([200, 120, 170], dtype=torch.uint8).view(1, 3, 1, 1)
    changed = jitter_stain(tissue, generator)
    assert changed.shape == tissue.shape
    assert changed.std(0).mean() > 0.01
    assert 0 <= changed.min() <= changed.max() <= 1
    glass = jitter_stain(torch.full((8, 3, 16, 16), 243, dtype=torch.uint8), generator)
    assert (glass.amax(1) - glass.amin(1)).max() < 0.06
    still = jitter_stain(tissue, generator, sigma=0, bias=0)
    # Light still varies: a common factor for each tile, give or take the contrast.
    ratio = still / (tissue.float() / 255)
    assert ratio.std(dim=(1, 2, 3)).max() < 0.05


def test_tiles_and_cells_turn_together() -> None:
    generator = torch.Generator().manual_seed(0)
    cells = torch.rand(16, 1, 4, 4)
    tiles = cells.repeat_interleave(8, 2).repeat_interleave(8, 3)
    turned, small = dihedral([tiles, cells], generator)
    assert torch.equal(turned[:, :, ::8, ::8], small)
    assert not torch.equal(small, cells)


# -- transfer learning --


def test_imagenet_encoder_comes_offline() -> None:
    torch.manual_seed(0)
    model = CnnRnnClassifier(3)
    source = load_imagenet_encoder(model.encoder, "tf_efficientnet_lite0")
    assert "ImageNet" in source
    # Filters of a trained first layer are smooth; those of a fresh one are noise.
    stem = model.encoder.conv_stem.weight.detach()
    smooth = (stem[..., 1:] - stem[..., :-1]).abs().mean() / stem.abs().mean()
    fresh = torch.randn_like(stem)
    assert smooth < 0.8 * (fresh[..., 1:] - fresh[..., :-1]).abs().mean() / fresh.abs().mean()


@pytest.mark.slow
def test_fine_tuning_learns_and_freezes(samples: MaskedSamples) -> None:
    model = network()
    start = {k: v.clone() for k, v in model.state_dict().items()}
    train, val = grouped_folds(samples, np.arange(16), 2, 0)[0]
    config = CONFIG.model_copy(update={"epochs": 6, "tiles_per_epoch": 48, "patience": 6})
    results = list(fine_tune(model, samples, train, val, size=224, config=config))
    assert [r.epoch for r in results] == list(range(1, 7))
    assert min(r.train_loss for r in results[3:]) < results[0].train_loss
    end = model.state_dict()
    encoder = [k for k, _ in model.encoder.named_parameters()]
    frozen, free = encoder[0], encoder[-1]
    assert torch.equal(end[f"encoder.{frozen}"], start[f"encoder.{frozen}"])
    assert not torch.equal(end[f"encoder.{free}"], start[f"encoder.{free}"])


@pytest.mark.slow
def test_a_resumed_training_equals_an_uninterrupted_one(
    samples: MaskedSamples, tmp_path: Path
) -> None:
    train, val = grouped_folds(samples, np.arange(16), 2, 0)[0]

    def steps(model: CnnRnnClassifier, checkpoint: Path | None) -> Iterator[EpochResult]:
        return fine_tune(model, samples, train, val, size=224, config=CONFIG, checkpoint=checkpoint)

    whole = network()
    expected = list(steps(whole, None))
    first, path = network(), tmp_path / "run.checkpoint"
    started = steps(first, path)
    next(started)
    started.close()
    second = network()
    resumed = list(steps(second, path))
    assert [(r.epoch, r.restored) for r in resumed] == [(1, True), (2, False), (3, False)]
    for a, b in zip(expected, resumed, strict=True):
        assert a.val_loss == pytest.approx(b.val_loss, rel=1e-4)
    for name, tensor in whole.state_dict().items():
        assert torch.allclose(tensor.float(), second.state_dict()[name].float(), atol=1e-4), name
    again = list(steps(network(), path))
    assert all(r.restored for r in again)
    assert [r.val_loss for r in again] == [r.val_loss for r in resumed]
    assert again[-1].temperature == resumed[-1].temperature
    other = CONFIG.model_copy(update={"seed": 7})
    with pytest.raises(DataError, match="of another run"):
        list(fine_tune(network(), samples, train, val, size=224, config=other, checkpoint=path))
    path.write_bytes(b"junk")
    with pytest.raises(DataError, match="checkpoint is damaged"):
        list(steps(network(), path))


def test_a_leaky_split_is_refused(samples: MaskedSamples) -> None:
    with pytest.raises(DataError, match="stands in training and validation"):
        next(
            fine_tune(network(), samples, np.array([0, 2]), np.array([1]), size=224, config=CONFIG)
        )
    with pytest.raises(DataError, match="to validate on"):
        next(
            fine_tune(network(), samples, np.array([0]), np.array([], int), size=224, config=CONFIG)
        )


def test_folds_never_split_a_group(samples: MaskedSamples) -> None:
    seen: list[int] = []
    for rest, part in grouped_folds(samples, np.arange(16), 4, 0):
        assert not set(samples.groups[rest]) & set(samples.groups[part])
        assert sorted([*rest, *part]) == list(range(16))
        seen += part.tolist()
    assert sorted(seen) == list(range(16))
    with pytest.raises(DataError, match="at least 99 groups"):
        grouped_folds(samples, np.arange(16), 99, 0)


def recipe() -> Recipe:
    return Recipe.model_validate(
        {
            "card": {
                "name": "tiny",
                "title": "Tiny",
                "summary": "",
                "architecture": "cnn-rnn",
                "arguments": {
                    "encoder": "mobilenetv3_small_050",
                    "hidden": 8,
                    "projection": 16,
                },
                "classes": CLASSES,
                "mpp": 0.5,
                "tile_size": 224,
            },
            "data": {"train_sources": ["A"], "second_sources": ["T"], "val_folds": 2},
            "train": {"epochs": 1, "warmup_epochs": 0, "tiles_per_epoch": 8, "batch_size": 4},
            "start": "scratch",
        }
    )


@pytest.mark.slow
def test_cross_validation_resumes_by_fold(samples: MaskedSamples, tmp_path: Path) -> None:
    work = tmp_path / "work"
    first = list(cross_validate(recipe(), samples, 2, torch.device("cpu"), work))
    assert len(first) == 4
    again = list(cross_validate(recipe(), samples, 2, torch.device("cpu"), work))
    assert len(again) == 2
    tested = np.concatenate([np.unique(f.index) for f in again])
    assert sorted(tested) == np.flatnonzero(samples.sources == "A").tolist()
    assert set(again[0].second_index) == set(np.flatnonzero(samples.sources == "T"))


@pytest.mark.slow
def test_train_command_writes_a_model_that_runs(folder: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from napari_liverdx.cli.app import app

    path = tmp_path / "recipe.toml"
    classes = "\n".join(
        f'[[card.classes]]\nname="{c.name}"\ntitle="{c.title}"\ncolour="{c.colour}"\n'
        f'kind="{c.kind.value}"'
        for c in CLASSES
    )
    path.write_text(
        'start = "scratch"\n[card]\nname="tiny"\ntitle="Tiny"\nsummary="s"\n'
        'architecture="cnn-rnn"\nmpp=0.5\ntile_size=224\n'
        '[card.arguments]\nencoder="mobilenetv3_small_050"\nhidden=8\nprojection=16\n'
        f"{classes}\n[data]\nval_folds=2\n"
        "[train]\nepochs=1\nwarmup_epochs=0\ntiles_per_epoch=8\nbatch_size=4\n"
    )
    out = tmp_path / "tiny.safetensors"
    outcome = CliRunner().invoke(app, ["train", str(path), str(folder), "--out", str(out)])
    assert outcome.exit_code == 0, outcome.output
    model = load_model(out)
    assert model.card.cells == 7
    assert model.card.command.startswith("liverdx ")
    assert not list(tmp_path.glob("*.checkpoint"))


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
def test_livernet_trains_as_what_it_is(samples: MaskedSamples) -> None:
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
    plan = recipe().model_copy(
        update={
            "card": card,
            "train": TrainConfig(epochs=1, warmup_epochs=0, tiles_per_epoch=4, batch_size=2),
        }
    )
    *_, (_, made) = train_final(plan, samples, torch.device("cpu"))
    assert made.output == "probabilities"
    assert made.normalisation.channel_order == "BGR"


# -- evaluation --


def test_intervals_respect_groups() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 400)
    right = np.repeat(rng.random(20) < 0.8, 20)
    predicted = np.where(right, labels, 1 - labels)
    probabilities = np.eye(2)[predicted]
    by_group = grouped_interval(
        balanced_accuracy, probabilities, labels, np.repeat(np.arange(20), 20).astype(str)
    )
    by_tile = grouped_interval(balanced_accuracy, probabilities, labels, np.arange(400).astype(str))
    assert by_group.low is not None
    assert by_group.high is not None
    assert by_tile.low is not None
    assert by_tile.high is not None
    assert by_group.high - by_group.low > 2 * (by_tile.high - by_tile.low)
    assert by_group.low <= by_group.value <= by_group.high


def test_metrics_by_hand() -> None:
    labels = np.array([0, 0, 1, 1, 1, 1])
    probabilities = np.eye(3)[[0, 1, 1, 1, 1, 2]]
    rows = evaluate_predictions(
        probabilities, labels, np.array(list("aabbcc")), ["x", "y", "z"], "by hand"
    )
    assert rows["balanced accuracy"].value == pytest.approx((0.5 + 0.75) / 2, abs=1e-4)
    assert rows["sensitivity y"].value == pytest.approx(0.75)
    assert rows["specificity y"].value == pytest.approx(0.5)
    assert rows["specificity z"].value == pytest.approx(5 / 6, abs=1e-4)
    assert "sensitivity z" not in rows
    assert "6 tiles of 3 groups" in rows["balanced accuracy"].how


# -- the packaged model on the real second source --


def test_packaged_model_on_the_second_source(data_root: Path) -> None:
    """Source T was never trained on; the card claims at least 0.95 there."""
    samples = MaskedSamples(data_root / "liver_steatosis")
    model = load_model("liver-steatosis")
    chosen = np.flatnonzero(samples.sources == "T")
    examples = [e for i in chosen for e in samples.fixed(int(i), 224, 7)]
    scores, targets, _ = predict_samples(model.network, examples, torch.device("cpu"))
    clear = targets.amax(1) >= 0.999
    predicted = model.probabilities(scores)[clear].numpy().astype(float)
    assert balanced_accuracy(predicted, targets[clear].argmax(1).numpy()) >= 0.95


def test_published_tables_are_those_of_the_card() -> None:
    from .conftest import REPOSITORY

    stored = json.loads(
        (REPOSITORY / "docs" / "results" / "liver-steatosis" / "crossval.json").read_text()
    )
    sections = stored["models"]["liver-steatosis"]
    card = load_model("liver-steatosis").card
    for section in ("clear", "all", "second source clear"):
        value = sections[section]["balanced accuracy"]["value"]
        assert card.metrics[f"balanced accuracy, {section}"].value == value
    assert "liver-steatosis without the RNN" in stored["models"]
