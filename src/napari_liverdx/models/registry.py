"""Architectures by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari_liverdx.core.errors import ModelFileError
from napari_liverdx.models.base import TileModel

__all__ = ["ARCHITECTURES", "build_model", "register_architecture"]

ARCHITECTURES: dict[str, Callable[..., TileModel]] = {}


def register_architecture(
    name: str,
) -> Callable[[Callable[..., TileModel]], Callable[..., TileModel]]:
    """Make the decorated factory available to model files under ``name``."""

    def register(factory: Callable[..., TileModel]) -> Callable[..., TileModel]:
        ARCHITECTURES[name] = factory
        return factory

    return register


def build_model(architecture: str, n_classes: int, arguments: dict[str, Any]) -> TileModel:
    """A model with fresh weights.

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
    try:
        return ARCHITECTURES[architecture](n_classes, **arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ModelFileError(f"architecture {architecture!r} with {arguments}: {error}") from error


def _register_all() -> None:
    from napari_liverdx.models.cnn_rnn import CnnRnnClassifier
    from napari_liverdx.models.livernet import LiverNet, LiverNetEnsemble

    register_architecture("cnn-rnn")(CnnRnnClassifier)
    register_architecture("livernet")(LiverNet)
    register_architecture("livernet-ensemble")(LiverNetEnsemble)


_register_all()
