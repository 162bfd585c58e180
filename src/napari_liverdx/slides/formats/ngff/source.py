"""Where the files of a zarr store come from: a folder or a zip file.

Everything is read-only. What is read at once is limited, names that would lead out of the store
are not looked up, and nothing is ever unpacked.
"""

from __future__ import annotations

import os
import re
import stat
import threading
import zipfile
from pathlib import Path
from typing import BinaryIO, Protocol

from napari_liverdx.core.errors import SlideReadError, TileReadError

__all__ = [
    "METADATA_FILES",
    "MOST_BYTES",
    "ByteRange",
    "FolderSource",
    "ZarrSource",
    "ZipSource",
    "gone",
    "stays_inside",
    "too_large",
]

ByteRange = tuple[int | None, int | None]
"""First byte and the one after the last; the first alone is negative, counted from the end."""

MOST_BYTES = 256 << 20
"""Longest file, or part of one, that is read at once."""

METADATA_FILES = ("zarr.json", ".zattrs", ".zgroup", ".zarray")
"""Files of which one is there at least."""

_DIRECTORY_BYTES = 64 << 20
_DIRECTORY_END = 22
_ZIP_COMMENT = 1 << 16
_LOCAL_HEADER = 30


class ZarrSource(Protocol):
    """A store's files; reading is safe from several threads."""

    @property
    def address(self) -> str:
        """The store's place, as errors name it."""
        ...

    def read(self, key: str, part: ByteRange | None = None) -> bytes | None:
        """Read a file or a part of it; None if there is none.

        Raises
        ------
        SlideReadError
            If nothing more can be read from this place.
        TileReadError
            If this one file is damaged or too large.
        """
        ...

    def has_folder(self, key: str) -> bool:
        """Return whether there is a folder, as far as that can be known without reading much."""
        ...

    def close(self) -> None:
        """Release what is open; calling it again does nothing."""
        ...


class FolderSource:
    """A zarr store in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._anchor: Path | None = None

    @property
    def address(self) -> str:
        """The folder."""
        return str(self._folder)

    def read(self, key: str, part: ByteRange | None = None) -> bytes | None:
        """Read a file or a part of it."""
        if not stays_inside(key):
            return None
        path = self._folder.joinpath(*key.split("/"))
        try:
            # A pipe or a device would block.
            if not stat.S_ISREG(path.stat().st_mode):
                return None
            with path.open("rb") as file:
                data = _read_part(file, part, path)
        except (FileNotFoundError, NotADirectoryError):
            # A drive that is away looks like a slide of gaps.
            if self._anchor is not None and not self._anchor.exists():
                raise gone(self.address) from None
            return None
        except OSError as error:
            if isinstance(error, TileReadError):
                raise
            raise SlideReadError(
                f"{path}: cannot be read ({error.strerror or error}); check that the drive is "
                "still there"
            ) from error
        self._anchor = self._anchor or path
        return data

    def has_folder(self, key: str) -> bool:
        """Return whether there is a folder."""
        return stays_inside(key) and self._folder.joinpath(*key.split("/")).is_dir()

    def close(self) -> None:
        """Do nothing, as no file stays open."""


class ZipSource:
    """A zarr store in a zip file; whether or not within one folder in there.

    Parameters
    ----------
    file : binary file
        It is closed with the source.
    address : str
        The zip's place.

    Raises
    ------
    SlideReadError
        If the zip is damaged.
    """

    def __init__(self, file: BinaryIO, address: str) -> None:
        self._address = address
        self._file = file
        self._lock = threading.Lock()
        try:
            _check_directory(file, address)
            self._zip = zipfile.ZipFile(file)
        # The module trips over damaged directories in ways of its own.
        except Exception as error:
            file.close()
            if isinstance(error, SlideReadError):
                raise
            raise SlideReadError(
                f"{address}: the zip is damaged or cut off ({error}); copy it again from its source"
            ) from error
        names = [n for n in self._zip.NameToInfo if n.rpartition("/")[2] in METADATA_FILES]
        top = min(names, key=lambda n: (n.count("/"), n), default="")
        self._prefix = top[: top.rfind("/") + 1]
        self.is_zarr = bool(names)

    @property
    def address(self) -> str:
        """The zip's place."""
        return self._address

    def read(self, key: str, part: ByteRange | None = None) -> bytes | None:
        """Read a file or a part of it."""
        entry = self._zip.NameToInfo.get(self._prefix + key)
        if entry is None:
            return None
        where = f"{self._address}: {entry.filename}"
        if entry.file_size > MOST_BYTES and (
            part is None or entry.compress_type != zipfile.ZIP_STORED
        ):
            raise too_large(where, entry.file_size)
        try:
            with self._lock:
                if entry.compress_type == zipfile.ZIP_STORED and not entry.flag_bits & 1:
                    return self._read_stored(entry, part)
                data = self._zip.read(entry)
        # Each way of compression has errors of its own.
        except Exception as error:
            if isinstance(error, SlideReadError):
                raise
            raise TileReadError(
                f"{where}: this part of the zip is damaged or encrypted ({error})"
            ) from error
        start, end = _bounds(part, len(data))
        return data[start:end]

    def _read_stored(self, entry: zipfile.ZipInfo, part: ByteRange | None) -> bytes:
        self._file.seek(entry.header_offset)
        header = self._file.read(_LOCAL_HEADER)
        if len(header) < _LOCAL_HEADER or header[:4] != b"PK\3\4":
            raise zipfile.BadZipFile("no entry where the directory says")
        skipped = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        start, end = _bounds(part, entry.file_size)
        if end - start > MOST_BYTES:
            raise too_large(f"{self._address}: {entry.filename}", end - start)
        self._file.seek(entry.header_offset + _LOCAL_HEADER + skipped + start)
        return self._file.read(end - start)

    @property
    def names(self) -> list[str]:
        """Names of all that is inside."""
        return list(self._zip.NameToInfo)

    def has_folder(self, key: str) -> bool:
        """Return whether a file lies in such a folder."""
        return any(name.startswith(f"{self._prefix}{key}/") for name in self._zip.NameToInfo)

    def close(self) -> None:
        """Close the zip."""
        self._zip.close()
        self._file.close()


