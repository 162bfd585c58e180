"""Writing a trained model with what is known of its domain."""

from __future__ import annotations

from pathlib import Path

import torch

from napari_liverdx.engine.held_out import describe_model
from napari_liverdx.engine.samples import Samples
from napari_liverdx.engine.splits import Split
from napari_liverdx.models.base import TileModel
from napari_liverdx.models.card import ModelCard
from napari_liverdx.models.modelfile import load_model_file, rewrite_model_file, save_model_file

__all__ = ["save_trained"]


def save_trained(
    path: Path,
    network: TileModel,
    card: ModelCard,
    samples: Samples,
    split: Split,
    device: torch.device,
) -> ModelCard:
    """Write a model, then add domain statistics and calibration scores to its file.

    They are made with the weights as the file holds them, in half precision.

    Parameters
    ----------
    path : Path
        Model file to write.
    network : TileModel
        Trained.
    card : ModelCard
        Of the model.
    samples : Samples
        What it learned from.
    split : Split
        Which of them taught it and which validated.
    device : torch.device
        Where to run.

    Returns
    -------
    ModelCard
        As it stands in the file.
    """
    save_model_file(path, network, card)
    described, statistics = describe_model(
        load_model_file(path), samples, split.train, split.val, device
    )
    rewrite_model_file(path, described, statistics, path)
    return described
