"""Packaged models and one's own."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from safetensors.torch import load_file

from napari_liverdx.core.errors import ModelFileError
from napari_liverdx.models.file import read_card
from napari_liverdx.models.zoo import available_models, find_model, load_model


def test_packaged_weights_are_those_that_were_trained() -> None:
    """Adding statistics must not have touched them: their hash before, over names and bytes."""
    import hashlib

    digest = hashlib.sha256()
    for name, tensor in sorted(load_file(find_model("liver-steatosis")).items()):
        if not name.startswith("domain."):
            digest.update(name.encode() + tensor.numpy().tobytes())
    assert digest.hexdigest() == PACKAGED_WEIGHTS


PACKAGED_WEIGHTS = "fb0bd93788e2b617ad792eda682b5ef3d8374cd21aa736141df1bd76bca9ac16"


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


def test_packaged_model_is_small_and_honest() -> None:
    path = find_model("liver-steatosis")
    card = read_card(path)
    assert path.stat().st_size < 12e6
    assert card.scheme.names == ("background", "liver", "fat")
    assert card.command.startswith("liverdx train")
    assert "not for diagnosis" in card.intended_use
    assert card.limitations
    assert card.metrics["balanced accuracy, clear"].low is not None
    assert load_model("liver-steatosis").network.subtiles == card.subtiles == 7


def test_published_tables_are_those_of_the_card() -> None:
    from tests.support.paths import REPOSITORY

    stored = json.loads(
        (REPOSITORY / "docs" / "results" / "liver-steatosis" / "crossval.json").read_text()
    )
    sections = stored["models"]["liver-steatosis"]
    card = load_model("liver-steatosis").card
    for section in ("clear", "all", "second source clear"):
        value = sections[section]["balanced accuracy"]["value"]
        assert card.metrics[f"balanced accuracy, {section}"].value == value
    assert "liver-steatosis without the RNN" in stored["models"]
