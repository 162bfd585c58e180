"""Arrays of a result's Zarr group, and the lock of whoever writes into it."""

from __future__ import annotations

import errno
import itertools
import math
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec, ZstdCodec

from napari_liverdx._files import PARTIAL_SUFFIX, LockedError, exclusive_lock, remove_leftovers
from napari_liverdx.core.errors import ResultError, storage_errors

__all__ = [
    "CHECKED",
    "DAMAGE",
    "child_array",
    "chunk_places",
    "fitting_chunks",
    "read_array",
    "read_chunks",
    "sole_writer",
    "write_part",
]

CHECKED = (ZstdCodec(), Crc32cCodec())
"""How chunks are stored: packed, and with a checksum, so that a torn one is known."""

DAMAGE = (
    LookupError,
    ValueError,
    RuntimeError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    MemoryError,
)
"""What reading raises where metadata or chunks are damaged."""

_CODECS = {"BytesCodec", "ZstdCodec", "Crc32cCodec"}
_ZSTD = b"\x28\xb5\x2f\xfd"
_MOST_BYTES = 2**30
"""Of an array, as its metadata tell; no result holds a larger one."""

_TORN = {errno.EIO, errno.EISDIR, errno.ENOTDIR}

Place = tuple[slice, ...]


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
    # A fill value that its type cannot hold is no number.
    with np.errstate(over="ignore", invalid="ignore"):
        array = group[name]
    if not isinstance(array, zarr.Array):
        raise KeyError(name)
    return array


def read_array(
    group: zarr.Group, name: str, path: Path, shape: tuple[int, ...] | None = None
) -> NDArray[Any]:
    """Read the whole array called ``name`` of the result at ``path``.

    Raises
    ------
    ResultError
        If it is missing, damaged or of another shape.
    """
    values, damaged = read_chunks(group, name, path, shape)
    if damaged:
        raise _damaged(path, name, "a part of it does not agree with its checksum")
    return values


def read_chunks(
    group: zarr.Group,
    name: str,
    path: Path,
    shape: tuple[int, ...] | None = None,
    kinds: str = "fu",
) -> tuple[NDArray[Any], list[Place]]:
    """Read the array called ``name``, whatever can be read of it.

    Parameters
    ----------
    group : zarr.Group
        The result's group.
    name : str
        Of the array.
    path : Path
        Of the result, for messages.
    shape : tuple of int, optional
        What shape it must have; nothing is read of another one.
    kinds : str
        NumPy's letters of the kinds of values it may hold.

    Returns
    -------
    ndarray
        Its values; the fill value where a chunk is damaged.
    list of tuple of slice
        Where chunks are damaged.

    Raises
    ------
    ResultError
        If the array is missing, its metadata is damaged, or it may not be read.
    """
    try:
        array = child_array(group, name)
        why = _wrong(array, shape, kinds)
    except (*DAMAGE, OSError) as error:
        raise _damaged(path, name, error) from error
    if why:
        raise _damaged(path, name, why)
    swollen = _swollen(array, path / name)
    first: Exception = ValueError("a part of it unpacks to more than it may")
    if not swollen:
        try:
            return np.array(array[...]), []
        except (*DAMAGE, OSError) as error:
            first = error
    values = np.full(array.shape, array.fill_value, array.dtype)
    places = list(chunk_places(array.shape, array.chunks))
    damaged = [
        place for place in places if place in swollen or not _read_into(values, array, place, path)
    ]
    if not damaged:
        raise _damaged(path, name, first) from first
    return values, damaged


def _wrong(array: zarr.Array[Any], shape: tuple[int, ...] | None, kinds: str) -> str:
    """Return what is impossible about an array, told before anything is allocated by it."""
    if shape is not None and array.shape != shape:
        return f"it does not fit the tiles, {array.shape} in place of {shape}"
    if array.dtype.kind not in kinds or not array.size or array.nbytes > _MOST_BYTES:
        return f"{array.shape} values of the kind {array.dtype}"
    codecs: Any = getattr(array.metadata, "codecs", None)  # arrays of Zarr v2 have none
    if codecs is None or not {type(c).__name__ for c in codecs} <= _CODECS:
        return "it is packed in another way than results are"
    if any(not 0 < c <= n for c, n in zip(array.chunks, array.shape, strict=True)):
        return f"its chunks, {array.chunks}, are empty or larger than itself"
    return ""


