"""Why a model says what it says of a tile: maps, ablation, pictures, command."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFont
from scipy.stats import spearmanr
from torch import Tensor, nn
from typer.testing import CliRunner

from napari_liverdx.cli.app import app
from napari_liverdx.core.colormaps import CIVIDIS, COOL_WARM, INFERNO, colour_values, table_rgb
from napari_liverdx.core.errors import PlanError
from napari_liverdx.core.grid import TileGrid, TileIndex, plan_grid
from napari_liverdx.inference.device import choose_device
from napari_liverdx.inference.explain import (
    Explanation,
    explain_pixels,
    explain_tile,
    judge_cells_alone,
    sentences,
    tile_at,
)
from napari_liverdx.inference.explain_sheet import (
    difference_limit,
    explanation_pictures,
    explanation_sheet,
)
from napari_liverdx.inference.grad_cam import CamLayer, grad_cam, raw_grad_cam
from napari_liverdx.inference.plan import plan_run
from napari_liverdx.inference.predict import predict
from napari_liverdx.models.architectures.base import TileModel, TileOutput
from napari_liverdx.models.architectures.registry import build_model
from napari_liverdx.models.card import ModelCard
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.models.zoo import load_model
from napari_liverdx.session.run import look_at_slide
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.slide import Slide

from .conftest import make_card

FAT = 2
FATTY = TileIndex(4, 10)
HELD_OUT = ("1001314_24", "1001986_66", "1002228_7")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Networks this small gain nothing by a second thread, and lose much on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def packaged() -> LoadedModel:
    return load_model("liver-steatosis")


@pytest.fixture
def grid(sample: Slide) -> TileGrid:
    assert sample.mpp is not None
    return plan_grid(sample.levels, sample.mpp, model_mpp=0.5, tile_size=224)


def noise(size: int = 224, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (size, size, 3), dtype=np.uint8)


def model_of(architecture: str, size: int, **arguments: object) -> LoadedModel:
    """Random weights of an architecture, with its card."""
    torch.manual_seed(0)
    network = build_model(architecture, 3, dict(arguments), size).eval()
    card = make_card(
        architecture=architecture,
        arguments=arguments,
        tile_size=size,
        cells=network.cells,
        output=network.output,
    )
    return LoadedModel(card, network, "0" * 64, Path("none"))


# -- Grad-CAM --


def test_grad_cam_is_the_gradient_weighted_sum(tiny: LoadedModel) -> None:
    network = copy.deepcopy(tiny.network)
    x = network.normalise(torch.from_numpy(noise()).permute(2, 0, 1)[None])
    shown, where = grad_cam(network, x, FAT, 224)
    features = network.features(x).detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(network.heads(features).scores[0, FAT], features)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    expected = (weights * features.detach()).sum(dim=1, keepdim=True).relu()
    expected = nn.functional.interpolate(expected, (224, 224), mode="bilinear")[0, 0]
    assert expected.max() > 0
    assert np.allclose(shown, (expected / expected.max()).numpy(), atol=1e-5)
    assert shown.max() == 1
    assert where == "map at the input of project, 7 × 7"


class WritesInPlace(TileModel):
    """Changes the map of its convolution in place, as many encoders do."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)
        self.rest = nn.Sequential(nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.head = nn.Linear(16, 3)

    def classify(self, x: Tensor) -> TileOutput:
        return TileOutput(self.head(self.rest(self.convolution(x))), x)


def test_grad_cam_at_an_output_takes_the_values_that_the_layer_gave() -> None:
    torch.manual_seed(0)
    network = WritesInPlace().eval()
    x = torch.randn(1, 3, 12, 12)
    found = raw_grad_cam(network, x, FAT, CamLayer("convolution", network.convolution))
    values = network.convolution(x).detach()[0]
    assert (values < 0).any()
    # Each of 10 × 10 places is averaged in one of 2 × 2 fields, if it is positive.
    weights = network.head.weight[FAT].detach().reshape(4, 2, 2) / 25
    gradient = weights.repeat_interleave(5, 1).repeat_interleave(5, 2) * (values > 0)
    expected = (gradient.mean(dim=(1, 2))[:, None, None] * values).sum(dim=0)
    assert torch.allclose(found, expected, atol=1e-6)


def test_random_last_layers_change_the_map(
    packaged: LoadedModel, sample: Slide, grid: TileGrid
) -> None:
    """Adebayo et al. 2018: a map that does not depend on what was learned explains nothing."""
    explanation = explain_tile(sample, grid, FATTY, packaged, FAT)
    assert explanation.cam is not None
    alike = []
    for seed in range(3):
        network = copy.deepcopy(packaged.network)
        torch.manual_seed(seed)
        for part in (network.tile_head, network.pool):
            for module in part.modules():
                if hasattr(module, "reset_parameters"):
                    module.reset_parameters()
        x = network.normalise(torch.from_numpy(explanation.pixels).permute(2, 0, 1)[None])
        cam, _ = grad_cam(network, x, FAT, 224)
        values = spearmanr(cam[::16, ::16].ravel(), explanation.cam[::16, ::16].ravel())
        alike.append(np.nan_to_num(values.statistic))
    assert np.mean(alike) < 0.6


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


# -- what the model says, with and without context --


def test_cells_alone_hear_nothing_of_their_neighbours(tiny: LoadedModel) -> None:
    network = copy.deepcopy(tiny.network)
    features = torch.randn(1, network.project[0].in_channels, 7, 7)
    other = features.clone()
    other[:, :, 0, 0] += 3
    whole = network.heads(features).cell_scores, network.heads(other).cell_scores
    assert not torch.allclose(whole[0][..., 6, 6], whole[1][..., 6, 6], atol=1e-7)
    assert judge_cells_alone(network)
    alone = network.heads(features).cell_scores, network.heads(other).cell_scores
    assert torch.equal(alone[0][..., 6, 6], alone[1][..., 6, 6])
    assert not torch.allclose(alone[0][..., 0, 0], alone[1][..., 0, 0])
    single = tiny.network.heads(features[:, :, 3:4, 5:6]).cell_scores
    assert torch.allclose(alone[0][..., 3, 5], single[..., 0, 0], atol=1e-6)


def test_explanation_is_what_a_run_says(tiny: LoadedModel, small_slide: Path) -> None:
    with open_slide(small_slide) as slide:
        tissue = look_at_slide(slide).tissue
        assert tissue is not None
        plan = plan_run(slide.levels, slide.mpp, tissue, tiny.card, device=choose_device("cpu"))
        (batch,) = predict(plan, slide, tiny, [TileIndex(1, 2)])
        explanation = explain_tile(slide, plan.grid, TileIndex(1, 2), tiny)
        assert np.array_equal(explanation.pixels, slide.read_region(0, 448, 224, 224, 224))
    assert explanation.cells is not None
    assert batch.cells is not None
    assert np.allclose(explanation.probabilities, batch.probabilities[0], atol=1e-5)
    assert np.allclose(explanation.cells, batch.cells[0], atol=1e-5)
    assert explanation.alone is not None
    assert explanation.alone.cells is not None
    assert explanation.difference is not None
    assert np.array_equal(
        explanation.difference,
        explanation.cells[explanation.class_index]
        - explanation.alone.cells[explanation.class_index],
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


def test_grad_cam_gives_back_what_it_froze(tiny: LoadedModel) -> None:
    network = tiny.network
    network.project.requires_grad_(False)
    asked = [p.requires_grad for p in network.parameters()]
    assert len(set(asked)) == 2
    x = network.normalise(torch.from_numpy(noise()).permute(2, 0, 1)[None])
    with torch.no_grad():
        grad_cam(network, x, 0, 224)
    assert [p.requires_grad for p in network.parameters()] == asked
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())


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
    assert one.cells is None
    assert one.alone is None
    assert one.difference is None
    assert "no recurrent network" in one.alone_note
    assert [p.name for p in explanation_pictures(one)] == ["tile", "cam"]
    assert np.isclose(one.probabilities.sum(), 1)
    assert sentences(one) == ["This model has no recurrent network, so there is none to leave out."]
    assert explanation_sheet(one).shape[2] == 3


def test_a_sheet_has_all_its_letters_where_no_dejavu_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used: list[ImageFont.FreeTypeFont] = []
    truetype = ImageFont.truetype

    def without_dejavu(font: str, size: int) -> ImageFont.FreeTypeFont:
        if "DejaVu" in font:
            raise OSError("cannot open resource")
        used.append(truetype(font, size))
        return used[-1]

    explanation = explain_pixels(noise(64), model_of("livernet", 64), FAT)
    monkeypatch.setattr(ImageFont, "truetype", without_dejavu)
    assert explanation_sheet(explanation).shape[2] == 3
    assert used
    for font in used:
        unknown = bytes(font.getmask("\U0010ffff"))
        assert not [letter for letter in "×–µ·äéñø" if bytes(font.getmask(letter)) == unknown]


def test_a_model_without_a_feature_map_says_so() -> None:
    model = model_of("rnn-subtiles", 64, cells=4, pixels=4, hidden=8, projection=16)
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
    x = transformer.normalise(torch.from_numpy(noise()).permute(2, 0, 1)[None])
    with pytest.raises(PlanError, match="no convolutional feature map"):
        grad_cam(transformer, x, 0, 224)
    assert not any(m._forward_hooks for m in transformer.modules())


def test_what_is_not_there_is_said(tiny: LoadedModel, sample: Slide, grid: TileGrid) -> None:
    with pytest.raises(PlanError, match="no class 3"):
        explain_pixels(noise(), tiny, 3)
    with pytest.raises(PlanError, match="no tile 99, 0"):
        explain_tile(sample, grid, TileIndex(99, 0), tiny)


# -- places --


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


# -- pictures and words --


def made(cells: np.ndarray, alone: np.ndarray, card: ModelCard) -> Explanation:
    from napari_liverdx.core.geometry import Rect
    from napari_liverdx.inference.explain import AloneContext

    def stacked(fat: np.ndarray) -> np.ndarray:
        return np.stack([1 - fat, fat * 0, fat]).astype(np.float32)

    def tile(fat: float) -> np.ndarray:
        return np.array([1 - fat, 0, fat], np.float32)

    return Explanation(
        TileIndex(1, 2),
        Rect(0, 0, 28, 28),
        noise(28),
        card.name,
        card.classes,
        FAT,
        tile(float(cells.mean())),
        stacked(cells),
        np.zeros((28, 28), np.float32),
        "some layer",
        AloneContext(tile(float(alone.mean())), stacked(alone)),
        "alone",
    )


def test_pictures_have_one_scale_and_say_the_difference() -> None:
    cells, alone = np.full((7, 7), 0.5), np.full((7, 7), 0.25)
    cells[2, 3], alone[2, 3] = 1.0, 0.9
    explanation = made(cells, alone, make_card())
    pictures = {p.name: p for p in explanation_pictures(explanation)}
    assert list(pictures) == ["tile", "cam", "cells", "alone", "difference"]
    assert pictures["cells"].scale == pictures["alone"].scale
    assert {p.pixels.shape for p in pictures.values()} == {(28, 28, 3)}
    block = pictures["cells"].pixels[8:12, 12:16].reshape(-1, 3)
    assert (block == np.array([0xFE, 0xE8, 0x38])).all()
    expected = colour_values(np.array(0.25), CIVIDIS, 0, 1)
    assert (pictures["alone"].pixels[0, 0] == expected).all()
    scale = pictures["difference"].scale
    assert scale is not None
    assert (scale.low, scale.high) == ("−0.25", "+0.25")
    assert (pictures["difference"].pixels[0, 0] == [0xB4, 0x04, 0x26]).all()
    assert (pictures["cam"].pixels <= explanation.pixels // 2 + 4).all()


def test_sentences_say_what_the_neighbours_do() -> None:
    card, low, high = make_card(), np.full((7, 7), 0.41), np.full((7, 7), 0.78)
    assert sentences(made(high, low, card)) == [
        "The neighbouring cells raise Liver with fat from 0.41 to 0.78. Without them the tile "
        "would be called Background."
    ]
    assert sentences(made(low, low - 0.1, card)) == [
        "The neighbouring cells raise Liver with fat from 0.31 to 0.41."
    ]
    (text,) = sentences(made(low, low + 0.05, card))
    assert text == "The neighbouring cells lower Liver with fat from 0.46 to 0.41."
    (text,) = sentences(made(low, low + 0.001, card))
    assert text == "The neighbouring cells hardly change Liver with fat: 0.41 without, 0.41 with."


@pytest.mark.parametrize(("most", "limit"), [(0.0, 0.1), (0.2, 0.25), (-0.4, 0.5), (0.9, 1.0)])
def test_difference_scale_is_round_and_holds_all(most: float, limit: float) -> None:
    assert difference_limit(np.array([[0.0, most]])) == limit


@pytest.mark.parametrize("table", [CIVIDIS, INFERNO])
def test_colours_grow_brighter_all_the_way(table: str) -> None:
    light = table_rgb(table) @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(light) > 0).all()


def test_difference_colours_mirror_in_brightness() -> None:
    light = table_rgb(COOL_WARM) @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(light[:9]) > 0).all()
    assert (np.diff(light[8:]) < 0).all()


