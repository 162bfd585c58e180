"""Learning: transfer, resuming, options, honest splits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_liverdx.core.errors import DataError
from napari_liverdx.models.architectures.cnn_rnn import CnnRnnClassifier
from napari_liverdx.models.architectures.registry import build_model
from napari_liverdx.training.config import EpochResult, TrainConfig
from napari_liverdx.training.data.folders import FolderDataset
from napari_liverdx.training.data.masks import FatMaskDataset
from napari_liverdx.training.data.splits import grouped_folds
from napari_liverdx.training.transfer import TrainJob, fine_tune
from tests.support.training import CONFIG, small_classifier


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        {"balance": "weights", "focal_gamma": 2.0},
        {"mixup": 0.3, "balance": "none"},
        {"precision": "bfloat16"},
    ],
    ids=["focal and weights", "mixup", "mixed precision"],
)
def test_training_options_learn(class_folders: Path, more: dict[str, object]) -> None:
    samples = FolderDataset(class_folders, ("normal", "cancer"), r"^(p\d+)_")
    torch.manual_seed(0)
    network = build_model("rnn-subtiles", 2, {"cells": 4, "hidden": 8, "projection": 16}, 64)
    network.pretrained = False
    config = TrainConfig.model_validate(
        {"epochs": 5, "warmup_epochs": 0, "tiles_per_epoch": 48, "batch_size": 8,
         "head_lr": 5e-3, "ema_decay": 0.5, **more}
    )  # fmt: skip
    train = np.flatnonzero(np.isin(samples.groups, ["p0", "p1", "p2", "p3"]))
    val = np.setdiff1d(np.arange(len(samples)), train)
    epochs = list(fine_tune(network, TrainJob(samples, train, val, 64, config)))
    assert epochs[-1].val_balanced_accuracy > 0.8
    again = build_model("rnn-subtiles", 2, {"cells": 4, "hidden": 8, "projection": 16}, 64)
    assert again.state_dict().keys() == network.state_dict().keys()


@pytest.mark.slow
def test_fine_tuning_learns_and_freezes(masked_samples: FatMaskDataset) -> None:
    model = small_classifier()
    start = {k: v.clone() for k, v in model.state_dict().items()}
    train, val = grouped_folds(masked_samples, np.arange(16), 2, 0)[0]
    config = CONFIG.model_copy(update={"epochs": 6, "tiles_per_epoch": 48, "patience": 6})
    results = list(fine_tune(model, TrainJob(masked_samples, train, val, 224, config)))
    assert [r.epoch for r in results] == list(range(1, 7))
    assert min(r.train_loss for r in results[3:]) < results[0].train_loss
    end = model.state_dict()
    encoder = [k for k, _ in model.encoder.named_parameters()]
    frozen, free = encoder[0], encoder[-1]
    assert torch.equal(end[f"encoder.{frozen}"], start[f"encoder.{frozen}"])
    assert not torch.equal(end[f"encoder.{free}"], start[f"encoder.{free}"])


@pytest.mark.slow
def test_a_resumed_training_equals_an_uninterrupted_one(
    masked_samples: FatMaskDataset, tmp_path: Path
) -> None:
    train, val = grouped_folds(masked_samples, np.arange(16), 2, 0)[0]

    def steps(model: CnnRnnClassifier, checkpoint: Path | None) -> Iterator[EpochResult]:
        job = TrainJob(masked_samples, train, val, 224, CONFIG)
        return fine_tune(model, job, checkpoint=checkpoint)

    whole = small_classifier()
    expected = list(steps(whole, None))
    first, path = small_classifier(), tmp_path / "run.checkpoint"
    started = steps(first, path)
    next(started)
    started.close()
    second = small_classifier()
    resumed = list(steps(second, path))
    assert [(r.epoch, r.restored) for r in resumed] == [(1, True), (2, False), (3, False)]
    for a, b in zip(expected, resumed, strict=True):
        assert a.val_loss == pytest.approx(b.val_loss, rel=1e-4)
    for name, tensor in whole.state_dict().items():
        assert torch.allclose(tensor.float(), second.state_dict()[name].float(), atol=1e-4), name
    again = list(steps(small_classifier(), path))
    assert all(r.restored for r in again)
    assert [r.val_loss for r in again] == [r.val_loss for r in resumed]
    assert again[-1].temperature == resumed[-1].temperature
    other = CONFIG.model_copy(update={"seed": 7})
    with pytest.raises(DataError, match="of another run"):
        next(
            fine_tune(
                small_classifier(),
                TrainJob(masked_samples, train, val, 224, other),
                checkpoint=path,
            )
        )
    path.write_bytes(b"junk")
    with pytest.raises(DataError, match="checkpoint is damaged"):
        list(steps(small_classifier(), path))


def test_a_leaky_split_is_refused(masked_samples: FatMaskDataset) -> None:
    leaky = TrainJob(masked_samples, np.array([0, 2]), np.array([1]), 224, CONFIG)
    with pytest.raises(DataError, match="stands in training and validation"):
        next(fine_tune(small_classifier(), leaky))
    empty = TrainJob(masked_samples, np.array([0]), np.array([], int), 224, CONFIG)
    with pytest.raises(DataError, match="to validate on"):
        next(fine_tune(small_classifier(), empty))
