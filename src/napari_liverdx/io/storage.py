"""Arrays of Zarr groups, files written whole or not at all, and what a failed write means."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from napari_liverdx.core.errors import ResultError, StorageFullError

__all__ = [
    "beside",
    "child_array",
    "fitting_chunks",
    "free_name",
    "read_array",
    "remove",
    "replacing",
    "sole_writer",
    "storage_errors",
]

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


def free_name(path: Path) -> Path:
    """A name in the folder of ``path`` that nobody else has."""
    return path.with_name(f".liverdx-{uuid.uuid4().hex[:16]}.partial")


def remove(path: Path) -> None:
    """Remove a file, a link or a folder with all it holds; nothing if it is not there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def beside(path: Path, kept: str, *, make_folder: bool = False) -> Iterator[Path]:
    """A free name in the folder of ``path``; what is still under it after an error is removed.

    Parameters
    ----------
    path : Path
        What is to be written in the end.
    kept : str
        For the error: what is not lost.
    make_folder : bool
        Whether the folder is made where it is missing.

    Raises
    ------
    StorageFullError
        If the disk is full.
    ResultError
        If writing fails otherwise.
    """
    partial = free_name(path)
    with storage_errors(path, kept):
        try:
            if make_folder:
                path.parent.mkdir(parents=True, exist_ok=True)
            yield partial
        except BaseException:
            with suppress(OSError):
                remove(partial)
            raise


@contextmanager
def replacing(path: Path, kept: str, *, make_folder: bool = False) -> Iterator[Path]:
    """`beside` for a file: it takes the place of ``path`` once all went well.

    A reader finds the old file or the new one, never a part of it.

    Raises
    ------
    StorageFullError
        If the disk is full; the old file is kept.
    ResultError
        If writing fails otherwise.
    """
    with beside(path, kept, make_folder=make_folder) as partial:
        yield partial
        os.replace(partial, path)


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
    lock = FileLock(result / "run.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise ResultError(
            f"{result}: another run is writing into this result; wait for it, or cancel it, and "
            "start again"
        ) from error
    except OSError:
        with storage_errors(result, "the tiles are kept"):
            raise
    try:
        yield
    finally:
        lock.release()