# -- the command --


def test_command_writes_the_picture(small_slide: Path, tiny_file: Path, tmp_path: Path) -> None:
    base = ["explain", str(small_slide), "--model", str(tiny_file)]
    by_tile, by_place = tmp_path / "a.png", tmp_path / "b.png"
    result = CliRunner().invoke(app, [*base, "--tile", "1,2", "--class", "fat", "-o", str(by_tile)])
    assert result.exit_code == 0, result.output
    assert "Tile 1, 2" in result.output
    assert "without RNN" in result.output
    result = CliRunner().invoke(
        app, [*base, "--at", "460,300", "--class", "fat", "-o", str(by_place)]
    )
    assert result.exit_code == 0, result.output
    first, second = (np.asarray(Image.open(p)) for p in (by_tile, by_place))
    assert np.array_equal(first, second)
    assert first.shape[1] > 5 * 224


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "say which tile"),
        (["--tile", "1,1", "--at", "1,1"], "say which tile"),
        (["--tile", "1"], "two numbers"),
        (["--tile", "9,0"], "no tile 9, 0"),
        (["--at", "5000,1"], "not on the slide"),
        (["--tile", "0,0", "--class", "tumour"], "no class 'tumour'"),
    ],
)
def test_command_says_what_is_wrong(
    small_slide: Path, tiny_file: Path, tmp_path: Path, more: list[str], message: str
) -> None:
    out = tmp_path / "a.png"
    result = CliRunner().invoke(
        app, ["explain", str(small_slide), "-m", str(tiny_file), *more, "-o", str(out)]
    )
    assert isinstance(result.exception, PlanError)
    assert message in str(result.exception)
    assert not out.exists()


