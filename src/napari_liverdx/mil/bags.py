"""Slides as bags: the embeddings of their tiles on the tile grid, with what labels there are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_liverdx._files import atomic_write, safe_name
from napari_liverdx.core.errors import DataError
from napari_liverdx.results.store import ResultStore, TileState

__all__ = [
    "SUFFIX",
    "UNKNOWN",
    "Bag",
    "bag_of_result",
    "load_bag",
    "load_bags",
    "save_bag",
    "tile_logits",
]

UNKNOWN = -1
"""Label of a tile or slide that has none."""

_MOST_BYTES = 2**30
SUFFIX = ".bag.npz"
"""Of the file of a bag."""

_RARE = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Bag:
    """One slide for a slide-level model to learn from.

    Attributes
    ----------
    name, group : str
        The slide and its patient; a group never stands on both sides of a split.
    embeddings : ndarray of float32, shape (features, rows, columns)
        Zero where no tile exists.
    logits : ndarray of float32, shape (classes, rows, columns)
        Logarithms of the tile model's calibrated probabilities.
    mask : ndarray of bool, shape (rows, columns)
        True where a tile exists; at least one.
    tile_labels : ndarray of int, shape (rows, columns)
        Class of the tile model, or `UNKNOWN`.
    slide_label : int
        Index into the slide classes, or `UNKNOWN`.
    tile_model, tile_sha256 : str
        What made the embeddings.
    overlap : float
        Share that neighboring tiles have in common.

    Raises
    ------
    DataError
        If the arrays do not fit each other or hold no tile.
    """

    name: str
    group: str
    embeddings: NDArray[np.float32]
    logits: NDArray[np.float32]
    mask: NDArray[np.bool_]
    tile_labels: NDArray[np.intp]
    slide_label: int = UNKNOWN
    tile_model: str = ""
    tile_sha256: str = ""
    overlap: float = 0.0

    def __post_init__(self) -> None:
        shapes = (self.embeddings.shape[1:], self.logits.shape[1:], self.tile_labels.shape)
        if self.mask.ndim != 2 or any(s != self.mask.shape for s in shapes):
            raise DataError(f"bag {self.name!r}: its arrays do not stand on one grid of tiles")
        if not self.mask.any():
            raise DataError(f"bag {self.name!r}: holds no tile")

    def __len__(self) -> int:
        return int(self.mask.sum())


def tile_logits(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return logits that give these probabilities again; classes on the first axis."""
    return np.log(np.maximum(probabilities, _RARE)).astype(np.float32)


def bag_of_result(store: ResultStore, *, group: str = "", slide_label: int = UNKNOWN) -> Bag:
    """Return the bag of a result whose embeddings were kept; its tiles have no labels.

    Raises
    ------
    ResultError
        If no embeddings were kept.
    DataError
        If no tile is done.
    """
    embeddings = store.embeddings()
    mask = (store.state == TileState.DONE) & np.isfinite(embeddings[0])
    manifest = store.manifest
    return Bag(
        manifest.slide_name,
        group or manifest.slide_name,
        np.where(mask, embeddings, 0).astype(np.float32),
        tile_logits(store.tile_probabilities) * mask,
        mask,
        np.full(mask.shape, UNKNOWN, np.intp),
        slide_label,
        manifest.model_name,
        manifest.model_sha256,
        manifest.overlap,
    )


# -- storage --


def save_bag(folder: Path, bag: Bag) -> Path:
    """Write a bag; the file appears whole or not at all. Embeddings become half precision.

    Raises
    ------
    DataError
        If it cannot be written.
    """
    path = folder / (safe_name(bag.name) + SUFFIX)
    limit = np.finfo(np.float16).max
    try:
        with atomic_write(path, make_folder=True) as partial, partial.open("wb") as file:
            np.savez_compressed(
                file,
                embeddings=bag.embeddings.clip(-limit, limit).astype(np.float16),
                logits=bag.logits,
                mask=bag.mask,
                tile_labels=bag.tile_labels.astype(np.int16),
                slide_label=np.array(bag.slide_label),
                overlap=np.array(bag.overlap),
                texts=np.array([bag.name, bag.group, bag.tile_model, bag.tile_sha256]),
            )
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error})") from error
    return path


def load_bag(path: Path) -> Bag:
    """Read a bag.

    Raises
    ------
    DataError
        If the file is missing, damaged or not a bag.
    """
    try:
        # A damaged archive leaves a file open that NumPy itself opened.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            if sum(part.file_size for part in stored.zip.infolist()) > _MOST_BYTES:
                raise ValueError("it unpacks to more than any slide's tiles")
            name, group, model, sha256 = (str(t) for t in stored["texts"])
            return Bag(
                name,
                group,
                stored["embeddings"].astype(np.float32),
                stored["logits"].astype(np.float32),
                stored["mask"].astype(np.bool_),
                stored["tile_labels"].astype(np.intp),
                int(stored["slide_label"]),
                model,
                sha256,
                float(stored["overlap"]),
            )
    # What a damaged archive and NumPy's headers in it raise has no common base but Exception.
    except Exception as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{path}: not a bag of tiles, or damaged ({error}); remove it and run "
            "'liverdx mil extract' again"
        ) from error


def load_bags(folder: Path) -> list[Bag]:
    """Load all bags in a folder, by name; they must come from one tile model.

    Raises
    ------
    DataError
        If there are none, one is damaged, or they come from several tile models or overlaps.
    """
    paths = sorted(p for p in folder.glob(f"*{SUFFIX}") if not p.name.startswith("partial-"))
    if not paths:
        raise DataError(f"{folder}: no bags of tiles (*{SUFFIX}); run 'liverdx mil extract'")
    bags = [load_bag(p) for p in paths]
    first = bags[0]
    for bag in bags:
        same = (bag.tile_sha256, bag.overlap, len(bag.embeddings), len(bag.logits))
        if same != (first.tile_sha256, first.overlap, len(first.embeddings), len(first.logits)):
            raise DataError(
                f"{folder}: {first.name} and {bag.name} come from different tile models or "
                "overlaps; keep each in a folder of its own"
            )
    return bags
