"""Labelled pictures to learn from and to test on."""

from __future__ import annotations

import csv
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from napari_liverdx.core.errors import DataError

__all__ = ["Example", "FolderSamples", "LabelRule", "MaskedSamples", "Samples"]

_NARROWEST_BLANK = 40
_IMAGES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One tile to learn from.

    Attributes
    ----------
    tile : ndarray of uint8, shape (size, size, 3)
    target : ndarray of float32, shape (classes,)
        Target distribution of the tile.
    cells : ndarray of float32, shape (classes, k, k), or None
        Target distributions of the cells; None where only the tile is labelled.
    """

    tile: NDArray[np.uint8]
    target: NDArray[np.float32]
    cells: NDArray[np.float32] | None


class Samples(ABC):
    """A set of labelled pictures.

    Attributes
    ----------
    names : list of str
    groups : ndarray of str
        Patient or slide of each; never split across training and test.
    sources : ndarray of str
        Laboratory or scanner.
    labels : ndarray of int
        Class of each whole picture, for stratified splitting and balanced drawing.
    """

    names: list[str]
    groups: NDArray[np.str_]
    sources: NDArray[np.str_]
    labels: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.names)

    @abstractmethod
    def draw(self, index: int, size: int, cells: int, rng: np.random.Generator) -> Example:
        """A random tile of ``size`` pixels from picture ``index``."""

    @abstractmethod
    def fixed(self, index: int, size: int, cells: int) -> list[Example]:
        """The tiles on which picture ``index`` is tested, always the same."""


@dataclass(frozen=True, slots=True)
class LabelRule:
    """How masks of fat become classes (background, liver, fat).

    Between ``low`` and ``high`` the target passes linearly from one class to the other, so that
    borderline fields teach that they are borderline.

    Attributes
    ----------
    tile_low, tile_high : float
        Fat as a share of the tissue in a tile.
    cell_low, cell_high : float
        Fat as a share of the tissue in a cell.
    blank_low, blank_high : float
        Share of glass or empty lumen; a half-blank tile is background.
    """

    tile_low: float = 0.005
    tile_high: float = 0.02
    cell_low: float = 0.005
    cell_high: float = 0.04
    blank_low: float = 0.4
    blank_high: float = 0.6

    def targets(
        self, blank: NDArray[np.float32], fat: NDArray[np.float32], *, cell: bool
    ) -> NDArray[np.float32]:
        """Target distributions from area fractions.

        Parameters
        ----------
        blank, fat : ndarray of float32, any shape
            Fractions of the area; vacuoles of fat are not blank.
        cell : bool
            Use the limits for cells.

        Returns
        -------
        ndarray of float32, shape (3, ...)
        """
        low, high = (self.cell_low, self.cell_high) if cell else (self.tile_low, self.tile_high)
        share = fat / np.maximum(1 - blank, 0.05)
        background = _ramp(blank, self.blank_low, self.blank_high)
        fatty = _ramp(share, low, high)
        return np.stack(
            [background, (1 - background) * (1 - fatty), (1 - background) * fatty]
        ).astype(np.float32)


def _ramp(value: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    return np.clip((value - low) / (high - low), 0, 1).astype(np.float32)


def blank_pixels(image: NDArray[np.uint8], fat: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Glass and the empty lumen of vessels: bright, colourless, wide, and not fat.

    Gaps narrower than `_NARROWEST_BLANK` pixels, such as sinusoids and the meshes of frayed
    connective tissue, belong to the tissue.

    Parameters
    ----------
    image : ndarray of uint8, shape (h, w, 3)
        RGB picture.
    fat : ndarray of bool, shape (h, w)
        Mask of the fat vacuoles.

    Returns
    -------
    ndarray of bool, shape (h, w)
    """
    values = image.astype(np.float32) / 255
    pale = (values.max(axis=2) - values.min(axis=2) < 0.10) & (values.min(axis=2) > 0.78)
    clean = ndimage.uniform_filter(pale.astype(np.float32), 9) > 0.5
    radius = _NARROWEST_BLANK / 2
    # An opening with a disc, by distance transforms; the picture's edge does not narrow a gap.
    padded = np.pad(clean, int(radius) + 1, mode="edge")
    core = ndimage.distance_transform_edt(padded) >= radius
    opened = ndimage.distance_transform_edt(~core) <= radius if core.any() else core
    inner = slice(int(radius) + 1, -int(radius) - 1)
    return np.asarray(opened[inner, inner] & clean & ~fat)


