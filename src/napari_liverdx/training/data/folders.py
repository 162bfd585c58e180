"""Pictures of which each is one tile, sorted into folders by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_liverdx.core.errors import DataError
from napari_liverdx.training.data.base import (
    IMAGES,
    Example,
    TileDataset,
    class_order,
    matched,
    opened_picture,
    read_rgb,
    split_name,
)
from napari_liverdx.training.data.config import DataConfig, DataLayout, DataRequest

__all__ = ["LAYOUT", "FolderDataset", "ImageDataset", "group_of"]


class ImageDataset(TileDataset):
    """Pictures in files of their own, each of one class and one tile."""

    paths: list[Path]
    attributes: NDArray[np.float32] | None = None

    def picture(self, index: int) -> NDArray[np.uint8]:
        """Return picture ``index`` as it is, RGB, shape (h, w, 3)."""
        return read_rgb(self.paths[index])

    def _size(self, index: int) -> tuple[int, int]:
        with opened_picture(self.paths[index]) as image:
            return image.size

    @cached_property
    def sizes(self) -> NDArray[np.intp]:
        """Width and height of each picture in pixels, shape (n, 2), from the files' headers."""
        return np.array([self._size(i) for i in range(len(self))]).reshape(-1, 2)

    def _example(
        self, index: int, size: int, box: tuple[float, float, float, float] | None
    ) -> Example:
        image = Image.fromarray(self.picture(index))
        tile = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=box))
        target = np.zeros(len(self.classes), np.float32)
        target[self.labels[index]] = 1
        known = None if self.attributes is None else self.attributes[index]
        return Example(tile, target, None, known)

    def sample_train(
        self, index: int, size: int, subtiles: int, rng: np.random.Generator
    ) -> Example:
        """Return the picture, cropped at random to 70 to 100 % of its side."""
        width, height = self._size(index)
        share = rng.uniform(0.7, 1)
        w, h = width * share, height * share
        left, top = rng.uniform(0, width - w), rng.uniform(0, height - h)
        return self._example(index, size, (left, top, left + w, top + h))

    def eval_tiles(self, index: int, size: int, subtiles: int) -> list[Example]:
        """Return the whole picture."""
        return [self._example(index, size, None)]


class FolderDataset(ImageDataset):
    """One folder per class, a picture is one tile.

    Parameters
    ----------
    folder : Path
        Sub-folders named after the classes; or sub-folders train, val and test that each hold
        such sub-folders.
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
    labels : mapping of str to str, optional
        From the name of a sub-folder to a class, where they differ; to the empty string to leave
        the sub-folder out.
    leave_out : sequence of str, optional
        Pictures to leave out, by their path within ``folder``, for example because an audit found
        them twice.

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
        labels: Mapping[str, str] | None = None,
        leave_out: Sequence[str] = (),
    ) -> None:
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder; give one with a sub-folder for each class")
        parts = _stated_parts(folder) or {"": folder}
        folders = sorted({p.name for part in parts.values() for p in part.iterdir() if p.is_dir()})
        if classes:
            wanted = {*classes, *(labels or {})}
            left_out = [name for name in folders if name not in wanted]
            folders = [name for name in folders if name in wanted]
            self.notes = tuple(f"folder {n} is no class and is left out" for n in left_out)
        elif len({(labels or {}).get(n, n) for n in folders}) < 2:
            raise DataError(f"{folder}: at least two sub-folders, one for each class, are needed")
        if group_blocks is not None and group_pattern is None:
            raise DataError("group_blocks needs a group_pattern whose last group is a number")
        self.classes, numbers = class_order(folders, classes, labels, folder)
        self.paths = []
        dropped = {folder / name for name in leave_out}
        if missing := [p for p in sorted(dropped) if not p.exists()]:
            raise DataError(f"{missing[0]}: is to be left out but is not there")
        numbered, groups, sources, splits = [], [], [], []
        for label, name in enumerate(self.classes):
            by_path = {
                p: split
                for sub, number in numbers.items()
                if number == label
                for split, part in parts.items()
                for p in (part / sub).glob("**/*")
                if p.suffix.lower() in IMAGES and p not in dropped
            }
            found = sorted(by_path)
            splits += [by_path[p] for p in found]
            if not found:
                raise DataError(f"{folder / name}: no images for class {name!r}")
            for path in found:
                group = group_of(path, name, group_pattern, group_blocks)
                groups.append(group or str(path.relative_to(folder)))
                source = matched(path.name, source_pattern, "source_pattern", path)
                sources.append("-".join(source) if source else folder.name)
            numbered += [label] * len(found)
            self.paths += found
        self.names = [str(p.relative_to(folder)) for p in self.paths]
        self.labels = np.array(numbered)
        self.groups = np.array(groups)
        self.sources = np.array(sources)
        self.splits = np.array(splits)


def _stated_parts(folder: Path) -> dict[str, Path]:
    """Find the folders train, val and test within ``folder``, if it holds no others."""
    parts: dict[str, Path] = {}
    for sub in sorted(p for p in folder.iterdir() if p.is_dir()):
        try:
            split = split_name(sub.name, str(sub))
        except DataError:
            return {}
        if split in parts:
            raise DataError(f"{folder}: both {parts[split].name} and {sub.name} are for {split}")
        parts[split] = sub
    return parts if "train" in parts else {}


def group_of(path: Path, label: str, pattern: str | None, blocks: int | None) -> str:
    """Return the patient or slide of a picture, from its file name; empty without a pattern.

    Parameters
    ----------
    path : Path
        The picture.
    label : str
        Its class, part of the group where blocks are counted.
    pattern, blocks
        See `FolderDataset`.

    Raises
    ------
    DataError
        If the pattern does not match or its last group is no number.
    """
    parts = matched(path.name, pattern, "group_pattern", path)
    if not parts:
        return ""
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


def _open(config: DataConfig, request: DataRequest) -> FolderDataset:
    return FolderDataset(
        request.source,
        request.class_names,
        group_pattern=config.group_pattern,
        source_pattern=config.source_pattern,
        group_blocks=config.group_blocks,
        labels=config.labels,
        leave_out=config.leave_out,
    )


def _fits(source: Path) -> float:
    return 0.1 if source.is_dir() else 0


LAYOUT = DataLayout("folders", _open, _fits)