def stays_inside(key: str) -> bool:
    """Return whether a file's name leads nowhere but into the store."""
    return not any(p in ("", ".", "..") or re.search(r"[\\:\0]", p) for p in key.split("/"))


def _bounds(part: ByteRange | None, size: int) -> tuple[int, int]:
    start, end = part or (None, None)
    first = 0 if start is None else max(0, size + start) if start < 0 else min(start, size)
    return first, max(first, size if end is None else min(end, size))


def _read_part(file: BinaryIO, part: ByteRange | None, path: Path) -> bytes:
    start, end = _bounds(part, file.seek(0, os.SEEK_END))
    if end - start > MOST_BYTES:
        raise too_large(str(path), end - start)
    file.seek(start)
    return file.read(end - start)


def gone(address: str) -> SlideReadError:
    """Return the error of a slide that was there and is there no more."""
    return SlideReadError(
        f"{address}: the slide is gone: somebody moved or removed it, or its drive or server is "
        "away; put it back, and start again to resume"
    )


def too_large(where: str, size: int) -> TileReadError:
    """Return the error of a file that is longer than what is read at once."""
    return TileReadError(
        f"{where}: {size:,} bytes in one piece are more than is read at once "
        f"({MOST_BYTES >> 20} MiB); write the image with chunks of 512 to 1024 px"
    )


def _check_directory(file: BinaryIO, address: str) -> None:
    """Refuse a zip whose directory of names would fill the memory."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _DIRECTORY_END - _ZIP_COMMENT))
    end = file.read()
    found = end.rfind(b"PK\5\6")
    claimed = int.from_bytes(end[found + 12 : found + 16], "little") if found >= 0 else 0
    if claimed == 0xFFFFFFFF and (wide := end.rfind(b"PK\6\6")) >= 0:
        claimed = int.from_bytes(end[wide + 40 : wide + 48], "little")
    if claimed > _DIRECTORY_BYTES:
        raise SlideReadError(
            f"{address}: the zip lists more files than are read from one; unpack it and open the "
            "folder, or write it in shards"
        )
    file.seek(0)
