"""Arrays of a result's Zarr group, and the lock of whoever writes into it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_liverdx._files import LockedError, exclusive_lock
from napari_liverdx.core.errors import ResultError, storage_errors

__all__ = ["child_array", "fitting_chunks", "read_array", "sole_writer"]


def fitting_chunks(chunks: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return ``chunks`` made no larger than ``shape``."""
    return tuple(max(1, min(c, s)) for c, s in zip(chunks, shape, strict=True))


def child_array(group: zarr.Group, name: str) -> zarr.Array[Any]:
    """Return the array called ``name``.

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
    """Read the whole array called ``name`` of the result at ``path``.

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
            "analyze the slide again"
        ) from error


@contextmanager
def sole_writer(result: Path) -> Iterator[None]:
    """Write into a result with nobody else writing, in this program or another.

    The system gives the lock back when a program dies.

    Raises
    ------
    ResultError
        If a run is writing into it, or the folder cannot be written to.
    StorageFullError
        If the disk is full.
    """
    with storage_errors(result, "the tiles are kept"):
        try:
            lock = exclusive_lock(result / "run.lock")
        except LockedError as error:
            raise ResultError(
                f"{result}: another run is writing into this result; wait for it, or cancel it, "
                "and start again"
            ) from error
    try:
        yield
    finally:
        lock.release()
