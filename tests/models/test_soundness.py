"""Model files that claim too much are refused before any of it is allocated."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from napari_liverdx.core.errors import ModelFileError
from napari_liverdx.models.architectures.base import TileModel
from napari_liverdx.models.architectures.registry import build_model
from napari_liverdx.models.file import LoadedModel, load_model_file, save_model_file
from napari_liverdx.models.soundness import are_probabilities, bytes_per_tile, without_memory
from tests.support.models import SMALL, make_card, model_of


def small(**more: object) -> LoadedModel:
    return model_of("rnn-subtiles", 32, subtiles=2, hidden=4, projection=4, layers=1, **more)


def poisoned(network: TileModel, name: str, value: float) -> TileModel:
    with torch.no_grad():
        network.state_dict()[name].view(-1)[-1] = value
    return network


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("tile_head.weight", math.nan, "not finite"),
        ("tile_head.bias", math.inf, "not finite"),
    ],
)
def test_weights_that_give_no_numbers_are_refused(
    tmp_path: Path, name: str, value: float, match: str
) -> None:
    path, model = tmp_path / "a.safetensors", small()
    save_model_file(path, poisoned(model.network, name, value), model.card, half=False)
    with pytest.raises(ModelFileError, match=match):
        load_model_file(path)


def test_weights_beyond_what_is_computed_with_are_refused(tmp_path: Path) -> None:
    path, model = tmp_path / "a.safetensors", model_of("livernet", 32)
    with torch.no_grad():
        model.network.state_dict()["stem.0.conv.weight"].fill_(3e38)
    save_model_file(path, model.network, model.card, half=False)
    with pytest.raises(ModelFileError, match="no probability"):
        load_model_file(path)


def test_buffers_count_too(tmp_path: Path) -> None:
    path, model = tmp_path / "a.safetensors", model_of("livernet", 32)
    for value, match in ((-1.0, "negative variance"), (math.nan, "not finite")):
        network = poisoned(model.network, "stem.0.norm.running_var", value)
        save_model_file(path, network, model.card, half=False)
        with pytest.raises(ModelFileError, match=match):
            load_model_file(path)


def test_memory_is_told_without_taking_it() -> None:
    """A batch normalization keeps two maps alive, its input and its output."""
    card = make_card(architecture="livernet", arguments={}, tile_size=256, subtiles=1)
    needs = {}
    for side in (256, 512):
        found = without_memory(lambda: build_model("livernet", 3, {}))
        assert found is not None
        assert {p.device.type for p in found.parameters()} == {"meta"}
        needs[side] = bytes_per_tile(Path("a"), found, card.model_copy(update={"tile_size": side}))
    one_map = 32 * 256 * 256 * 4
    assert 2 * one_map <= needs[256] <= 5 * one_map
    assert needs[512] == pytest.approx(4 * needs[256], rel=0.05)


def test_what_a_tile_takes_is_known_of_a_loaded_model(tmp_path: Path) -> None:
    path, model = tmp_path / "a.safetensors", small()
    save_model_file(path, model.network, model.card)
    assert load_model_file(path).tile_bytes > 32 * 32 * 3 * 4


def test_a_network_that_cannot_be_built_so_is_passed_over() -> None:
    def looks_at_its_weights() -> TileModel:
        network = build_model("cnn", 2, {"encoder": SMALL})
        float(next(network.parameters()).detach().sum())
        return network

    assert without_memory(looks_at_its_weights) is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda p: p * math.nan,
        lambda p: p + math.inf,
        lambda p: p * 0,
        lambda p: p - 0.5,
    ],
)
def test_only_probabilities_pass(spoil: Callable[[torch.Tensor], torch.Tensor]) -> None:
    good = torch.softmax(torch.randn(2, 3, 4, 4), dim=1)
    assert are_probabilities(good)
    assert are_probabilities(good.half().float())
    assert are_probabilities(good[:0])
    bad = good.clone()
    bad[1, :, 2, 3] = spoil(bad[1, :, 2, 3])
    assert not are_probabilities(bad)
