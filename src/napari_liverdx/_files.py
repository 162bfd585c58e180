"""Files written whole or not at all, names that every system takes, and locks; free to all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

__all__ = [
    "PARTIAL_SUFFIX",
    "LockedError",
    "atomic_write",
    "bare_name",
    "exclusive_lock",
    "move",
    "parse_json",
    "readable_name",
    "remove",
    "remove_leftovers",
    "safe_name",
    "settle",
    "temp_sibling",
    "unique_sibling",
    "without_ending",
    "write_whole",
]

_HOST = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]
PARTIAL_SUFFIX = ".partial"
"""Of files that are not written to their end, ours and Zarr's."""
_PARTIAL = re.compile(r"\.liverdx-(?P<host>[0-9a-f]{6})-(?P<pid>\d+)-[0-9a-f]{12}\.partial")
_LONGEST = 200
"""Bytes of a name before its ending: most systems take 255, and endings are added."""

_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff<>:"/\\|?*]')
"""Control characters, halves of characters, and what Windows takes in no name."""

_TIDIED: set[Path] = set()
_MARK = 8
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
"""What network disks say that know no locks."""

_NO_FSYNC = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EROFS}
"""What file systems say that know no such thing."""


class LockedError(Exception):
    """Somebody else holds a lock; the text says who, as far as that is known."""


def safe_name(stem: str) -> str:
    """Return a file name that every system takes; a plain one of up to 200 bytes stays as it is.

    What is cut off or replaced is made up for by a hash, so that two names never become one.
    """
    fitted = _FORBIDDEN.sub("_", stem)
    if fitted == stem and len(stem.encode()) <= _LONGEST:
        return stem
    mark = hashlib.sha256(stem.encode("utf-8", "surrogatepass")).hexdigest()[:_MARK]
    # A character that was cut through is left out.
    kept = fitted.encode()[: _LONGEST - _MARK - 1].decode(errors="ignore")
    return f"{kept}~{mark}"


def bare_name(name: str) -> str:
    """Return a slide's file name without its ending, ``.ome.tif`` and ``.ome.zarr.zip`` too."""
    stem = without_ending(name)
    return stem if stem == name else stem.removesuffix(".zarr").removesuffix(".ome")


def readable_name(path: Path) -> str:
    """Return the file name of ``path`` as text that can be written; bytes that are none are lost.

    The system takes names of any bytes. Python spells those that are no UTF-8 as halves of
    characters, which no file takes.
    """
    return path.name.encode(errors="surrogateescape").decode(errors="replace")


def without_ending(name: str) -> str:
    """Return a file name up to its last dot.

    Digits after it are no ending: folders and files are called by identifiers as 1.2.840.7.
    """
    stem, _, ending = name.rpartition(".")
    return name if not stem or not ending or ending.isdecimal() else stem


