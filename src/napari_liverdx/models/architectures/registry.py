"""Architectures by name. A new one is one module and one line here."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from napari_liverdx._registry import Registry
from napari_liverdx.core.errors import ModelFileError
from napari_liverdx.models.architectures.base import TileModel

__all__ = ["ARCHITECTURES", "build_model", "check_arguments"]

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

_WRONG_ARGUMENTS = (
    TypeError,
    ValueError,
    RuntimeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    AssertionError,
    MemoryError,
)
_TOLD = 300
"""Characters of a foreign message that ours shows."""

_LARGEST, _LONGEST, _MOST, _DEEPEST = 2**16, 200, 1000, 4
_SHARES = ("dropout", "drop_rate", "drop_path_rate", "proj_drop_rate", "attn_drop_rate")
_REACHING_OUT = ("pretrained", "checkpoint", "cache_dir", "hf_", "url")
"""How timm's options begin that read other files or the net; a model file may not cause that."""


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
    check_arguments(architecture, arguments)
    factory = ARCHITECTURES[architecture]
    arguments = {_STORED_ARGUMENTS.get(k, k): v for k, v in arguments.items()}
    if tile_size is not None and "tile_size" in inspect.signature(factory).parameters:
        arguments = {"tile_size": tile_size, **arguments}
    try:
        network = factory(n_classes, **arguments)
    except _WRONG_ARGUMENTS as error:
        why = str(error)[:_TOLD] or type(error).__name__
        raise ModelFileError(f"architecture {architecture!r} with {arguments}: {why}") from error
    first = {today: stored for stored, today in _STORED_ARGUMENTS.items()}
    told = {first.get(k, k): v for k, v in arguments.items()}
    network.made_of = {"architecture": architecture, "classes": n_classes, "arguments": told}
    return network


def check_arguments(architecture: str, arguments: dict[str, Any]) -> None:
    """Refuse what no network is made of, before anything is allocated by it.

    Parameters
    ----------
    architecture : str
        Named in the message.
    arguments : dict
        From a model file or a recipe.

    Raises
    ------
    ModelFileError
        If an argument is out of all proportion, or would make timm read other files.
    """

    def bad(name: str, why: str) -> ModelFileError:
        return ModelFileError(f"architecture {architecture!r}: the argument {name[:40]!r} {why}")

    for name, value in arguments.items():
        if name.startswith(_REACHING_OUT):
            raise bad(name, "is not for a model file")
        if name in _SHARES and not (isinstance(value, int | float) and 0 <= value < 1):
            raise bad(name, "must be at least 0 and below 1")
        why = _excess(value, _DEEPEST)
        if why:
            raise bad(name, why)


def _excess(value: object, depth: int) -> str:
    """Return what is too much about a value, or one within it; empty if nothing is."""
    if isinstance(value, int | float):
        return "" if abs(value) <= _LARGEST else f"must lie within ±{_LARGEST}"
    if isinstance(value, str):
        return "" if len(value) <= _LONGEST else f"must have at most {_LONGEST} characters"
    if not isinstance(value, dict | list | tuple):
        return ""
    if len(value) > _MOST or not depth:
        return "holds too many values"
    inner = [*value, *value.values()] if isinstance(value, dict) else value
    return next(filter(None, (_excess(v, depth - 1) for v in inner)), "")
