"""Pictures, and tables of them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_liverdx.training.data.base import TileDataset


def jpeg(picture: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """The picture as it comes back from a JPEG file."""
    stored = io.BytesIO()
    Image.fromarray(picture).save(stored, "JPEG", quality=quality)
    return np.asarray(Image.open(stored).convert("RGB"))


def add_picture(folder: Path, name: str, picture: NDArray[np.uint8], row: str) -> None:
    """One more picture in the table."""
    Image.fromarray(picture).save(folder / name)
    with (folder / "tiles.csv").open("a") as file:
        file.write(f"{name},{row}\n")


def parts_of(samples: TileDataset) -> dict[str, NDArray[np.intp]]:
    return {name: np.flatnonzero(samples.splits == name) for name in ("train", "val", "test")}


COLUMNS = {"path": "file", "label": "diagnosis", "group": "patient", "split": "part"}


def noise(size: int = 224, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (size, size, 3), dtype=np.uint8)
