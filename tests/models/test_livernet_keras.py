"""Published LiverNet weights: parity with Keras, damage."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_liverdx.core.errors import ModelFileError
from napari_liverdx.models.architectures.livernet import LiverNet, LiverNetEnsemble
from napari_liverdx.models.livernet_keras import livernet_state_from_keras

h5py = pytest.importorskip("h5py")


FOLDS = range(1, 6)


@pytest.fixture
def folder(data_root: Path) -> Path:
    return data_root / "livernet"


@pytest.fixture
def golden(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "golden.npz") as arrays:
        return dict(arrays)


@pytest.fixture
def tiles(golden: dict[str, np.ndarray]) -> Tensor:
    return torch.from_numpy(golden["tiles_rgb"]).permute(0, 3, 1, 2)


def name(fold: int) -> str:
    return f"KMC_LiverNet_test_fold{fold}"


def load(folder: Path, fold: int) -> LiverNet:
    model = LiverNet()
    model.load_state_dict(livernet_state_from_keras(folder / f"{name(fold)}.h5"), strict=True)
    return model.eval()


@pytest.fixture
def editable(folder: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "weights.h5"
    shutil.copyfile(folder / f"{name(1)}.h5", copy)
    return copy


@pytest.mark.slow
@pytest.mark.parametrize("fold", FOLDS)
def test_parity_with_keras(
    fold: int, folder: Path, golden: dict[str, np.ndarray], tiles: Tensor
) -> None:
    with torch.inference_mode():
        output = load(folder, fold)(tiles)
    assert output.subtile_scores is None
    assert output.embedding.shape == (len(tiles), 256)
    np.testing.assert_allclose(output.scores.numpy(), golden[name(fold)], rtol=0, atol=1e-4)


def test_float_tiles_give_the_same(folder: Path, tiles: Tensor) -> None:
    model = load(folder, 1)
    with torch.inference_mode():
        torch.testing.assert_close(model(tiles[:2]).scores, model(tiles[:2] / 255).scores)


def test_channel_order_matters(folder: Path, golden: dict[str, np.ndarray], tiles: Tensor) -> None:
    with torch.inference_mode():
        scores = load(folder, 1).classify(tiles / 255).scores
    assert np.abs(scores.numpy() - golden[name(1)]).max() > 0.1


def test_ensemble_is_the_mean_of_its_members(
    folder: Path, golden: dict[str, np.ndarray], tiles: Tensor
) -> None:
    members = [load(folder, fold) for fold in FOLDS]
    ensemble = LiverNetEnsemble(members=len(members))
    state = {
        f"members.{i}.{key}": value
        for i, member in enumerate(members)
        for key, value in member.state_dict().items()
    }
    ensemble.load_state_dict(state, strict=True)
    few = tiles[:2]
    with torch.inference_mode():
        output = ensemble.eval()(few)
        embedding = torch.cat([member(few).embedding for member in members], dim=1)
    expected = np.mean([golden[name(fold)][:2] for fold in FOLDS], axis=0)
    np.testing.assert_allclose(output.scores.numpy(), expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(output.embedding, embedding)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="cannot be read"):
        livernet_state_from_keras(tmp_path / "none.h5")


def test_not_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "text.h5"
    path.write_text("no weights")
    with pytest.raises(ModelFileError, match=r"text\.h5 cannot be read"):
        livernet_state_from_keras(path)


def test_other_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["data"] = np.zeros(3)
    with pytest.raises(ModelFileError, match="does not hold LiverNet weights: it has no conv2d"):
        livernet_state_from_keras(path)


@pytest.mark.parametrize("layer", ["conv2d_57", "batch_normalization_95", "dense_20"])
def test_missing_layer_is_named(editable: Path, layer: str) -> None:
    with h5py.File(editable, "a") as file:
        del file[layer]
    with pytest.raises(ModelFileError, match=f"lacks {layer}"):
        livernet_state_from_keras(editable)


def test_missing_and_unexpected_parameters_are_named(editable: Path) -> None:
    with h5py.File(editable, "a") as file:
        file["conv2d_51/conv2d_51/bias:0"] = np.zeros(32)
    with pytest.raises(ModelFileError, match="conv2d_51 has an unexpected bias"):
        livernet_state_from_keras(editable)
    with h5py.File(editable, "a") as file:
        del file["conv2d_51/conv2d_51/bias:0"]
        del file["conv2d_41/conv2d_41/bias:0"]
    with pytest.raises(ModelFileError, match="conv2d_41 has no bias"):
        livernet_state_from_keras(editable)


def test_wrong_shape_is_named(editable: Path) -> None:
    with h5py.File(editable, "a") as file:
        del file["conv2d_42/conv2d_42/kernel:0"]
        file["conv2d_42/conv2d_42/kernel:0"] = np.zeros((5, 5, 32, 32), np.float32)
    with pytest.raises(ModelFileError, match=r"kernel of layer conv2d_42 has shape \(5, 5, 32"):
        livernet_state_from_keras(editable)


def test_without_h5py(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ModelFileError, match=r"napari-liverdx\[convert\]"):
        livernet_state_from_keras(tmp_path / "weights.h5")
