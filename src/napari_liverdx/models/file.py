"""A model in one safetensors file, its card in the header."""

from __future__ import annotations

import copy
import hashlib
import json
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from napari_liverdx._files import atomic_write
from napari_liverdx.core.errors import ModelFileError, storage_errors
from napari_liverdx.models.architectures.base import TileModel
from napari_liverdx.models.architectures.registry import ARCHITECTURES, build_model
from napari_liverdx.models.card import ModelCard
from napari_liverdx.models.conformal import stored_scores
from napari_liverdx.models.ood import ood_scorer
from napari_liverdx.models.soundness import (
    BESIDE_WEIGHTS,
    bytes_per_tile,
    check_outputs,
    check_tensors,
    check_values,
    without_memory,
)

__all__ = [
    "LoadedModel",
    "file_sha256",
    "fill_network",
    "load_model_file",
    "read_card",
    "rewrite_model_file",
    "save_model_file",
    "writing_model",
]

_CARD_KEY = "liverdx.card"
_MAX_HEADER = 16 * 2**20
"""Bytes; a header that lists thousands of tensors and 100,000 tiles of training is smaller."""

_TOLD = 300
"""Characters of a card's fault that a message shows."""

_COPYING, _REMEMBERING = threading.Lock(), threading.Lock()
_SHADOWS: dict[tuple[object, str], tuple[TileModel | None, int]] = {}
_REMEMBERED = 16
"""Networks without memory that are kept: to build one takes longer than to read most files."""


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """A model ready to run.

    Attributes
    ----------
    card : ModelCard
    network : TileModel
        In evaluation mode, float32, on the CPU; it is never moved, see `network_on`.
    sha256 : str
        Of the file.
    path : Path
    statistics : mapping of str to Tensor
        What stands beside the weights; see `models.ood`.
    tile_bytes : int
        What the network needs for one tile, about; 0 where that is not known.
    """

    card: ModelCard
    network: TileModel
    sha256: str
    path: Path
    statistics: Mapping[str, Tensor] = field(default_factory=dict)
    tile_bytes: int = 0
    _copies: dict[torch.device, TileModel] = field(default_factory=dict, init=False, repr=False)

    def network_on(self, device: torch.device) -> TileModel:
        """Return the network where it is to run; neither move nor train it.

        Several threads may use one model, on different devices: each device has a network of its
        own, made once, and on the CPU it is `network` itself. Convolutions run fastest on
        channels-last weights.
        """
        with _COPYING:
            if device.type == "cpu":
                return self.network.to(memory_format=torch.channels_last)
            if device not in self._copies:
                copied = copy.deepcopy(self.network).eval()
                self._copies[device] = copied.to(device).to(memory_format=torch.channels_last)
            return self._copies[device]

    def probabilities(self, scores: Tensor) -> Tensor:
        """Compute calibrated probabilities from the network's scores; classes on axis 1."""
        if self.card.output == "probabilities":
            return scores
        return torch.softmax(scores.float() / self.card.temperature, dim=1)


def save_model_file(path: Path, network: nn.Module, card: ModelCard, *, half: bool = True) -> None:
    """Write weights and card; the file appears whole or not at all.

    Parameters
    ----------
    path : Path
        Ends in ``.safetensors``.
    network : Module
        The network.
    card : ModelCard
        Card of the model.
    half : bool
        Store floating-point weights as fp16.
    """
    tensors = {
        name: (tensor.detach().half() if half and tensor.is_floating_point() else tensor.detach())
        .cpu()
        .contiguous()
        for name, tensor in network.state_dict().items()
    }
    _write(path, tensors, card)


def rewrite_model_file(
    path: Path, card: ModelCard, statistics: Mapping[str, Tensor], out: Path
) -> None:
    """Write a model file's weights, bit for bit, with another card and other statistics.

    Parameters
    ----------
    path : Path
        The model file to take the weights from.
    card : ModelCard
        The new card.
    statistics : mapping of str to Tensor
        Instead of those in the file; see `models.ood`.
    out : Path
        File to write; may be ``path``.

    Raises
    ------
    ModelFileError
        If the weights are damaged.
    """
    _, tensors = _load(path)
    weights = {k: v for k, v in tensors.items() if not k.startswith(BESIDE_WEIGHTS)}
    beside = {k: v.half().contiguous() for k, v in statistics.items()}
    _write(out, {**weights, **beside}, card)


@contextmanager
def writing_model(path: Path) -> Iterator[Path]:
    """Yield a model file to write in several steps; it takes the place of ``path`` at the end.

    Raises
    ------
    ResultError, StorageFullError
        If it cannot be written, or the disk is full.
    """
    with (
        storage_errors(path, "what was there before is kept"),
        atomic_write(path, make_folder=True) as partial,
    ):
        yield partial


def _write(path: Path, tensors: dict[str, Tensor], card: ModelCard) -> None:
    data = save_tensors(tensors, metadata={_CARD_KEY: card.model_dump_json(exclude_defaults=True)})
    with writing_model(path) as partial:
        partial.write_bytes(data)


def read_card(path: Path) -> ModelCard:
    """Read the card alone, without the weights.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, or not a model of this program.
    """
    return _card_from_header(_read_header(path), path)


