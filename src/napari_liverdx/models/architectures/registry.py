"""Architectures by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from napari_liverdx.core.errors import ModelFileError
from napari_liverdx.models.architectures.base import TileModel

__all__ = ["ARCHITECTURES", "build_model", "register_architecture"]

ARCHITECTURES: dict[str, Callable[..., TileModel]] = {}
# Arguments whose names in model files and recipes are older than those of today.
_STORED_ARGUMENTS = {"cells": "subtiles"}


def register_architecture(
    name: str,
) -> Callable[[Callable[..., TileModel]], Callable[..., TileModel]]:
    """Make the decorated factory available to model files under ``name``."""

    def register(factory: Callable[..., TileModel]) -> Callable[..., TileModel]:
        ARCHITECTURES[name] = factory
        return factory

    return register


def build_model(
    architecture: str, n_classes: int, arguments: dict[str, Any], tile_size: int | None = None
) -> TileModel:
    """A model with fresh weights.

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


def _register_all() -> None:
    from napari_liverdx.models.architectures import timm_classifier
    from napari_liverdx.models.architectures.cnn_rnn import CnnRnnClassifier
    from napari_liverdx.models.architectures.cnn_transformer import CnnTransformer
    from napari_liverdx.models.architectures.frozen_mlp import FrozenEncoderMlp
    from napari_liverdx.models.architectures.livernet import LiverNet, LiverNetEnsemble
    from napari_liverdx.models.architectures.subtile_rnn import SubtileRnn

    register_architecture("cnn-rnn")(CnnRnnClassifier)
    register_architecture("cnn")(timm_classifier.TimmClassifier)
    register_architecture("rnn-subtiles")(SubtileRnn)
    register_architecture("livernet")(LiverNet)
    register_architecture("livernet-ensemble")(LiverNetEnsemble)
    register_architecture("se-resnet")(timm_classifier.se_resnet)
    register_architecture("sk-resnet")(timm_classifier.sk_resnet)
    register_architecture("cbam-resnet")(timm_classifier.cbam_resnet)
    register_architecture("inception-v3")(timm_classifier.inception_v3)
    register_architecture("densenet-121")(timm_classifier.densenet)
    register_architecture("cnn-transformer")(CnnTransformer)
    register_architecture("frozen-mlp")(FrozenEncoderMlp)


_register_all()
