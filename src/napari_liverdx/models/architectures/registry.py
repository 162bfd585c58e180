"""Architectures by name. A new one is one module and one line here."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from napari_liverdx._registry import Registry
from napari_liverdx.core.errors import ModelFileError
from napari_liverdx.models.architectures.base import TileModel

__all__ = ["ARCHITECTURES", "build_model"]

_HERE = "napari_liverdx.models.architectures"

ARCHITECTURES: Registry[Callable[..., TileModel]] = Registry(
    "napari_liverdx.architectures",
    Callable,  # type: ignore[arg-type]  # isinstance takes it
    {
        "cnn-rnn": f"{_HERE}.cnn_rnn:CnnRnnClassifier",
        "cnn": f"{_HERE}.timm_classifier:TimmClassifier",
        "rnn-subtiles": f"{_HERE}.subtile_rnn:SubtileRnn",
        "livernet": f"{_HERE}.livernet:LiverNet",
        "livernet-ensemble": f"{_HERE}.livernet:LiverNetEnsemble",
        "se-resnet": f"{_HERE}.timm_classifier:se_resnet",
        "sk-resnet": f"{_HERE}.timm_classifier:sk_resnet",
        "cbam-resnet": f"{_HERE}.timm_classifier:cbam_resnet",
        "inception-v3": f"{_HERE}.timm_classifier:inception_v3",
        "densenet-121": f"{_HERE}.timm_classifier:densenet",
        "cnn-transformer": f"{_HERE}.cnn_transformer:CnnTransformer",
        "frozen-mlp": f"{_HERE}.frozen_mlp:FrozenEncoderMlp",
    },
)
"""What makes a network, by the name that model files state: a class or a function that takes the
number of classes, and the arguments that the file states by name."""

# Arguments whose names in model files and recipes are older than those of today.
_STORED_ARGUMENTS = {"cells": "subtiles"}


def build_model(
    architecture: str, n_classes: int, arguments: dict[str, Any], tile_size: int | None = None
) -> TileModel:
    """Build a model with fresh weights.

    Parameters
    ----------
    architecture : str
        Name in the registry.
    n_classes : int
        Number of classes.
    arguments : dict
        Further arguments of the architecture.
    tile_size : int, optional
        Side of the input in pixels, for architectures that need to know it.

    Raises
    ------
    ModelFileError
        If the architecture is unknown or does not take these arguments.
    """
    if architecture not in ARCHITECTURES:
        raise ModelFileError(
            f"architecture {architecture!r} is unknown to this version; it knows "
            f"{', '.join(sorted(ARCHITECTURES))}. Update napari-liverdx"
        )
    factory = ARCHITECTURES[architecture]
    arguments = {_STORED_ARGUMENTS.get(k, k): v for k, v in arguments.items()}
    if tile_size is not None and "tile_size" in inspect.signature(factory).parameters:
        arguments = {"tile_size": tile_size, **arguments}
    try:
        network = factory(n_classes, **arguments)
    except (TypeError, ValueError, RuntimeError, AttributeError, LookupError) as error:
        raise ModelFileError(f"architecture {architecture!r} with {arguments}: {error}") from error
    first = {today: stored for stored, today in _STORED_ARGUMENTS.items()}
    told = {first.get(k, k): v for k, v in arguments.items()}
    network.made_of = {"architecture": architecture, "classes": n_classes, "arguments": told}
    return network