def _read_header(path: Path) -> dict[str, object]:
    try:
        with path.open("rb") as file:
            start = file.read(8)
            if start[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK"):
                raise ModelFileError(
                    f"{path}: this is a pickle (.pt, .pth), which can run code when opened and "
                    "is not accepted; save the model with 'liverdx train' or as safetensors"
                )
            (length,) = struct.unpack("<Q", start.ljust(8, b"\0"))
            if len(start) < 8 or not 2 <= length <= _MAX_HEADER:
                raise ModelFileError(_not_a_model(path))
            header = json.loads(file.read(length))
    except OSError as error:
        raise ModelFileError(f"{path}: the model file cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(_not_a_model(path)) from error
    if not isinstance(header, dict):
        raise ModelFileError(_not_a_model(path))
    return header


def _not_a_model(path: Path) -> str:
    return f"{path}: damaged, or not a safetensors file; copy it again from its source"


def _card_from_header(header: dict[str, object], path: Path) -> ModelCard:
    metadata = header.get("__metadata__")
    text = metadata.get(_CARD_KEY) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise ModelFileError(
            f"{path}: a safetensors file without a napari-liverdx model card; it comes from "
            "another program and cannot be used"
        )
    try:
        card = ModelCard.model_validate_json(text)
        stored_scores(card)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))[:_TOLD] or "card"
        raise ModelFileError(
            f"{path}: the model card is not valid at {where}: {first['msg'][:_TOLD]}"
        ) from error
    return card


def load_model_file(path: Path) -> LoadedModel:
    """Read weights and card, and build the network.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, a pickle, from another program, or its weights do not
        fit its architecture.
    """
    card = read_card(path)
    if card.slide is not None:
        raise ModelFileError(
            f"{path}: a slide-level model for the tile model {card.slide.tile_model!r}, not a tile "
            "model; give it with --mil-model"
        )
    shadow, tile_bytes = _shadow(path, card)
    if shadow is not None:
        check_tensors(path, shadow, card.architecture)
    network = _build(card)
    sha256 = fill_network(path, network, card.architecture)
    if card.subtiles == 1:
        network.disable_subtiles()
    if network.subtiles != card.subtiles:
        raise ModelFileError(
            f"{path}: the card says {card.subtiles} subtiles along a tile, the network gives "
            f"{network.subtiles}; the file is inconsistent"
        )
    n = card.normalization
    network.set_normalization(n.mean, n.std, n.channel_order)
    network.eval()
    with safe_open(path, "pt") as stored:
        names = list(stored.keys())
        beside = {k: stored.get_tensor(k) for k in names if k.startswith(BESIDE_WEIGHTS)}
    check_values(path, nn.Module(), beside)
    model = LoadedModel(card, network, sha256, path, beside, tile_bytes)
    _try_out(model)
    return model


def _shadow(path: Path, card: ModelCard) -> tuple[TileModel | None, int]:
    """Return the network without memory, and what it takes for a tile; the last are remembered."""
    made_of = [card.architecture, len(card.classes), card.arguments, card.tile_size]
    key = (ARCHITECTURES.get(card.architecture), json.dumps(made_of, sort_keys=True))
    known = _SHADOWS.get(key)
    if known is None:
        network = without_memory(lambda: _build(card))
        known = network, 0 if network is None else bytes_per_tile(path, network, card)
        with _REMEMBERING:
            _SHADOWS[key] = known
            while len(_SHADOWS) > _REMEMBERED:
                del _SHADOWS[next(iter(_SHADOWS))]
    return known


def _build(card: ModelCard) -> TileModel:
    return build_model(card.architecture, len(card.classes), card.arguments, card.tile_size)


@torch.inference_mode()
def _try_out(model: LoadedModel) -> None:
    """Judge one plain tile, so that a network that cannot is refused before a run."""
    side = model.card.tile_size
    tile = torch.full((1, 3, side, side), 200, dtype=torch.uint8)
    problems = (TypeError, ValueError, ArithmeticError, RuntimeError, LookupError, AttributeError)
    distance = None
    try:
        scorer = ood_scorer(model.card, model.statistics)
        if scorer is None:
            output = model.network(tile)
        else:
            output, distance = scorer(model.network, tile)
    except problems as error:
        raise ModelFileError(
            f"{model.path}: the network cannot judge a tile of {side} × {side} px "
            f"({str(error)[:_TOLD]}); the file is inconsistent"
        ) from error
    check_outputs(model.path, model.card, output, model.probabilities(output.scores))
    if distance is not None and not bool(distance.isfinite().all()):
        raise ModelFileError(
            f"{model.path}: the statistics of the training data give no finite distance; the file "
            "is damaged, copy it again from its source"
        )


def _load(path: Path) -> tuple[bytes, dict[str, Tensor]]:
    try:
        data = path.read_bytes()
        return data, load_tensors(data)
    except (OSError, SafetensorError) as error:
        raise ModelFileError(
            f"{path}: the weights are damaged or cut off ({error}); copy the file again from its "
            "source"
        ) from error


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a model file, by which its results know it.

    Raises
    ------
    ModelFileError
        If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelFileError(f"{path}: the model file cannot be read ({error.strerror})") from error


def fill_network(path: Path, network: nn.Module, architecture: str) -> str:
    """Load the weights in a file into a network; returns the file's SHA-256.

    Raises
    ------
    ModelFileError
        If the weights are damaged, do not fit, or are not finite.
    """
    data, tensors = _load(path)
    weights = {k: v for k, v in tensors.items() if not k.startswith(BESIDE_WEIGHTS)}
    try:
        network.load_state_dict(
            {k: v.float() if v.is_floating_point() else v for k, v in weights.items()}
        )
    except RuntimeError as error:
        raise ModelFileError(
            f"{path}: the weights do not fit the architecture {architecture!r} "
            f"({str(error).splitlines()[-1].strip()})"
        ) from error
    check_values(path, network, {})
    return hashlib.sha256(data).hexdigest()
