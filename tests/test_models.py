"""The recurrent context, the classifier, model files, calibration."""

from __future__ import annotations

import json
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save as save_tensors

from napari_liverdx.core.errors import ModelFileError
from napari_liverdx.models.architectures.cnn_rnn import CnnRnnClassifier
from napari_liverdx.models.architectures.recurrent_grid import RecurrentContext
from napari_liverdx.models.calibration import expected_calibration_error, fit_temperature
from napari_liverdx.models.card import Interval
from napari_liverdx.models.file import (
    LoadedModel,
    load_model_file,
    read_card,
    save_model_file,
)
from napari_liverdx.models.zoo import available_models, find_model, load_model

from .conftest import make_card

# -- recurrent context --


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_every_cell_sees_every_other(kind: str) -> None:
    torch.manual_seed(0)
    context = RecurrentContext(3, 4, kind)
    grid = torch.randn(1, 3, 5, 6, requires_grad=True)
    for row, col in ((0, 0), (4, 5), (2, 3)):
        (gradient,) = torch.autograd.grad(context(grid)[0, :, row, col].sum(), grid)
        assert (gradient.abs().sum(1) > 0).all()


def test_masked_cells_carry_no_signal() -> None:
    torch.manual_seed(0)
    context = RecurrentContext(3, 4)
    mask = torch.rand(2, 5, 6) > 0.4
    grid = torch.randn(2, 3, 5, 6)
    noisy = torch.where(mask[:, None], grid, torch.randn_like(grid) * 100)
    assert torch.equal(context(grid, mask), context(noisy, mask))
    assert (context(grid, mask)[~mask[:, None].expand(-1, 8, -1, -1)] == 0).all()


def test_unknown_cell_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown"):
        RecurrentContext(3, 4, "elman")


# -- classifier --


@pytest.mark.parametrize("kind", ["gru", "lstm"])
@pytest.mark.parametrize("hidden", [0, 8])
def test_classifier_shapes(hidden: int, kind: str) -> None:
    network = CnnRnnClassifier(4, "mobilenetv3_small_050", 224, hidden, 16, kind).eval()
    output = network(torch.zeros(2, 3, 224, 224, dtype=torch.uint8))
    assert output.scores.shape == (2, 4)
    assert output.cell_scores is not None
    assert output.cell_scores.shape == (2, 4, 7, 7)
    assert output.embedding.shape == (2, 16 + 2 * hidden)
    assert (network.context is None) == (hidden == 0)


def test_other_encoders_and_sizes_fit() -> None:
    network = CnnRnnClassifier(2, "resnet18", tile_size=128, fine=False).eval()
    assert network.cells == 4
    assert network(torch.zeros(1, 3, 128, 128, dtype=torch.uint8)).scores.shape == (1, 2)


def test_normalisation_is_inside(tiny: LoadedModel) -> None:
    raw = torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.allclose(
            tiny.network(raw).scores, tiny.network(raw.float() / 255).scores, atol=1e-6
        )
    x = tiny.network.normalise(raw)
    assert torch.allclose(x, raw.float() / 127.5 - 1, atol=1e-6)
    tiny.network.set_normalisation((0, 0, 0), (1, 1, 1), "BGR")
    assert torch.allclose(tiny.network.normalise(raw), raw.flip(1).float() / 255)


# -- model files --


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
    save_model_file(path, tiny.network, make_card(output="probabilities"))
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


def test_weights_that_do_not_fit_are_named(tmp_path: Path, tiny: LoadedModel) -> None:
    path = tmp_path / "a.safetensors"
    for change, message in (
        ({"arguments": {**tiny.card.arguments, "hidden": 4}}, "do not fit"),
        ({"architecture": "unheard-of"}, "unknown to this version"),
        ({"arguments": {"nonsense": 1}}, "nonsense"),
        ({"arguments": {"encoder": "hf-hub:someone/something"}}, "no encoder"),
        ({"arguments": {**tiny.card.arguments, "hidden": 10**9}}, "between"),
        ({"cells": 3}, "inconsistent"),
    ):
        save_model_file(path, tiny.network, make_card(**change))
        with pytest.raises(ModelFileError, match=message):
            load_model_file(path)
    with torch.no_grad():
        tiny.network.tile_head.bias.fill_(float("nan"))
    save_model_file(path, tiny.network, tiny.card)
    with pytest.raises(ModelFileError, match="finite"):
        load_model_file(path)


def test_a_pickle_is_never_run(tmp_path: Path) -> None:
    flag = tmp_path / "ran"

    class Payload:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (flag,))

    path = tmp_path / "evil.pt"
    path.write_bytes(pickle.dumps(Payload()))
    with pytest.raises(ModelFileError, match="pickle"):
        load_model(path)
    assert not flag.exists()


def test_names_and_own_folder(
    tmp_path: Path, tiny_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIVERDX_MODELS", str(tmp_path))
    (tmp_path / "mine.safetensors").write_bytes(tiny_file.read_bytes())
    (tmp_path / "broken.safetensors").write_bytes(b"x")
    cards = available_models()
    assert "mine" in cards
    assert "broken" not in cards
    assert find_model("mine").parent == tmp_path
    (tmp_path / "mine-v1.2.safetensors").write_bytes(tiny_file.read_bytes())
    assert find_model("mine-v1.2").parent == tmp_path
    with pytest.raises(ModelFileError, match=r"no model called 'nope'.*liver-steatosis"):
        find_model("nope")


def test_cards_reject_nonsense() -> None:
    for change in ({"mpp": 0}, {"temperature": -1}, {"surprise": 1}, {"name": "No Spaces"}):
        with pytest.raises(ValidationError):
            make_card(**change)


# -- calibration --


def test_temperature_recovers_overconfidence() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4000, 3, generator=generator) * 1.5
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    assert fit_temperature(logits * 2.5, labels) == pytest.approx(2.5, rel=0.1)
    assert fit_temperature(logits[:0], labels[:0]) == 1.0


def test_calibration_error() -> None:
    confident = np.array([[1.0, 0.0]] * 10)
    assert expected_calibration_error(confident, np.zeros(10, int)) == 0
    assert expected_calibration_error(confident, np.ones(10, int)) == 1
    assert np.isnan(expected_calibration_error(confident[:0], np.zeros(0, int)))


# -- the packaged model --


def test_packaged_model_is_small_and_honest() -> None:
    path = find_model("liver-steatosis")
    card = read_card(path)
    assert path.stat().st_size < 12e6
    assert card.scheme.names == ("background", "liver", "fat")
    assert card.command.startswith("liverdx train")
    assert "not for diagnosis" in card.intended_use
    assert card.limitations
    assert card.metrics["balanced accuracy, clear"].low is not None
    assert load_model("liver-steatosis").network.cells == card.cells == 7