class MaskedSamples(Samples):
    """Pictures with a binary mask each, listed in ``tiles.csv``.

    Parameters
    ----------
    folder : Path
        Holds ``images/``, ``masks/`` and ``tiles.csv`` with columns tile, group, source.
    rule : LabelRule
        How fractions become classes.

    Raises
    ------
    DataError
        If a file or column is missing or a mask does not fit its picture.
    """

    def __init__(self, folder: Path, rule: LabelRule | None = None) -> None:
        self.rule = rule or LabelRule()
        rows = _read_table(folder / "tiles.csv", ("tile", "group", "source"))
        self.names = [row["tile"] for row in rows]
        self.groups = np.array([row["group"] for row in rows])
        self.sources = np.array([row["source"] for row in rows])
        self._images, self._fat, self._blank = [], [], []
        for name in self.names:
            image = _read_rgb(_find_image(folder / "images", name))
            fat = _read_mask(_find_image(folder / "masks", name))
            if fat.shape != image.shape[:2]:
                raise DataError(
                    f"{folder}: mask of {name} is {fat.shape}, its picture {image.shape[:2]}; "
                    "both must have the same size"
                )
            self._images.append(image)
            self._fat.append(fat)
            self._blank.append(blank_pixels(image, fat))
        self.fat_share = np.array(
            [
                f.mean() / max(0.05, 1 - b.mean())
                for f, b in zip(self._fat, self._blank, strict=True)
            ]
        )
        self.labels = np.array(
            [self._tile_target(f, b).argmax() for f, b in zip(self._fat, self._blank, strict=True)]
        )

    def _tile_target(self, fat: NDArray[np.bool_], blank: NDArray[np.bool_]) -> NDArray[np.float32]:
        return self.rule.targets(np.float32(blank.mean()), np.float32(fat.mean()), cell=False)

    def example(
        self, index: int, box: tuple[float, float, float, float], size: int, cells: int
    ) -> Example:
        """The tile of ``size`` px that shows ``box`` (left, top, right, bottom) of a picture."""
        image = Image.fromarray(self._images[index]).resize(
            (size, size), Image.Resampling.BILINEAR, box=box
        )
        fractions = [
            np.asarray(
                Image.fromarray(m[index].astype(np.uint8) * 255).resize(
                    (cells, cells), Image.Resampling.BOX, box=box
                ),
                dtype=np.float32,
            )
            / 255
            for m in (self._blank, self._fat)
        ]
        return Example(
            np.asarray(image),
            self.rule.targets(
                np.float32(fractions[0].mean()), np.float32(fractions[1].mean()), cell=False
            ),
            self.rule.targets(fractions[0], fractions[1], cell=True),
        )

    def draw(self, index: int, size: int, cells: int, rng: np.random.Generator) -> Example:
        """A random tile at 0.8 to 1.25 times the scale."""
        height, width = self._images[index].shape[:2]
        side = min(size * np.exp(rng.uniform(np.log(0.8), np.log(1.25))), height, width)
        left, top = rng.uniform(0, width - side), rng.uniform(0, height - side)
        return self.example(index, (left, top, left + side, top + side), size, cells)

    def fixed(self, index: int, size: int, cells: int) -> list[Example]:
        """Tiles in the four corners; they overlap where the picture is under two tiles wide."""
        height, width = self._images[index].shape[:2]
        lefts = sorted({0, max(0, width - size)})
        tops = sorted({0, max(0, height - size)})
        return [
            self.example(index, (left, top, left + size, top + size), size, cells)
            for top in tops
            for left in lefts
        ]


