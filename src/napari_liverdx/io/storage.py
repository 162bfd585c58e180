"""Zarr groups on disk: reading arrays, and what a failed write means."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_liverdx.core.errors import ResultError, StorageFullError

__all__ = ["child_array", "fitting_chunks", "read_array", "storage_errors"]

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def fitting_chunks(chunks: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """``chunks`` made no larger than ``shape``."""
    return tuple(max(1, min(c, s)) for c, s in zip(chunks, shape, strict=True))


def child_array(group: zarr.Group, name: str) -> zarr.Array[Any]:
    """The array called ``name``.

    Raises
    ------
    KeyError
        If there is none.
    """
    array = group[name]
    if not isinstance(array, zarr.Array):
        raise KeyError(name)
    return array


def read_array(group: zarr.Group, name: str, path: Path) -> NDArray[Any]:
    """The whole array called ``name`` of the result at ``path``.

    Raises
    ------
    ResultError
        If it is missing or damaged.
    """
    try:
        return np.array(child_array(group, name)[...])
    except (KeyError, ValueError, RuntimeError, OSError) as error:
        raise ResultError(
            f"{path}: array {name!r} is missing or damaged ({error}); remove the result and "
            "analyse the slide again"
        ) from error


@contextmanager
def storage_errors(path: Path, kept: str) -> Iterator[None]:
    """Turn what the system says into an error that names ``path`` and what is ``kept``.

    Raises
    ------
    StorageFullError
        If the disk is full.
    ResultError
        If writing fails otherwise.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFullError(
                f"{path}: the disk is full; {kept}. Free some space and start again"
            ) from error
        raise ResultError(
            f"{path}: cannot be written ({error.strerror or error}); {kept}"
        ) from error
