"""Slide-level model files: whose tile model they fit, damage."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from napari_liverdx.core.errors import ModelFileError, PlanError
from napari_liverdx.mil.file import load_mil_model
from napari_liverdx.mil.train import apply_mil_model
from napari_liverdx.models.file import LoadedModel, load_model_file, save_model_file
from napari_liverdx.models.zoo import available_models
from napari_liverdx.slides.slide import Slide
from tests.support.mil import analyzed, save_context


def test_a_context_fits_its_own_tile_model_only(
    tmp_path: Path, opened_slide: Slide, tiny: LoadedModel
) -> None:
    store = analyzed(tmp_path / "a.liverdx.zarr", opened_slide, tiny, embeddings=True)
    width = len(store.embeddings())
    other = LoadedModel(tiny.card, tiny.network, "f" * 64, tiny.path)
    with pytest.raises(ModelFileError, match=r"belongs to the tile model 'tiny'.*ffffffffffff"):
        apply_mil_model(store, save_context(tmp_path / "o.safetensors", other, width))
    with pytest.raises(ModelFileError, match="inconsistent"):
        apply_mil_model(store, save_context(tmp_path / "w.safetensors", tiny, width + 1))
    with pytest.raises(PlanError, match=r"--overlap 0\.5"):
        apply_mil_model(store, save_context(tmp_path / "v.safetensors", tiny, width, overlap=0.5))
    with pytest.raises(ModelFileError, match="not a slide-level model"):
        load_mil_model(tiny.path)


def test_a_context_is_no_tile_model(
    tmp_path: Path, tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_context(tmp_path / "around.safetensors", tiny, 5)
    with pytest.raises(ModelFileError, match="--mil-model"):
        load_model_file(tmp_path / "around.safetensors")
    monkeypatch.setenv("LIVERDX_MODELS", str(tmp_path))
    assert "around" not in available_models()


def test_damaged_contexts_are_named(tmp_path: Path, tiny: LoadedModel) -> None:
    path = tmp_path / "c.safetensors"
    good = save_context(path, tiny, 5)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ModelFileError, match="damaged"):
        load_mil_model(path)
    with torch.no_grad():
        good.network.slide_head.weight.fill_(3e38)
        good.network.slide_head.bias.fill_(3e38)
        good.network.pool.value.bias.fill_(3e38)
    save_model_file(path, good.network, good.card, half=False)
    with pytest.raises(ModelFileError, match="no probability"):
        load_mil_model(path)
    large = good.card.model_copy(update={"arguments": {"hidden": 4096, "projection": 4096}})
    save_model_file(path, good.network, large)
    with pytest.raises(ModelFileError, match="do not fit"):
        load_mil_model(path)
    bad = good.card.model_copy(update={"arguments": {"hidden": -3}})
    save_model_file(path, good.network, bad)
    with pytest.raises(ModelFileError, match="hidden"):
        load_mil_model(path)
