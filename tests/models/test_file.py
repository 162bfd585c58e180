"""Model files come back as they were; bad ones are named."""

from __future__ import annotations

import json
import pickle
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save as save_tensors

from napari_liverdx.core.errors import ModelFileError
from napari_liverdx.models.card import Interval
from napari_liverdx.models.file import LoadedModel, load_model_file, save_model_file
from tests.support.models import make_card, model_of


def test_round_trip(tmp_path: Path, tiny: LoadedModel) -> None:
    card = make_card(metrics={"accuracy": Interval(value=0.9, low=0.8, high=0.95)})
    path = tmp_path / "a.safetensors"
    save_model_file(path, tiny.network, card, half=False)
    again = load_model_file(path)
    assert again.card == card
    x = torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.equal(again.network(x).scores, tiny.network(x).scores)
    assert len(again.sha256) == 64
    assert not list(tmp_path.glob("*.partial"))


def test_half_precision_file_is_smaller_and_close(tmp_path: Path, tiny: LoadedModel) -> None:
    full, half = tmp_path / "full.safetensors", tmp_path / "half.safetensors"
    save_model_file(full, tiny.network, tiny.card, half=False)
    save_model_file(half, tiny.network, tiny.card)
    assert half.stat().st_size < 0.6 * full.stat().st_size
    x = torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8)
    with torch.inference_mode():
        difference = load_model_file(half).network(x).scores - tiny.network(x).scores
    assert difference.abs().max() < 0.02


def test_temperature_and_declared_output(tmp_path: Path, tiny: LoadedModel) -> None:
    scores = torch.tensor([[2.0, 0.0, 1.0]])
    path = tmp_path / "warm.safetensors"
    save_model_file(path, tiny.network, make_card(temperature=2.0))
    warm = load_model_file(path)
    assert torch.allclose(warm.probabilities(scores), torch.softmax(scores / 2, 1))
    published = model_of("livernet", 64)
    save_model_file(path, published.network, published.card)
    ready = torch.tensor([[0.5, 0.2, 0.3]])
    assert torch.equal(load_model_file(path).probabilities(ready), ready)


def header_only(card: object) -> bytes:
    header = json.dumps({"__metadata__": {"liverdx.card": json.dumps(card)}}).encode()
    return struct.pack("<Q", len(header)) + header


def test_bad_files_are_named(tmp_path: Path, tiny_file: Path) -> None:
    good = tiny_file.read_bytes()
    cases = {
        "missing": (None, "cannot be read"),
        "empty": (b"", "damaged, or not"),
        "text": (b"hello" * 100, "damaged, or not"),
        "pickle": (pickle.dumps({"a": 1}), "pickle"),
        "torch zip": (b"PK\x03\x04" + b"0" * 100, "pickle"),
        "foreign": (save_tensors({"a": torch.zeros(2)}), "without a napari-liverdx model card"),
        "cut": (good[: len(good) // 2], "damaged or cut off"),
        "no classes": (header_only({"name": "x"}), "card is not valid"),
        "future": (
            header_only({**make_card().model_dump(mode="json"), "schema_version": 99}),
            "newer",
        ),
    }
    for name, (data, message) in cases.items():
        path = tmp_path / f"{name}.safetensors"
        if data is not None:
            path.write_bytes(data)
        with pytest.raises(ModelFileError, match=message):
            load_model_file(path)


@pytest.mark.slow
def test_weights_that_do_not_fit_are_named(tmp_path: Path, tiny: LoadedModel) -> None:
    path = tmp_path / "a.safetensors"
    for change, message in (
        ({"arguments": {**tiny.card.arguments, "hidden": 4}}, "do not fit"),
        ({"architecture": "unheard-of"}, "unknown to this version"),
        ({"arguments": {"nonsense": 1}}, "nonsense"),
        ({"arguments": {"encoder": "hf-hub:someone/something"}}, "no encoder"),
        ({"arguments": {**tiny.card.arguments, "hidden": 10**4}}, "between"),
        ({"arguments": {**tiny.card.arguments, "hidden": 10**9}}, "must lie within"),
        ({"arguments": {**tiny.card.arguments, "encoder": "vit_giant_patch14_224"}}, "do not fit"),
        ({"subtiles": 3}, "inconsistent"),
        ({"output": "probabilities"}, "no probability"),
        ({"tile_size": 4096}, "GiB of memory"),
    ):
        save_model_file(path, tiny.network, make_card(**change))
        with pytest.raises(ModelFileError, match=message):
            load_model_file(path)
    with torch.no_grad():
        tiny.network.tile_head.bias.fill_(float("nan"))
    save_model_file(path, tiny.network, tiny.card)
    with pytest.raises(ModelFileError, match="finite"):
        load_model_file(path)


def test_each_device_has_a_network_of_its_own(tiny: LoadedModel) -> None:
    """A model is shared among threads: where one runs it, it stays for the others."""
    cpu, other = torch.device("cpu"), torch.device("meta")
    assert tiny.network_on(cpu) is tiny.network
    moved = tiny.network_on(other)
    assert moved is tiny.network_on(other)
    assert not moved.training
    assert {p.device.type for p in moved.parameters()} == {"meta"}
    assert {p.device.type for p in tiny.network.parameters()} == {"cpu"}
