"""A split of pictures as a table that `TableDataset` reads."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_liverdx._files import atomic_write
from napari_liverdx._text import csv_text
from napari_liverdx.core.errors import ResultError
from napari_liverdx.training.data.base import TileDataset
from napari_liverdx.training.data.folders import ImageDataset
from napari_liverdx.training.data.splits import folds_of, shares_of

__all__ = ["numbered_folds", "shared_splits", "write_split_table"]


def shared_splits(
    samples: TileDataset, groups: NDArray[np.str_], shares: Mapping[str, float], seed: int
) -> NDArray[np.str_]:
    """Return the split of each sample, ``train`` for those in none of the shares.

    Parameters
    ----------
    samples : TileDataset
        The labeled pictures.
    groups : ndarray of str, shape (n,)
        Patients or slides that stay together; see `joined_groups`.
    shares : mapping of str to float
        About this share of all samples by the name of the split.
    seed : int
        Random seed.

    Raises
    ------
    DataError
        If the shares leave nothing over, or there are too few groups.
    """
    names = np.full(len(samples), "train", dtype="<U8")
    for name, index in shares_of(samples.labels, groups, shares, seed).items():
        names[index] = name
    return names


def numbered_folds(
    samples: TileDataset, groups: NDArray[np.str_], folds: int, seed: int
) -> NDArray[np.str_]:
    """Return the number of the fold, from 1, that each sample is tested in.

    Raises
    ------
    DataError
        If there are too few groups, or scikit-learn is missing.
    """
    names = np.full(len(samples), "", dtype="<U8")
    everything = np.arange(len(samples))
    for number, (_, part) in enumerate(
        folds_of(samples.labels, groups, everything, folds, seed), 1
    ):
        names[part] = str(number)
    return names


def write_split_table(
    path: Path,
    samples: ImageDataset,
    groups: NDArray[np.str_],
    column: str,
    names: NDArray[np.str_],
) -> None:
    """Write path, label, group, source and split of each picture as CSV.

    Parameters
    ----------
    path : Path
        File to write; paths of pictures are relative to its folder.
    samples : ImageDataset
        The labeled pictures.
    groups : ndarray of str, shape (n,)
        Patients or slides.
    column : {"split", "fold"}
        Name of the last column.
    names : ndarray of str, shape (n,)
        What stands in it.

    Raises
    ------
    ResultError
        If the file cannot be written.
    """
    rows = [("path", "label", "group", "source", column)]
    for i, picture in enumerate(samples.paths):
        place = Path(os.path.relpath(picture.resolve(), path.parent.resolve())).as_posix()
        label = samples.classes[samples.labels[i]]
        told = (groups[i], samples.sources[i], names[i])
        rows.append((place, label, *map(str, told)))
    try:
        with atomic_write(path, make_folder=True) as partial:
            partial.write_text(csv_text(rows), encoding="utf-8")
    except OSError as error:
        raise ResultError(f"{path}: cannot be written ({error.strerror})") from error
