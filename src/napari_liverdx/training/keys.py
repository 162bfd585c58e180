"""By what interrupted work is known again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_liverdx import _v010
from napari_liverdx._ids import digest
from napari_liverdx.models.architectures.base import TileModel
from napari_liverdx.training.config import TrainConfig
from napari_liverdx.training.data._all import TileDataset

__all__ = ["Key", "run_key", "sample_facts"]


@dataclass(frozen=True, slots=True)
class Key:
    """The identity of a piece of work, today's and that of 0.1.0.

    Attributes
    ----------
    id : str
        What new files carry.
    former : str
        What 0.1.0 gave the same work; such files are resumed.
    """

    id: str = ""
    former: str = ""

    def is_of(self, stored: str) -> bool:
        """Return whether what is stored under a key is of this work."""
        return stored in (self.id, self.former) and bool(stored)


def sample_facts(samples: TileDataset) -> dict[str, Any]:
    """Return what of samples makes the identity of work on them."""
    return {"names": samples.names, "labels": samples.labels, "groups": samples.groups}


def run_key(
    network: TileModel,
    samples: TileDataset,
    train: NDArray[np.intp],
    val: NDArray[np.intp],
    size: int,
    config: TrainConfig,
    processes: int,
) -> Key:
    """Return what a checkpoint must agree on to be resumed.

    Parameters
    ----------
    network : TileModel
        As training starts.
    samples : TileDataset
        The labeled pictures.
    train, val : ndarray of int
        Which samples to learn from and to validate on.
    size : int
        Side of the tiles in pixels.
    config : TrainConfig
        Settings by their names in a recipe; those that are at their defaults do not count, so
        that a setting that is added later makes no checkpoint void.
    processes : int
        How many train together.
    """
    state = network.state_dict()
    weights = [tensor.detach().cpu().numpy() for tensor in state.values()]
    facts = {
        "settings": config.model_dump(mode="json", exclude_defaults=True),
        "size": size,
        "samples": sample_facts(samples),
        "parts": (train, val),
        "processes": processes,
        "network": network.made_of,
        "weights": [
            (name, w.shape, hashlib.sha256(w.tobytes()).hexdigest())
            for name, w in zip(state, weights, strict=True)
        ],
    }
    former = _v010.run_key(
        config.model_dump(),
        size,
        (list(samples.names), samples.labels.tolist()),
        (train.tolist(), val.tolist()),
        processes,
        _v010.module_text(network),
        [w.tobytes() for w in weights],
    )
    return Key(digest({"training": facts}), former)
