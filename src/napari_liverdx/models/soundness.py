"""Whether a model file can be what it claims, told before any of it is allocated.

Its network is built without memory, on torch's meta device: so it has names and shapes, which the
tensors in the file must have too, and tells what it needs to judge a tile.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from napari_liverdx.core.errors import ModelFileError
from napari_liverdx.models.architectures.base import TileModel, TileOutput
from napari_liverdx.models.card import ModelCard

__all__ = [
    "BESIDE_WEIGHTS",
    "MOST_TILE_BYTES",
    "are_probabilities",
    "bytes_per_tile",
    "check_outputs",
    "check_tensors",
    "check_values",
    "without_memory",
]

BESIDE_WEIGHTS = "domain."
"""Tensors under this prefix are statistics, not weights."""

MOST_TILE_BYTES = 400 * 2**20
"""What maps of one tile may take at once, by `bytes_per_tile`; in truth it is a third more."""

_SLACK = 2e-3
"""Half precision adds up to 1 within this."""

N = TypeVar("N", bound=nn.Module)


def without_memory(build: Callable[[], N]) -> N | None:
    """Return the network that ``build`` makes, without memory for its weights.

    None where it cannot be built so: that of another package may look at its weights.

    Raises
    ------
    ModelFileError
        If the network cannot be built at all.
    """
    try:
        with torch.device("meta"):
            return build().eval()
    except (ModelFileError, RuntimeError) as error:
        cause = error.__cause__ if isinstance(error, ModelFileError) else error
        if isinstance(cause, NotImplementedError) or "meta" in str(cause):
            return None
        raise


def check_tensors(path: Path, network: nn.Module, architecture: str) -> None:
    """Compare the tensors that a file lists with those of a network; none of them is read.

    Parameters
    ----------
    path : Path
        The model file.
    network : Module
        From `without_memory`.
    architecture : str
        Named in the message.

    Raises
    ------
    ModelFileError
        If they differ, or the file is cut off.
    """
    try:
        with safe_open(path, "pt") as stored:
            found = {
                name: tuple(stored.get_slice(name).get_shape())
                for name in stored.keys()  # noqa: SIM118 - it is no mapping
                if not name.startswith(BESIDE_WEIGHTS)
            }
    except (OSError, SafetensorError) as error:
        raise ModelFileError(
            f"{path}: the weights are damaged or cut off ({error}); copy the file again from its "
            "source"
        ) from error
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    wrong = [_difference(n, found.get(n), s) for n, s in wanted.items() if found.get(n) != s]
    wrong += [f"{name!r} belongs to no part of it" for name in found.keys() - wanted.keys()]
    if wrong:
        raise ModelFileError(
            f"{path}: the weights do not fit the architecture {architecture!r} ({wrong[0]}); the "
            "file is inconsistent"
        )


def _difference(name: str, found: tuple[int, ...] | None, wanted: tuple[int, ...]) -> str:
    if found is None:
        return f"{name!r} is missing"
    return f"{name!r} has the shape {list(found)} in place of {list(wanted)}"


def check_values(path: Path, network: nn.Module, beside: Mapping[str, Tensor]) -> None:
    """Make sure that weights and statistics are numbers that can be computed with.

    Raises
    ------
    ModelFileError
        If one is not finite, or a variance is negative.
    """
    tensors = {**dict(network.state_dict()), **beside}
    bad = [k for k, v in tensors.items() if v.is_floating_point() and not v.isfinite().all()]
    if bad:
        raise ModelFileError(
            f"{path}: the weights hold values that are not finite numbers ({bad[0]}); copy the "
            "file again from its source"
        )
    for name, module in network.named_modules():
        if not isinstance(module, _BatchNorm) or module.running_var is None:
            continue
        if float(module.running_var.min()) < 0:
            raise ModelFileError(
                f"{path}: the weights hold a negative variance ({name}.running_var); copy the file "
                "again from its source"
            )


@dataclass(slots=True)
class _Live:
    """Bytes of the tensors that exist now, and at most."""

    now: int = 0
    most: int = 0


class _Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the storage of what is computed while it lives."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = _Live()
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if not isinstance(tensor, Tensor):
                continue
            storage = tensor.untyped_storage()
            key = storage._cdata
            if key not in self._known:
                self._known.add(key)
                self.live.now += storage.nbytes()
                weakref.finalize(storage, self._forget, key, storage.nbytes())
        self.live.most = max(self.live.most, self.live.now)
        return out

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live.now -= size


def bytes_per_tile(path: Path, network: TileModel, card: ModelCard) -> int:
    """Return what the maps of one tile take at once while it is classified.

    Parameters
    ----------
    path : Path
        Named in the message.
    network : TileModel
        From `without_memory`.
    card : ModelCard
        Its card.

    Raises
    ------
    ModelFileError
        If that is beyond `MOST_TILE_BYTES`, or the network does not take such tiles.
    """
    side = card.tile_size
    try:
        with torch.inference_mode(), _Counting() as counting:
            network(torch.zeros((1, 3, side, side), dtype=torch.uint8, device="meta"))
    except NotImplementedError:
        return 0
    except (TypeError, ValueError, ArithmeticError, RuntimeError, LookupError) as error:
        raise ModelFileError(
            f"{path}: the network does not take tiles of {side} × {side} px ({_short(error)}); the "
            "file is inconsistent"
        ) from error
    most: int = counting.live.most
    if most > MOST_TILE_BYTES:
        raise ModelFileError(
            f"{path}: one tile of {side} × {side} px takes {most / 2**30:.1f} GiB of "
            f"memory, more than {MOST_TILE_BYTES / 2**30:.2f} GiB; use a model of smaller tiles"
        )
    return most


def check_outputs(path: Path, card: ModelCard, output: TileOutput, probabilities: Tensor) -> None:
    """Make sure that a network says of a tile what its card promises.

    Parameters
    ----------
    path : Path
        Named in the message.
    card : ModelCard
        The card.
    output : TileOutput
        Of one tile.
    probabilities : Tensor, shape (1, classes), float
        What follows from its scores.

    Raises
    ------
    ModelFileError
        If it does not.
    """
    n, k = len(card.classes), card.subtiles
    if tuple(output.scores.shape) != (1, n) or output.embedding.ndim != 2:
        raise ModelFileError(
            f"{path}: the network gives scores of the shape {list(output.scores.shape)}, the card "
            f"names {n} classes; the file is inconsistent"
        )
    dense = output.subtile_scores
    if dense is not None and tuple(dense.shape) != (1, n, k, k):
        raise ModelFileError(
            f"{path}: the network gives a map of the shape {list(dense.shape)} of a tile, the card "
            f"names {n} classes and {k} subtiles along its side; the file is inconsistent"
        )
    if not are_probabilities(probabilities):
        raise ModelFileError(
            f"{path}: what the network says of a plain tile is no probability "
            f"({[round(float(p), 4) for p in probabilities[0, :4]]}); the weights are damaged, or "
            "the card is wrong in what the network gives; copy the file again from its source"
        )


def are_probabilities(values: Tensor) -> bool:
    """Return whether all values are finite, and those of the classes (axis 1) add up to 1."""
    if not values.numel():
        return True
    total = values.sum(dim=1)
    # A comparison with NaN is false.
    return bool(values.min() >= -_SLACK) and bool(((total - 1).abs() <= _SLACK).all())


def _short(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
