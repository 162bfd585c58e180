"""A quick recipe and its network."""

from __future__ import annotations

import torch

from napari_liverdx.models.architectures.cnn_rnn import CnnRnnClassifier
from napari_liverdx.training.config import TrainConfig
from napari_liverdx.training.recipe import Recipe
from tests.support.models import CLASSES

CONFIG = TrainConfig(
    epochs=3, warmup_epochs=1, tiles_per_epoch=16, batch_size=8, frozen_share=0.3, seed=1
)


def small_classifier() -> CnnRnnClassifier:
    torch.manual_seed(0)
    return CnnRnnClassifier(3, "mobilenetv3_small_050", 224, 8, 16)


def small_recipe() -> Recipe:
    return Recipe.model_validate(
        {
            "card": {
                "name": "tiny",
                "title": "Tiny",
                "summary": "",
                "architecture": "cnn-rnn",
                "arguments": {
                    "encoder": "mobilenetv3_small_050",
                    "hidden": 8,
                    "projection": 16,
                },
                "classes": CLASSES,
                "mpp": 0.5,
                "tile_size": 224,
            },
            "data": {"train_sources": ["A"], "second_sources": ["T"], "val_folds": 2},
            "train": {"epochs": 1, "warmup_epochs": 0, "tiles_per_epoch": 8, "batch_size": 4},
            "start": "scratch",
        }
    )