# -- which grid and which model the dock explains --


def test_session_takes_the_grid_of_a_whole_run_and_the_model_of_the_result(
    small_slide: Path, tiny_file: Path, tiny: LoadedModel, tmp_path: Path
) -> None:
    from napari_liverdx.inference.run import make_manifest
    from napari_liverdx.models.file import save_model_file
    from napari_liverdx.results.slide_prediction import SlideCall
    from napari_liverdx.results.store import ResultStore
    from napari_liverdx.session.explain import (
        ExplainRequest,
        explain,
        grid_to_explain,
        model_to_explain,
    )
    from napari_liverdx.session.plan import resolve
    from napari_liverdx.session.state import SessionState

    state = SessionState()
    with pytest.raises(PlanError, match="open a slide"):
        grid_to_explain(state, None)
    with open_slide(small_slide) as slide:
        state.slide = look_at_slide(slide)
        with pytest.raises(PlanError, match="choose a model"):
            grid_to_explain(state, None)
        state.choose_card(str(tiny_file), tiny.card)
        plan = resolve(state)
        assert grid_to_explain(state, None) == plan.grid
        manifest = make_manifest(plan, slide, tiny)
        store = ResultStore.create(tmp_path / "r.liverdx.zarr", manifest, plan.tissue, plan.tiles)
        assert grid_to_explain(state, store) == plan.grid
        tile = plan.tiles[0]
        one = np.array([[0.2, 0.2, 0.6]], np.float32)
        store.add([tile], one, np.broadcast_to(one[0][:, None, None], (1, 3, 7, 7)).copy())
        request = ExplainRequest(7, slide, plan.grid, tile, str(tiny_file), "liver", store)
        answer = explain(request)
        assert answer.number == 7
        assert answer.explanation.class_index == 1
        assert answer.explanation.around is None
        refined = np.zeros((3, *plan.grid.shape), np.float32)
        refined[:, tile.row, tile.col] = 0.1, 0.7, 0.2
        call = SlideCall(
            context_name="wide",
            context_version="1",
            context_sha256="0",
            learned_from="tiles",
            tiles=1,
        )
        store.keep_call(call, refined, np.zeros(plan.grid.shape, np.float32))
        answer = explain(request)
        assert answer.explanation.around is not None
        assert sentences(answer.explanation)[1] == (
            "The slide around it raises Liver without fat from 0.20 to 0.70 (slide context wide)."
        )
        other = tmp_path / "other.safetensors"
        save_model_file(other, tiny.network, make_card(name="other", version="2"), half=False)
        loaded, warning = model_to_explain(str(other), store)
        assert loaded.card.name == "other"
        assert "made with another model (tiny, version 1)" in warning
        assert model_to_explain(str(tiny_file), store)[1] == ""
        small = model_of("livernet", 64)
        save_model_file(other, small.network, small.card, half=False)
        with pytest.raises(PlanError, match="do not fit"):
            model_to_explain(str(other), store)
