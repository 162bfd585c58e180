"""Files written whole or not at all, and locks; free to every layer."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

__all__ = [
    "LockedError",
    "atomic_write",
    "exclusive_lock",
    "move",
    "remove",
    "temp_sibling",
    "unique_sibling",
]


class LockedError(Exception):
    """Somebody else holds a lock."""


def unique_sibling(path: Path) -> Path:
    """Return a name in the folder of ``path`` that nobody else has."""
    return path.with_name(f".liverdx-{uuid.uuid4().hex[:16]}.partial")


def remove(path: Path) -> None:
    """Remove a file, a link or a folder with all it holds; nothing if it is not there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def temp_sibling(path: Path, *, make_folder: bool = False) -> Iterator[Path]:
    """Yield a free name in the folder of ``path``; what is still under it after an error goes.

    Parameters
    ----------
    path : Path
        What is to be written in the end.
    make_folder : bool
        Whether the folder is made where it is missing.

    Raises
    ------
    OSError
        If writing fails.
    """
    partial = unique_sibling(path)
    try:
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
    except BaseException:
        with suppress(OSError):
            remove(partial)
        raise


@contextmanager
def atomic_write(path: Path, *, make_folder: bool = False) -> Iterator[Path]:
    """Yield a free name; the file or folder made under it takes the place of ``path`` at the end.

    A reader finds the old file or the new one, never a part of it; after an error the old one is
    still there.

    Raises
    ------
    OSError
        If writing fails.
    """
    with temp_sibling(path, make_folder=make_folder) as partial:
        yield partial
        os.replace(partial, path)


def move(source: Path, target: Path) -> None:
    """Give a file or folder another name on the same disk; a file that had it is replaced.

    Raises
    ------
    OSError
        If it cannot be moved.
    """
    os.replace(source, target)


def exclusive_lock(path: Path) -> FileLock:
    """Take the lock of that file at once; release what is returned.

    The system gives the lock back when a program dies.

    Raises
    ------
    LockedError
        If somebody else, in this program or another, holds it.
    OSError
        If the file cannot be made.
    """
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise LockedError(str(path)) from error
    return lock