def _swollen(array: zarr.Array[Any], folder: Path) -> list[Place]:
    """Return where chunks claim to unpack to more than a chunk holds."""
    most = math.prod(array.chunks) * array.dtype.itemsize
    found = []
    for place in chunk_places(array.shape, array.chunks):
        index = (str(s.start // c) for s, c in zip(place, array.chunks, strict=True))
        with suppress(OSError), folder.joinpath("c", *index).open("rb") as file:
            if _unpacked_size(file.read(18)) > most:
                found.append(place)
    return found


def _unpacked_size(head: bytes) -> int:
    """Return what a Zstandard frame says it unpacks to (RFC 8878, section 3.1.1); 0 if nothing."""
    if not head.startswith(_ZSTD) or len(head) < 5:
        return 0
    told = head[4]
    single = bool(told & 0x20)
    size = (int(single), 2, 4, 8)[told >> 6]
    at = 5 + (not single) + (0, 1, 2, 4)[told & 3]
    return int.from_bytes(head[at : at + size], "little") + (256 if size == 2 else 0)


def chunk_places(shape: tuple[int, ...], chunks: tuple[int, ...]) -> Iterator[Place]:
    """Yield where each chunk of an array lies."""
    sides = zip(shape, chunks, strict=True)
    yield from itertools.product(
        *([slice(i, min(i + c, n)) for i in range(0, n, c)] for n, c in sides)
    )


def _read_into(values: NDArray[Any], array: zarr.Array[Any], place: Place, path: Path) -> bool:
    try:
        values[place] = array[place]
    except DAMAGE:
        return False
    except OSError as error:
        if error.errno not in _TORN:
            raise ResultError(f"{path}: cannot be read ({error.strerror or error})") from error
        return False
    return True


def write_part(array: zarr.Array[Any], values: NDArray[Any], where: Place) -> None:
    """Write a part of ``values``, all of the array as it is in memory.

    Parameters
    ----------
    array : Array
        The array on disk.
    values : ndarray
        Of the same shape.
    where : tuple of slice
        What is new; it may reach beyond the array.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    part = values[where]
    fitted = tuple(
        slice(s.start or 0, (s.start or 0) + n) for s, n in zip(where, part.shape, strict=True)
    )
    try:
        array[fitted] = part
    except DAMAGE:
        # A part of a chunk is put into the rest of it, which is damaged: the whole is written.
        for place in chunk_places(array.shape, array.chunks):
            if all(
                a.start < b.stop and b.start < a.stop for a, b in zip(place, fitted, strict=True)
            ):
                array[place] = values[place]


def _damaged(path: Path, name: str, why: object) -> ResultError:
    return ResultError(
        f"{path}: array {name!r} is missing or damaged ({why}); analyze the slide again into the "
        "same folder, which makes it good and keeps what is whole"
    )


@contextmanager
def sole_writer(result: Path) -> Iterator[None]:
    """Write into a result with nobody else writing, in this program or another.

    The system gives the lock back when a program dies; what dead ones left half written is
    removed.

    Raises
    ------
    ResultError
        If a run is writing into it, the folder cannot be written to, or it holds links, through
        which other files would be written to.
    StorageFullError
        If the disk is full.
    """
    with ExitStack() as held:
        with storage_errors(result, "the tiles are kept"):
            try:
                held.enter_context(exclusive_lock(result / "run.lock"))
            except LockedError as error:
                raise ResultError(
                    f"{result}: another run is writing into this result ({error}); wait for it, "
                    "or cancel it, and start again"
                ) from error
        _tidy(result)
        yield


def _tidy(result: Path) -> None:
    remove_leftovers(result)
    for folder, folders, files in os.walk(result):
        for name in (*folders, *files):
            path = Path(folder, name)
            if path.is_symlink():
                raise ResultError(
                    f"{path}: a link within a result; nothing is written through it. Put what it "
                    "points to in its place, or choose another folder for the result"
                )
            # So are the chunks called that somebody was about to write.
            if name.endswith(PARTIAL_SUFFIX) and not name.startswith(".liverdx-"):
                with suppress(OSError):
                    path.unlink()
