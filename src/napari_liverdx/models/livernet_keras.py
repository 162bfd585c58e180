"""LiverNet weights as published, in Keras' HDF5 format."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_liverdx.core.errors import ModelFileError
from napari_liverdx.models.architectures.livernet import LiverNet

__all__ = ["livernet_state_from_keras"]


def _within(prefix: str, names: tuple[str | None, ...]) -> list[str | None]:
    return [name and f"{prefix}.{name}" for name in names]


def _pyramids(*names: str | None) -> list[str | None]:
    return [name for i in range(3) for name in _within(f"pyramids.{i}", names)]


def _stages(*names: str | None) -> list[str | None]:
    return [name for i in range(2) for name in _within(f"stages.{i}", names)]


# Per kind of layer, the modules in the order in which Keras numbered its layers. Absolute numbers
# depend on what was built before in the same session, so only differences count. None is a layer
# that was built but not connected: it took a number and is not in the file.
_MODULES: dict[str, list[str | None]] = {
    "conv2d": [
        *_within("stem", ("0.conv", "1.conv")),
        *_stages("widen.conv", "attention.spatial", "reduce.conv", "expand.conv"),
        *_pyramids(
            *("points.0.conv", "points.1.conv", "points.2.conv", None),
            *("dilated.1.conv", "whole.conv", "project.conv"),
        ),
    ],
    "depthwise_conv2d": _pyramids("dilated.0.conv", None, None, None)[:-3],
    "batch_normalization": [
        *_within("stem", ("0.norm", "1.norm")),
        *_stages("widen.norm", "reduce.norm", "expand.norm"),
        *_pyramids(
            *("points.0.norm", None, "points.1.norm", None, "points.2.norm", None, None),
            *("dilated.0.norm", "dilated.1.norm", "whole.norm", "project.norm"),
        ),
        *_within("hidden", ("0.norm", "2.norm")),
    ],
    "dense": [
        *_stages("attention.squeeze", "attention.excite"),
        *("hidden.0.linear", "hidden.2.linear", "head"),
    ],
}

# Per kind of layer, what Keras calls a parameter, what PyTorch does, and the order of axes.
_PARAMETERS: dict[str, dict[str, tuple[str, tuple[int, ...]]]] = {
    "conv2d": {"kernel": ("weight", (3, 2, 0, 1)), "bias": ("bias", (0,))},
    "depthwise_conv2d": {"depthwise_kernel": ("weight", (2, 3, 0, 1))},
    "batch_normalization": {
        "gamma": ("weight", (0,)),
        "beta": ("bias", (0,)),
        "moving_mean": ("running_mean", (0,)),
        "moving_variance": ("running_var", (0,)),
    },
    "dense": {"kernel": ("weight", (1, 0)), "bias": ("bias", (0,))},
}

_LAYER = re.compile(r"(conv2d|depthwise_conv2d|batch_normalization|dense)(?:_(\d+))?")


def livernet_state_from_keras(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read the weights of a `LiverNet` from a file that Keras wrote.

    Parameters
    ----------
    path : path-like
        HDF5 file with the weights, or with the whole model.

    Returns
    -------
    dict of str to Tensor
        Complete state of a `LiverNet` with as many classes as the file has.

    Raises
    ------
    ModelFileError
        If h5py is not installed, or the file is missing, damaged or not of a LiverNet.
    """
    try:
        import h5py
    except ImportError as error:
        raise ModelFileError(
            "reading Keras weights needs h5py: pip install 'napari-liverdx[convert]'"
        ) from error
    try:
        with h5py.File(Path(path), "r") as file:
            return _state(_layers(file, h5py.Group))
    except (OSError, KeyError, RuntimeError) as error:
        raise ModelFileError(f"{path} cannot be read as an HDF5 file: {error}") from error
    except _MismatchError as error:
        raise ModelFileError(f"{path} does not hold LiverNet weights: {error}") from error


class _MismatchError(Exception):
    """What sets the file apart from LiverNet weights."""


def _layers(file: Any, group_type: Any) -> dict[str, dict[str, Any]]:
    """Return the datasets of each layer of interest by the last part of their names."""
    whole_model = file.get("model_weights")
    root = whole_model if isinstance(whole_model, group_type) else file
    layers: dict[str, dict[str, Any]] = {}
    for layer, group in root.items():
        if not (_LAYER.fullmatch(layer) and isinstance(group, group_type)):
            continue
        names: list[str] = []
        group.visit(names.append)
        items = {name.rsplit("/", 1)[-1].partition(":")[0]: group[name] for name in names}
        layers[layer] = {
            name: item for name, item in items.items() if not isinstance(item, group_type)
        }
    return layers


def _state(layers: dict[str, dict[str, Any]]) -> dict[str, Tensor]:
    modules = {module: (kind, layer) for kind in _MODULES for module, layer in _named(layers, kind)}
    head = modules["head"][1]
    bias = layers[head].get("bias")
    if bias is None or not bias.size:
        raise _MismatchError(f"layer {head} has no bias")
    state: dict[str, Tensor] = LiverNet(bias.size).state_dict()
    for module, (kind, layer) in modules.items():
        for keras_name, (name, axes) in _PARAMETERS[kind].items():
            key = f"{module}.{name}"
            found = layers[layer].get(keras_name)
            if found is None and key not in state:
                continue
            if found is None or key not in state:
                has = "has no" if found is None else "has an unexpected"
                raise _MismatchError(f"layer {layer} {has} {keras_name}")
            state[key] = _converted(found, axes, state[key], f"{keras_name} of layer {layer}")
    return state


def _converted(found: Any, axes: tuple[int, ...], like: Tensor, what: str) -> Tensor:
    sizes = dict(zip(axes, like.shape, strict=True))
    expected = tuple(sizes[axis] for axis in range(len(axes)))
    if found.shape != expected:
        raise _MismatchError(f"{what} has shape {found.shape}, not {expected}")
    if found.dtype.kind != "f":
        raise _MismatchError(f"{what} has type {found.dtype}, not float")
    return torch.from_numpy(found[()].transpose(axes).astype("float32", order="C"))


def _named(layers: Iterable[str], kind: str) -> Iterator[tuple[str, str]]:
    """Return pairs of module and layer name for one kind of layer."""
    numbers = {
        int(match[2] or 0): layer
        for layer in layers
        if (match := _LAYER.fullmatch(layer)) and match[1] == kind
    }
    if not numbers:
        raise _MismatchError(f"it has no {kind} layer")
    first = min(numbers)
    modules = {first + i: module for i, module in enumerate(_MODULES[kind]) if module}
    if missing := sorted(modules.keys() - numbers.keys()):
        names = ", ".join(f"{kind}_{number}" for number in missing)
        raise _MismatchError(f"counted from {numbers[first]}, it lacks {names}")
    if extra := sorted(numbers.keys() - modules.keys()):
        names = ", ".join(numbers[number] for number in extra)
        raise _MismatchError(f"counted from {numbers[first]}, it should not have {names}")
    for number, module in modules.items():
        yield module, numbers[number]