def parse_json(text: str | bytes) -> Any:
    """Read JSON from anywhere.

    Raises
    ------
    ValueError
        If it is none, or nested more deeply than anything that is meant.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def unique_sibling(path: Path) -> Path:
    """Return a name in the folder of ``path`` that nobody else has."""
    return path.with_name(f".liverdx-{_HOST}-{os.getpid()}-{uuid.uuid4().hex[:12]}.partial")


def remove_leftovers(folder: Path) -> None:
    """Remove what programs of this computer that died were about to write into a folder."""
    with suppress(OSError):
        for path in list(folder.glob(".liverdx-*.partial")):
            made = _PARTIAL.fullmatch(path.name)
            if made and made["host"] == _HOST and not _is_running(int(made["pid"])):
                with suppress(OSError):
                    remove(path)


def _is_running(pid: int) -> bool:
    if os.name != "posix":  # there, asking would end the program
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


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
        if (folder := path.parent.absolute()) not in _TIDIED:
            # Once: a folder may hold thousands of files.
            _TIDIED.add(folder)
            remove_leftovers(folder)
        yield partial
    except BaseException:
        with suppress(OSError):
            remove(partial)
        raise


@contextmanager
def atomic_write(path: Path, *, make_folder: bool = False) -> Iterator[Path]:
    """Yield a free name; the file or folder made under it takes the place of ``path`` at the end.

    A reader finds the old file or the new one, never a part of it, also after the power failed;
    after an error the old one is still there. A link is replaced, what it points to is left alone.

    Raises
    ------
    OSError
        If writing fails.
    """
    with temp_sibling(path, make_folder=make_folder) as partial:
        yield partial
        settle(partial)
        os.replace(partial, path)
        _settle_one(path.parent)


def write_whole(path: Path, text: str) -> None:
    """Write a text file as `atomic_write` does, its folder where it is missing.

    Raises
    ------
    OSError
        If writing fails.
    """
    with atomic_write(path, make_folder=True) as partial:
        partial.write_text(text, encoding="utf-8")


def settle(path: Path) -> None:
    """Have the system bring a file, or a folder with all it holds, to the disk.

    Without it a name may reach the disk before the content that it stands for.

    Raises
    ------
    OSError
        If the content cannot be brought there.
    """
    if path.is_dir():
        for folder, _, files in os.walk(path):
            for name in files:
                _settle_one(Path(folder, name))
            _settle_one(Path(folder))
    else:
        _settle_one(path)


def _settle_one(path: Path) -> None:
    is_folder = path.is_dir()
    if is_folder and os.name != "posix":
        return
    try:
        handle = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
    except OSError:
        # A file that its writer made read-only, or a folder that only takes files.
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_FSYNC:
            raise
    finally:
        os.close(handle)


def move(source: Path, target: Path) -> None:
    """Give a file or folder another name on the same disk; a file that had it is replaced.

    Raises
    ------
    OSError
        If it cannot be moved.
    """
    os.replace(source, target)


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Hold the lock of that file, without waiting; the file is gone afterwards.

    Beside it a ``.holder`` says who holds it. The system gives the lock back when a program dies,
    and what a dead one left behind counts for nothing. On a network disk that knows no locks, the
    ``.holder`` alone counts.

    Raises
    ------
    LockedError
        If somebody else, in this program or another, holds it.
    OSError
        If the file cannot be made.
    """
    lock, holder = FileLock(path, timeout=0), path.with_suffix(".holder")
    try:
        lock.acquire()
    except Timeout as error:
        raise LockedError(_told(holder)) from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        _refuse_unless_dead(holder)
    try:
        since = datetime.now(UTC).isoformat(timespec="seconds")
        facts = {"host": socket.gethostname(), "process": os.getpid(), "since": since}
        with atomic_write(holder) as partial:
            partial.write_text(json.dumps(facts), encoding="utf-8")
        yield
    finally:
        with suppress(OSError):
            holder.unlink(missing_ok=True)
        if os.name == "posix":
            # While it is held: whoever opened it before sees that it is gone, and opens a new one.
            with suppress(OSError):
                path.unlink(missing_ok=True)
        lock.release()
        if os.name != "posix":
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _refuse_unless_dead(holder: Path) -> None:
    try:
        facts = json.loads(holder.read_text(encoding="utf-8"))
        host, pid = str(facts["host"]), int(facts["process"])
    except (OSError, ValueError, KeyError, TypeError):
        return
    if host != socket.gethostname():
        raise LockedError(
            f"{_told(holder)}; if that has ended, remove {holder.name}: this disk knows no locks"
        )
    if _is_running(pid):
        raise LockedError(_told(holder))


def _told(holder: Path) -> str:
    try:
        facts = json.loads(holder.read_text(encoding="utf-8"))
        told = f"{facts['host']}, process {facts['process']}, since {facts['since']}"
        return "".join(c for c in told if c.isprintable())
    except (OSError, ValueError, KeyError, TypeError):
        return "another program"
