"""The architectures of the literature: one interface, one training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from napari_liverdx.core.errors import ModelFileError
from napari_liverdx.models.architectures.base import TileModel
from napari_liverdx.models.architectures.registry import ARCHITECTURES, build_model
from napari_liverdx.models.file import load_model_file, save_model_file
from tests.support.models import SMALL, make_card

CASES: dict[str, dict[str, object]] = {
    "cnn-rnn": {"encoder": SMALL, "hidden": 8, "projection": 16},
    "cnn": {"encoder": SMALL},
    "rnn-subtiles": {"hidden": 8, "projection": 16},
    "livernet": {},
    "livernet-ensemble": {"members": 1},
    "se-resnet": {"depth": 18},
    "sk-resnet": {"depth": 18},
    "cbam-resnet": {"depth": 18},
    "inception-v3": {"attributes": ["TP53", "CTNNB1"]},
    "densenet-121": {},
    "cnn-transformer": {"encoder": SMALL, "width": 32},
    "frozen-mlp": {"encoder": SMALL, "hidden": 16},
}


def build(name: str, size: int = 96) -> TileModel:
    torch.manual_seed(0)
    return build_model(name, 3, dict(CASES[name]), size)


def test_every_architecture_is_tested() -> None:
    assert set(CASES) == set(ARCHITECTURES)


@pytest.mark.parametrize("name", CASES)
def test_one_interface(name: str, tmp_path: Path) -> None:
    """Batched equals one by one; model files keep everything."""
    network = build(name).eval()
    tiles = torch.randint(0, 256, (3, 3, 96, 96), dtype=torch.uint8)
    with torch.inference_mode():
        whole = network(tiles)
        single = [network(tiles[i : i + 1]) for i in range(3)]
    assert whole.scores.shape == (3, 3)
    assert whole.embedding.ndim == 2
    assert torch.isfinite(whole.scores).all()
    assert torch.allclose(whole.scores, torch.cat([s.scores for s in single]), 1e-3, 2e-4)
    if whole.subtile_scores is not None:
        assert whole.subtile_scores.shape == (3, 3, network.subtiles, network.subtiles)
    else:
        assert network.subtiles == 1
    card = make_card(
        architecture=name,
        arguments=CASES[name],
        tile_size=96,
        subtiles=network.subtiles,
        output=network.output,
        normalization={
            "mean": network.mean.flatten().tolist(),
            "std": network.std.flatten().tolist(),
            "channel_order": network.channel_order,
        },
    )
    path = tmp_path / "model.safetensors"
    save_model_file(path, network, card, half=False)
    again = load_model_file(path).network
    with torch.inference_mode():
        assert torch.allclose(again(tiles).scores, whole.scores, 1e-4, 1e-5)


@pytest.mark.parametrize("name", ["cnn", "rnn-subtiles", "cbam-resnet", "cnn-transformer"])
def test_every_trained_weight_gets_a_gradient(name: str) -> None:
    network = build(name).train()
    output = network(torch.rand(2, 3, 96, 96))
    loss = output.scores.square().sum()
    if output.subtile_scores is not None:
        loss = loss + output.subtile_scores.square().sum()
    loss.backward()
    without = [n for n, p in network.named_parameters() if p.grad is None]
    assert not without


def test_a_frozen_encoder_stays_frozen() -> None:
    network = build("frozen-mlp").train()
    network(torch.rand(2, 3, 96, 96)).scores.sum().backward()
    assert all(p.grad is None for p in network.encoder_parameters())
    assert network.frozen_encoder


def test_attributes_have_logits_of_their_own() -> None:
    network = build("inception-v3").eval()
    output = network(torch.rand(2, 3, 96, 96))
    assert output.attribute_scores is not None
    assert output.attribute_scores.shape == (2, 2)
    assert network.attributes == ("TP53", "CTNNB1")


def test_attention_is_where_it_should_be() -> None:
    """Each of the attention networks differs from the plain one by its modules."""
    kinds = {}
    for name in ("se-resnet", "sk-resnet", "cbam-resnet"):
        kinds[name] = {type(m).__name__ for m in build(name).modules()}
    assert "SEModule" in kinds["se-resnet"]
    assert "SelectiveKernel" in kinds["sk-resnet"]
    assert "CbamModule" in kinds["cbam-resnet"]


@pytest.mark.parametrize(
    ("name", "arguments", "match"),
    [
        ("se-resnet", {"depth": 99}, "depth 99"),
        ("cnn", {"encoder": "nonsense"}, "no encoder 'nonsense'"),
        ("cnn", {"encoder": "hf-hub:someone/model"}, "no encoder"),
        ("cnn-transformer", {"encoder": SMALL, "width": 33}, "multiple"),
        ("rnn-subtiles", {"cells": 0}, "do not fit"),
        ("frozen-mlp", {"encoder": "nonsense"}, "no encoder"),
        ("frozen-mlp", {"hidden": 10**9}, "'hidden' must lie within"),
        ("frozen-mlp", {"hidden": float("nan")}, "'hidden' must lie within"),
        ("cnn", {"encoder": SMALL, "dropout": float("nan")}, "'dropout' must be at least 0"),
        ("cnn", {"encoder": SMALL, "dropout": 1}, "below 1"),
        ("cnn", {"encoder": "a" * 1000}, "at most 200 characters"),
        ("cnn", {"encoder": SMALL, "checkpoint_path": "w.pth"}, "not for a model file"),
        ("cnn", {"encoder": SMALL, "pretrained_cfg": {"file": "w"}}, "not for a model file"),
        ("inception-v3", {"attributes": ["x"] * 5000}, "too many"),
        ("cnn", {"encoder": SMALL, "block_args": {"a": {"b": {"c": {"d": {}}}}}}, "too many"),
    ],
)
def test_wrong_arguments_are_named(name: str, arguments: dict[str, object], match: str) -> None:
    with pytest.raises(ModelFileError, match=match):
        build_model(name, 3, arguments, 224)


def test_scores_depend_on_classes() -> None:
    """As many scores as classes, whatever the number."""
    for n in (2, 5):
        network = build_model("cnn", n, {"encoder": SMALL}, 64).eval()
        assert network(torch.rand(1, 3, 64, 64)).scores.shape == (1, n)
