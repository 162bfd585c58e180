"""Why a model says what it says of a tile: maps, ablation, refusals."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import spearmanr

from napari_liverdx.core.errors import PlanError
from napari_liverdx.core.grid import TileGrid, TileIndex
from napari_liverdx.inference.device import choose_device
from napari_liverdx.inference.explain import (
    explain_pixels,
    explain_tile,
    predict_subtiles_alone,
    sentences,
    tile_at,
)
from napari_liverdx.inference.explain_sheet import explanation_pictures, explanation_sheet
from napari_liverdx.inference.grad_cam import grad_cam
from napari_liverdx.inference.plan import plan_run
from napari_liverdx.inference.predict import predict
from napari_liverdx.models.architectures.registry import build_model
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.session.run import inspect_slide
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.slide import Slide
from tests.support.explanations import FAT, FATTY, made_explanation
from tests.support.models import make_card, model_of
from tests.support.pictures import noise

HELD_OUT = ("1001314_24", "1001986_66", "1002228_7")


def test_classes_have_maps_of_their_own(
    packaged: LoadedModel, sample: Slide, grid: TileGrid
) -> None:
    fat = explain_tile(sample, grid, FATTY, packaged, FAT)
    liver = explain_tile(sample, grid, FATTY, packaged, 1)
    assert fat.class_index == fat.called == FAT
    assert fat.cam is not None
    assert liver.cam is not None
    assert spearmanr(fat.cam[::16, ::16].ravel(), liver.cam[::16, ::16].ravel()).statistic < 0.2


def test_maps_of_real_tiles_lie_on_the_fat(packaged: LoadedModel, data_root: Path) -> None:
    """Pictures the packaged model did not learn from; see benchmarks/explain_study.py."""
    folder = data_root / "liver_steatosis"
    gains = []
    for name in HELD_OUT:
        (image,), (mask,) = folder.glob(f"images/{name}.*"), folder.glob(f"masks/{name}.*")
        pixels = np.asarray(Image.open(image).convert("RGB"))[:224, :224].copy()
        fat = np.asarray(Image.open(mask).convert("L"))[:224, :224] > 0
        explanation = explain_pixels(pixels, packaged)
        assert explanation.called == FAT
        assert explanation.cam is not None
        gains.append(explanation.cam[fat].sum() / explanation.cam.sum() / fat.mean())
    assert np.mean(gains) > 1.2


def test_cells_alone_hear_nothing_of_their_neighbors(tiny: LoadedModel) -> None:
    network = copy.deepcopy(tiny.network)
    features = torch.randn(1, network.project[0].in_channels, 7, 7)
    other = features.clone()
    other[:, :, 0, 0] += 3
    whole = network.heads(features).subtile_scores, network.heads(other).subtile_scores
    assert not torch.allclose(whole[0][..., 6, 6], whole[1][..., 6, 6], atol=1e-7)
    assert predict_subtiles_alone(network)
    alone = network.heads(features).subtile_scores, network.heads(other).subtile_scores
    assert torch.equal(alone[0][..., 6, 6], alone[1][..., 6, 6])
    assert not torch.allclose(alone[0][..., 0, 0], alone[1][..., 0, 0])
    single = tiny.network.heads(features[:, :, 3:4, 5:6]).subtile_scores
    assert torch.allclose(alone[0][..., 3, 5], single[..., 0, 0], atol=1e-6)


def test_explanation_is_what_a_run_says(tiny: LoadedModel, small_slide: Path) -> None:
    with open_slide(small_slide) as slide:
        tissue = inspect_slide(slide).tissue
        assert tissue is not None
        plan = plan_run(slide.levels, slide.mpp, tissue, tiny.card, device=choose_device("cpu"))
        (batch,) = predict(plan, slide, tiny, [TileIndex(1, 2)])
        explanation = explain_tile(slide, plan.grid, TileIndex(1, 2), tiny)
        assert np.array_equal(explanation.pixels, slide.read_region(0, 448, 224, 224, 224))
    assert explanation.subtiles is not None
    assert batch.subtiles is not None
    assert np.allclose(explanation.probabilities, batch.probabilities[0], atol=1e-5)
    assert np.allclose(explanation.subtiles, batch.subtiles[0], atol=1e-5)
    assert explanation.alone is not None
    assert explanation.alone.subtiles is not None
    assert explanation.difference is not None
    assert np.array_equal(
        explanation.difference,
        explanation.subtiles[explanation.class_index]
        - explanation.alone.subtiles[explanation.class_index],
    )
    assert np.abs(explanation.difference).max() > 1e-4


@pytest.mark.parametrize("kept", ["as it is", "frozen", "half"])
def test_the_network_in_use_is_left_alone(tiny: LoadedModel, kept: str) -> None:
    network = tiny.network
    if kept == "frozen":
        network.requires_grad_(False)
    if kept == "half":
        network.half()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    asked = [p.requires_grad for p in network.parameters()]
    first, second = (explain_pixels(noise(), tiny) for _ in range(2))
    assert first.cam is not None
    assert second.cam is not None
    assert np.array_equal(first.cam, second.cam)
    assert np.array_equal(first.probabilities, second.probabilities)
    after = network.state_dict()
    assert all(torch.equal(v, after[k]) and v.dtype == after[k].dtype for k, v in before.items())
    assert [p.requires_grad for p in network.parameters()] == asked
    assert all(p.grad is None for p in network.parameters())
    assert not any(m.training for m in network.modules())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
    assert isinstance(network.context, type(tiny.network.context))


@pytest.mark.parametrize(
    ("architecture", "size", "arguments", "where"),
    [
        ("livernet", 64, {}, "map at the output of pyramids.2, 8 × 8"),
        (
            "livernet-ensemble",
            64,
            {"members": 2},
            "map at the output of members.0.pyramids.2 and 1 more, 8 × 8",
        ),
        ("cnn", 64, {"encoder": "resnet18"}, "map at the output of encoder.layer4, 2 × 2"),
        (
            "frozen-mlp",
            64,
            {"encoder": "mobilenetv3_small_050"},
            "map at the output of encoder.blocks, 2 × 2",
        ),
    ],
)
def test_models_without_cells_have_grad_cam_alone(
    architecture: str, size: int, arguments: dict[str, object], where: str
) -> None:
    model = model_of(architecture, size, **arguments)
    maps = [explain_pixels(noise(size), model, index) for index in range(3)]
    assert any(m.cam is not None and m.cam.max() == 1 for m in maps)
    one = maps[0]
    assert one.cam_note.startswith(where)
    assert one.subtiles is None
    assert one.alone is None
    assert one.difference is None
    assert "no recurrent network" in one.alone_note
    assert [p.name for p in explanation_pictures(one)] == ["tile", "cam"]
    assert np.isclose(one.probabilities.sum(), 1)
    assert sentences(one) == ["This model has no recurrent network, so there is none to leave out."]
    assert explanation_sheet(one).shape[2] == 3


def test_a_model_without_a_feature_map_says_so() -> None:
    model = model_of("rnn-subtiles", 64, subtiles=4, pixels=4, hidden=8, projection=16)
    explanation = explain_pixels(noise(64), model)
    assert explanation.cam is None
    assert "no convolutional feature map" in explanation.cam_note
    assert explanation.alone is not None
    assert [p.name for p in explanation_pictures(explanation)] == [
        "tile",
        "cells",
        "alone",
        "difference",
    ]
    transformer = build_model("cnn", 3, {"encoder": "vit_tiny_patch16_224"}, 224).eval()
    x = transformer.normalize(torch.from_numpy(noise()).permute(2, 0, 1)[None])
    with pytest.raises(PlanError, match="no convolutional feature map"):
        grad_cam(transformer, x, 0, 224)
    assert not any(m._forward_hooks for m in transformer.modules())


def test_what_is_not_there_is_said(tiny: LoadedModel, sample: Slide, grid: TileGrid) -> None:
    with pytest.raises(PlanError, match="no class 3"):
        explain_pixels(noise(), tiny, 3)
    with pytest.raises(PlanError, match="no tile 99, 0"):
        explain_tile(sample, grid, TileIndex(99, 0), tiny)


@given(
    x=st.floats(-50, 1300),
    y=st.floats(-50, 1300),
    overlap=st.sampled_from([0.0, 0.5, 4 / 7, 0.75]),
    left=st.integers(0, 300),
)
def test_tile_at_is_the_nearest_tile_over_a_place(
    x: float, y: float, overlap: float, left: int
) -> None:
    stride = max(1, round(224 * (1 - overlap)))
    grid = TileGrid(0, 1.25, 1.25, left, 10, 800, 700, 224, 224, stride, stride, 224)
    found = tile_at(grid, x, y)
    inside = grid.region.x <= x < grid.region.right and grid.region.y <= y < grid.region.bottom
    near_edge = (
        min(abs(x - e) for e in (grid.region.x, grid.region.right)) < 1e-6
        or min(abs(y - e) for e in (grid.region.y, grid.region.bottom)) < 1e-6
    )
    if near_edge:
        return
    assert (found is not None) == inside
    if found is None:
        return
    rect = grid.rect(found)
    assert rect.x - 1e-6 <= x <= rect.right + 1e-6
    assert rect.y - 1e-6 <= y <= rect.bottom + 1e-6

    def far(tile: TileIndex) -> float:
        r = grid.rect(tile)
        return max(abs(r.x + r.width / 2 - x), 0) + abs(r.y + r.height / 2 - y)

    assert far(found) <= min(map(far, grid)) + 1e-6


def test_sentences_say_what_the_neighbors_do() -> None:
    card, low, high = make_card(), np.full((7, 7), 0.41), np.full((7, 7), 0.78)
    assert sentences(made_explanation(high, low, card)) == [
        "The neighboring map pixels raise Liver with fat from 0.41 to 0.78. Without them the tile "
        "would be predicted as Background."
    ]
    assert sentences(made_explanation(low, low - 0.1, card)) == [
        "The neighboring map pixels raise Liver with fat from 0.31 to 0.41."
    ]
    (text,) = sentences(made_explanation(low, low + 0.05, card))
    assert text == "The neighboring map pixels lower Liver with fat from 0.46 to 0.41."
    (text,) = sentences(made_explanation(low, low + 0.001, card))
    assert (
        text == "The neighboring map pixels hardly change Liver with fat: 0.41 without, 0.41 with."
    )
