"""Cards and models with random weights."""

from __future__ import annotations

from pathlib import Path

import torch

from napari_liverdx.core.classes import ClassKind, ClassScheme, TissueClass
from napari_liverdx.models.architectures.registry import build_model
from napari_liverdx.models.card import ModelCard, Normalization
from napari_liverdx.models.file import LoadedModel

CLASSES = (
    TissueClass("background", "Background", "#9aa3b2", ClassKind.BACKGROUND),
    TissueClass("liver", "Liver without fat", "#4c9f70", ClassKind.NORMAL),
    TissueClass("fat", "Liver with fat", "#0a84ff", ClassKind.PATHOLOGICAL),
)


def make_card(**more: object) -> ModelCard:
    """A card for a small CNN+RNN with random weights."""
    fields: dict[str, object] = {
        "name": "tiny",
        "title": "Tiny",
        "summary": "Random weights, for tests",
        "architecture": "cnn-rnn",
        "arguments": {"encoder": "mobilenetv3_small_050", "hidden": 8, "projection": 16},
        "classes": CLASSES,
        "mpp": 0.5,
        "tile_size": 224,
        "subtiles": 7,
        "normalization": Normalization(),
    }
    return ModelCard.model_validate({**fields, **more})


SMALL = "mobilenetv3_small_050"


def model_of(architecture: str, size: int, **arguments: object) -> LoadedModel:
    """Random weights of an architecture, with its card."""
    torch.manual_seed(0)
    network = build_model(architecture, 3, dict(arguments), size).eval()
    card = make_card(
        architecture=architecture,
        arguments=arguments,
        tile_size=size,
        subtiles=network.subtiles,
        output=network.output,
    )
    return LoadedModel(card, network, "0" * 64, Path("none"))


SCHEME = ClassScheme(CLASSES)