class FolderSamples(Samples):
    """One folder per class, a picture is one tile.

    Parameters
    ----------
    folder : Path
        Sub-folders named after the classes.
    classes : sequence of str, optional
        Order of the classes; by default alphabetical.
    group_pattern : str, optional
        Regular expression whose groups, joined, are the patient or slide in a file name; without
        it each picture is its own group.
    source_pattern : str, optional
        The same for the laboratory, scanner or magnification; the folder's name without it.
    group_blocks : int, optional
        For pictures numbered in the order in which they were cut, without a patient in their
        name: the last group of ``group_pattern`` is that number, and so many pictures in a row
        form a group, within one class.

    Raises
    ------
    DataError
        If a class folder is missing or empty, or a pattern does not match.
    """

    def __init__(
        self,
        folder: Path,
        classes: Sequence[str] = (),
        group_pattern: str | None = None,
        *,
        source_pattern: str | None = None,
        group_blocks: int | None = None,
    ) -> None:
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder; give one with a sub-folder for each class")
        self.classes = tuple(classes) or tuple(
            sorted(p.name for p in folder.iterdir() if p.is_dir())
        )
        if len(self.classes) < 2:
            raise DataError(f"{folder}: at least two sub-folders, one for each class, are needed")
        if group_blocks is not None and group_pattern is None:
            raise DataError("group_blocks needs a group_pattern whose last group is a number")
        self._paths: list[Path] = []
        labels, groups, sources = [], [], []
        for label, name in enumerate(self.classes):
            found = sorted(p for p in (folder / name).glob("**/*") if p.suffix.lower() in _IMAGES)
            if not found:
                raise DataError(f"{folder / name}: no pictures for class {name!r}")
            for path in found:
                groups.append(_group_of(path, name, group_pattern, group_blocks))
                source = _matched(path, source_pattern, "source_pattern")
                sources.append("-".join(source) if source else folder.name)
                labels.append(label)
                self._paths.append(path)
        self.names = [str(p.relative_to(folder)) for p in self._paths]
        self.labels = np.array(labels)
        self.groups = np.array(groups)
        self.sources = np.array(sources)

    def _example(
        self, index: int, size: int, box: tuple[float, float, float, float] | None
    ) -> Example:
        image = Image.fromarray(_read_rgb(self._paths[index]))
        tile = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=box))
        target = np.zeros(len(self.classes), np.float32)
        target[self.labels[index]] = 1
        return Example(tile, target, None)

    def draw(self, index: int, size: int, cells: int, rng: np.random.Generator) -> Example:
        """The picture, cropped at random to 70 to 100 % of its side."""
        with Image.open(self._paths[index]) as image:
            width, height = image.size
        share = rng.uniform(0.7, 1)
        w, h = width * share, height * share
        left, top = rng.uniform(0, width - w), rng.uniform(0, height - h)
        return self._example(index, size, (left, top, left + w, top + h))

    def fixed(self, index: int, size: int, cells: int) -> list[Example]:
        """The whole picture."""
        return [self._example(index, size, None)]


def _matched(path: Path, pattern: str | None, what: str) -> tuple[str, ...]:
    if pattern is None:
        return ()
    try:
        match = re.search(pattern, path.name)
    except re.error as error:
        raise DataError(f"{what} {pattern!r} is no regular expression ({error})") from error
    if match is None:
        raise DataError(f"{path}: the {what} {pattern!r} does not match")
    return tuple(g or "" for g in match.groups()) or (match.group(),)


def _group_of(path: Path, label: str, pattern: str | None, blocks: int | None) -> str:
    parts = _matched(path, pattern, "group_pattern")
    if not parts:
        return str(path)
    if blocks is None:
        return "-".join(parts)
    try:
        block = int(parts[-1]) // blocks
    except ValueError as error:
        raise DataError(
            f"{path}: with group_blocks the last group of {pattern!r} must be a number, it is "
            f"{parts[-1]!r}"
        ) from error
    return "-".join((label, *parts[:-1], f"block{block}"))


def _read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise DataError(f"{path}: the list of tiles cannot be read ({error.strerror})") from error
    missing = [c for c in columns if not rows or c not in rows[0]]
    if missing:
        raise DataError(f"{path}: empty, or column {', '.join(missing)} is missing")
    return rows


def _find_image(folder: Path, name: str) -> Path:
    for suffix in _IMAGES:
        if (path := folder / f"{name}{suffix}").exists():
            return path
    raise DataError(f"{folder}: no picture for tile {name!r}")


def _read_rgb(path: Path) -> NDArray[np.uint8]:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError) as error:
        raise DataError(f"{path}: the picture is damaged ({error})") from error


def _read_mask(path: Path) -> NDArray[np.bool_]:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("L")) > 0
    except (OSError, SyntaxError) as error:
        raise DataError(f"{path}: the mask is damaged ({error})") from error
