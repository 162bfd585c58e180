"""What is measured on validation data: limits, coverage, false alarms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from napari_liverdx.core.ood import OodRule, OodState, assess_ood
from napari_liverdx.models.file import LoadedModel, load_model_file
from napari_liverdx.models.zoo import load_model
from napari_liverdx.slides.slide import Slide
from napari_liverdx.training.calibrate import (
    coverage_by_halves,
    describe_model,
    false_alarms_by_halves,
    score_pictures,
    weighted_quantile,
)
from napari_liverdx.training.data.masks import FatMaskDataset
from tests.support.predictions import grouped_draw

CPU = torch.device("cpu")


def tiles_of(data_root: Path, source: str, step: int) -> list[np.ndarray]:
    folder = data_root / "liver_steatosis"
    lines = (folder / "tiles.csv").read_text().splitlines()[1:]
    names = [line.split(",")[0] for line in lines if line.split(",")[2] == source][::step]
    found = []
    for name in names:
        (path,) = (folder / "images").glob(f"{name}.*")
        found.append(np.asarray(Image.open(path).convert("RGB"))[:224, :224])
    return found


@pytest.mark.slow
def test_own_tiles_are_familiar_and_other_tissue_is_not(data_root: Path) -> None:
    model = load_model("liver-steatosis")
    rule = OodRule(0.05, model.card.ood["overlap"])
    own = score_pictures(model, tiles_of(data_root, "A", 9), CPU)
    assert assess_ood(own, rule).state is OodState.IN_DISTRIBUTION
    paths = sorted((data_root / "oral_he" / "oscc").glob("400x_*"))[::20][:16]
    other = [np.asarray(Image.open(p).convert("RGB").resize((224, 224))) for p in paths]
    assert assess_ood(score_pictures(model, other, CPU), rule).state is OodState.OUT_OF_DISTRIBUTION


@pytest.mark.slow
def test_livernet_is_flagged_on_liver_from_elsewhere(data_root: Path, tmp_path: Path) -> None:
    from napari_liverdx.models.livernet_import import convert_livernet

    out = tmp_path / "livernet.safetensors"
    convert_livernet([data_root / "livernet" / "KMC_LiverNet_test_fold1.h5"], out)
    model = load_model_file(out)
    scores = score_pictures(model, tiles_of(data_root, "A", 16), CPU)
    assert assess_ood(scores, OodRule(0.05, None)).state is OodState.OUT_OF_DISTRIBUTION


def test_groups_weigh_alike_in_limits() -> None:
    values = np.concatenate([np.full(100, 5.0), np.arange(19)])
    groups = np.array(["big"] * 100 + [f"g{i}" for i in range(19)])
    assert weighted_quantile(values, groups, 0.5) == pytest.approx(9, abs=1)
    assert weighted_quantile(values, groups, 0.99) == 18


def test_halves_measure_what_was_promised() -> None:
    seen = grouped_draw(np.random.default_rng(3), 80)
    found = coverage_by_halves(seen, 0.2, draws=60)
    assert 0.76 < found.covered < 0.9
    assert 0 < found.uncertain_mask < 1
    distances = np.random.default_rng(0).chisquare(3, len(seen.labels))
    assert 0.01 < false_alarms_by_halves(distances, seen.groups, draws=60) < 0.07


def test_describe_model_fills_the_card(tmp_path: Path, sample: Slide, tiny: LoadedModel) -> None:
    root = tmp_path / "tiles"
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    lines = ["tile,group,source"]
    for i in range(8):
        pixels = sample.read_region(0, 1900 + 230 * i, 800, 224, 224)
        Image.fromarray(pixels).save(root / "images" / f"t{i}.png")
        Image.fromarray((pixels.min(2) > 215).astype(np.uint8)).save(root / "masks" / f"t{i}.png")
        lines.append(f"t{i},g{i // 2},A")
    (root / "tiles.csv").write_text("\n".join(lines) + "\n")
    samples = FatMaskDataset(root)
    card, tensors = describe_model(tiny, samples, np.arange(4), np.arange(4, 8), CPU)
    assert card.ood["held_out_groups"] == 2
    assert card.conformal["tile"]["samples"] == 4
    assert card.conformal["cell"]["samples"] == 4 * 49
    assert set(tensors) == {"domain.mean", "domain.components"}
    assert card.model_copy(update={"ood": {}, "conformal": {}}) == tiny.card
