"""What samples are: labeled pictures to learn from and to test on."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_liverdx.core.errors import DataError

__all__ = [
    "IMAGES",
    "SPLITS",
    "Example",
    "TileDataset",
    "class_order",
    "column_names",
    "matched",
    "opened_picture",
    "read_rgb",
    "split_name",
]

_MOST_PIXELS = 64_000_000
"""A picture is held whole, and copied while it is converted."""

IMAGES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}
SPLITS = ("train", "val", "test")

_SPELLINGS = {
    "train": "train",
    "training": "train",
    "trn": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
    "holdout": "test",
    "": "",
}


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One tile to learn from.

    Attributes
    ----------
    tile : ndarray of uint8, shape (size, size, 3)
    target : ndarray of float32, shape (classes,)
        Target distribution of the tile.
    subtiles : ndarray of float32, shape (classes, k, k), or None
        Target distributions of the subtiles; None where only the tile is labeled.
    attributes : ndarray of float32, shape (attributes,), or None
        1 or 0 for each yes-or-no property, NaN where it is not known.
    """

    tile: NDArray[np.uint8]
    target: NDArray[np.float32]
    subtiles: NDArray[np.float32] | None
    attributes: NDArray[np.float32] | None = None


class TileDataset(ABC):
    """A set of labeled pictures.

    Attributes
    ----------
    names : list of str
    classes : tuple of str
        Names of the classes, in the order of the labels.
    groups : ndarray of str
        Patient or slide of each; never split across training and test.
    sources : ndarray of str
        Laboratory or scanner.
    labels : ndarray of int
        Class of each whole picture, for stratified splitting and balanced drawing.
    notes : tuple of str
        What was left out or assumed when the data were read.
    """

    names: list[str]
    classes: tuple[str, ...] = ()
    groups: NDArray[np.str_]
    sources: NDArray[np.str_]
    labels: NDArray[np.intp]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def splits(self) -> NDArray[np.str_]:
        """``"train"``, ``"val"`` or ``"test"`` as the data state it; empty where they do not."""
        return np.full(len(self), "", dtype="<U5")

    @cached_property
    def sizes(self) -> NDArray[np.intp]:
        """Width and height of each whole picture in pixels, shape (n, 2)."""
        return np.array([self.picture(i).shape[1::-1] for i in range(len(self))]).reshape(-1, 2)

    @abstractmethod
    def picture(self, index: int) -> NDArray[np.uint8]:
        """Return picture ``index`` as it is, RGB, shape (h, w, 3); do not write to it."""

    @abstractmethod
    def sample_train(
        self, index: int, size: int, subtiles: int, rng: np.random.Generator
    ) -> Example:
        """Return a random tile of ``size`` pixels from picture ``index``."""

    @abstractmethod
    def eval_tiles(self, index: int, size: int, subtiles: int) -> list[Example]:
        """Return the tiles on which picture ``index`` is tested, always the same."""


def split_name(text: str, where: str) -> str:
    """Return ``"train"``, ``"val"``, ``"test"`` or empty, from the usual spellings.

    Raises
    ------
    DataError
        If it is none of them.
    """
    try:
        return _SPELLINGS[text.strip().lower()]
    except KeyError:
        raise DataError(f"{where}: split {text!r} is unknown; use train, val or test") from None


def class_order(
    found: Iterable[str], classes: Sequence[str], labels: Mapping[str, str] | None, where: Path
) -> tuple[tuple[str, ...], dict[str, int | None]]:
    """Return the classes in order, and the class number of every name found in the data.

    Parameters
    ----------
    found : iterable of str
        Names as the data have them.
    classes : sequence of str
        Names of the classes; empty to take those found, in their order.
    labels : mapping of str to str, optional
        From a name in the data to a class; to the empty string to leave it out.
    where : Path
        Named in errors.

    Raises
    ------
    DataError
        If a name is no class, or there are fewer than two classes.
    """
    labels = labels or {}
    meant = {name: labels.get(name, name) for name in found}
    order = tuple(classes) or tuple(dict.fromkeys(v for v in meant.values() if v))
    if len(order) < 2:
        raise DataError(f"{where}: at least two classes are needed, found {', '.join(order)!r}")
    unknown = [k for k, v in meant.items() if v and v not in order]
    if unknown:
        raise DataError(
            f"{where}: class {unknown[0]!r} is none of {', '.join(order)}; name it in the recipe "
            f"under [data.labels], as {unknown[0]!r} = {order[0]!r}, or = '' to leave it out"
        )
    return order, {k: order.index(v) if v else None for k, v in meant.items()}


def column_names(columns: Mapping[str, str] | None, allowed: Sequence[str]) -> dict[str, str]:
    """Return what each column is called in a table: its own name unless ``columns`` says otherwise.

    Raises
    ------
    DataError
        If ``columns`` names something no table has.
    """
    unknown = set(columns or {}) - set(allowed)
    if unknown:
        raise DataError(f"[data.columns]: {min(unknown)!r} is unknown; use {', '.join(allowed)}")
    return {name: (columns or {}).get(name, name) for name in allowed}


def matched(name: str, pattern: str | None, what: str, where: Path | str) -> tuple[str, ...]:
    """Match ``pattern`` in ``name``: its groups, or the whole match; nothing without a pattern.

    Raises
    ------
    DataError
        If the pattern is no regular expression or does not match.
    """
    if pattern is None:
        return ()
    try:
        match = re.search(pattern, name)
    except re.error as error:
        raise DataError(f"{what} {pattern!r} is no regular expression ({error})") from error
    if match is None:
        raise DataError(f"{where}: the {what} {pattern!r} does not match")
    return tuple(g or "" for g in match.groups()) or (match.group(),)


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Read a whole picture, RGB, shape (h, w, 3).

    Raises
    ------
    DataError
        If it cannot be read.
    """
    with opened_picture(path) as image:
        return np.asarray(image.convert("RGB"))


@contextmanager
def opened_picture(path: Path, what: str = "image") -> Iterator[Image.Image]:
    """Open a picture for a while; its pixels are read by who asks for them.

    Parameters
    ----------
    path : Path
        The file.
    what : str
        What it is called in errors.

    Raises
    ------
    DataError
        If it cannot be read, there or where it is used, or is as large as a slide.
    """
    try:
        with Image.open(path) as image:
            if image.width * image.height > _MOST_PIXELS:
                raise DataError(
                    f"{path}: the {what} has {image.width} × {image.height} px; cut it into tiles, "
                    "or learn from it as a slide"
                )
            yield image
    except DataError:
        raise
    # What a damaged picture raises has no common base but Exception.
    except Exception as error:
        raise DataError(f"{path}: the {what} is damaged ({error})") from error
