"""TIFF image directories, read with every size checked before anything is allocated.

Written for files nobody vouches for: counts, offsets and chains are compared with what the file
can hold first. Tags that lie beyond the file are absent, or an error where no picture can be read
without them.
"""

from __future__ import annotations

import contextlib
import math
import os
import struct
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.core.errors import NotASlideError, SlideReadError

__all__ = ["TIFF_MAGIC", "Directory", "TiffSource", "read_directories", "truncated"]

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_MOST_DIRECTORIES = 5000
_MOST_ENTRIES = 4096
_MOST_NUMBERS = 1 << 25
_MOST_BYTES = 1 << 26
_FORMATS = {1: "u1", 3: "u2", 4: "u4", 6: "i1", 7: "u1", 8: "i2", 9: "i4", 11: "f4", 12: "f8"}
_FORMATS |= {13: "u4", 16: "u8", 17: "i8", 18: "u8"}
_BYTES = {kind: int(name[1]) for kind, name in _FORMATS.items()} | {2: 1, 5: 8, 10: 8}
_RATIONALS = {5: "u4", 10: "i4"}
_SUB_IFDS = 330
# Without these no picture can be read: size, bits, compression, where its segments lie.
_NEEDED = {256, 257, 258, 259, 273, 279, 322, 323, 324, 325}


class TiffSource:
    """A TIFF file, open for positioned reads from several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("rb")
        self.size = self._file.seek(0, 2)
        self._lock = threading.Lock()

    def read(self, offset: int, size: int) -> bytes:
        """Return the bytes at an offset; fewer where the file ends."""
        if offset >= self.size or size <= 0:
            return b""
        size = min(size, self.size - offset)
        if hasattr(os, "pread"):
            return os.pread(self._file.fileno(), size, offset)
        with self._lock:
            self._file.seek(offset)
            return self._file.read(size)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@dataclass(frozen=True, slots=True)
class _Tag:
    kind: int
    count: int
    value: bytes | None
    offset: int


@dataclass(slots=True, eq=False)
class Directory:
    """One image directory.

    Attributes
    ----------
    index : int
        Its place in the chain, or among the children of another.
    children : list of Directory
        Those that its SubIFDs tag names.
    """

    source: TiffSource
    order: str
    index: int
    children: list[Directory] = field(default_factory=list)
    _tags: dict[int, _Tag] = field(default_factory=dict)

    def __contains__(self, code: int) -> bool:
        return code in self._tags

    def raw(self, code: int) -> bytes:
        """Return a tag's bytes; empty if it is absent or longer than 64 MiB."""
        tag = self._tags.get(code)
        if tag is None:
            return b""
        if tag.value is not None:
            return tag.value
        size = tag.count * _BYTES[tag.kind]
        return self.source.read(tag.offset, size) if size <= _MOST_BYTES else b""

    def numbers(self, code: int) -> NDArray[Any]:
        """Return a tag's numbers; empty if it is absent or holds none."""
        tag = self._tags.get(code)
        if tag is None or tag.kind not in _FORMATS or tag.count > _MOST_NUMBERS:
            return np.empty(0, np.int64)
        data = tag.value
        if data is None:
            data = self.source.read(tag.offset, tag.count * _BYTES[tag.kind])
        kind = np.dtype(self.order + _FORMATS[tag.kind])
        return np.frombuffer(data[: len(data) // kind.itemsize * kind.itemsize], kind)

    def number(self, code: int, default: int) -> int:
        """Return a tag's first number as an integer."""
        found = self.numbers(code)
        return int(found[0]) if found.size and math.isfinite(found[0]) else default

    def fractions(self, code: int) -> list[float]:
        """Return a tag's rational or plain numbers; NaN where a denominator is zero."""
        tag = self._tags.get(code)
        if tag is None:
            return []
        if tag.kind not in _RATIONALS:
            return [float(v) for v in self.numbers(code)[:64]]
        data = self.raw(code)[: 8 * 64]
        pairs = np.frombuffer(data[: len(data) // 8 * 8], self.order + _RATIONALS[tag.kind])
        return [float(a) / float(b) if b else math.nan for a, b in pairs.reshape(-1, 2)]

    def text(self, code: int) -> str:
        """Return a tag's text: UTF-8, or else Windows-1252, as older programs write it."""
        tag = self._tags.get(code)
        if tag is None or tag.kind not in (1, 2, 7):
            return ""
        data = self.raw(code).rstrip(b"\0")
        try:
            found = data.decode("utf-8")
        except UnicodeDecodeError:
            found = data.decode("cp1252", errors="replace")
        return found.replace("\0", "\n")


def truncated(path: Path, why: str) -> SlideReadError:
    """Return the error of a file that was cut off."""
    return SlideReadError(f"{path}: the file is truncated, {why}; copy it again from its source")


class _Walk:
    """Follows the chain of directories and the SubIFDs of each, every one once."""

    def __init__(self, source: TiffSource) -> None:
        self.source = source
        header = source.read(0, 16).ljust(16, b"\0")
        self.order = "<" if header[:2] == b"II" else ">"
        self.big = header[2:4] in (b"+\0", b"\0+")
        self.first = self._unpack("Q" if self.big else "I", header, 8 if self.big else 4)
        self.seen: set[int] = set()

    def _unpack(self, kind: str, data: bytes, at: int = 0) -> int:
        return int(struct.unpack_from(self.order + kind, data, at)[0])

    def chain(self, offset: int, nested: int = 0) -> list[Directory]:
        found: list[Directory] = []
        while offset:
            if offset in self.seen:
                raise SlideReadError(
                    f"{self.source.path}: the TIFF structure is damaged, its image directories "
                    "form a loop; copy the file again from its source"
                )
            if len(self.seen) >= _MOST_DIRECTORIES:
                raise NotASlideError(
                    f"{self.source.path}: it holds more than {_MOST_DIRECTORIES:,} images, as a "
                    "stack or a time series does; a slide is one image in brightfield colors"
                )
            self.seen.add(offset)
            directory, following = self._directory(offset, len(found))
            found.append(directory)
            # A child may link to further ones, or to whatever its writer left there.
            offset = following if not nested or self._is_new(following) else 0
        if nested < 3:
            for directory in found:
                directory.children = self._children(directory, nested)
        return found

    def _is_new(self, offset: int) -> bool:
        if not 8 <= offset < self.source.size or offset in self.seen:
            return False
        with contextlib.suppress(SlideReadError):
            directory, _ = self._directory(offset, 0)
            return 256 in directory and 257 in directory
        return False

    def _children(self, directory: Directory, nested: int) -> list[Directory]:
        found: list[Directory] = []
        for offset in directory.numbers(_SUB_IFDS)[:256]:
            # A pointer to nowhere costs a smaller level, not the slide.
            if 8 <= int(offset) < self.source.size and int(offset) not in self.seen:
                found += self.chain(int(offset), nested + 1)
        for place, child in enumerate(found):
            child.index = place
        return found

    def _directory(self, offset: int, index: int) -> tuple[Directory, int]:
        path, size = self.source.path, self.source.size
        head, width, entry = (8, 8, 20) if self.big else (2, 4, 12)
        count_bytes = self.source.read(offset, head)
        if offset >= size or len(count_bytes) < head:
            raise truncated(path, f"an image directory at byte {offset} lies beyond its end")
        count = self._unpack("Q" if self.big else "H", count_bytes)
        if count * entry + head + width > size - offset:
            raise truncated(path, f"the image directory at byte {offset} is incomplete")
        if count > _MOST_ENTRIES:
            raise SlideReadError(
                f"{path}: the TIFF structure is damaged, an image directory claims {count} tags; "
                "copy the file again from its source"
            )
        data = self.source.read(offset + head, count * entry + width)
        if len(data) < count * entry + width:
            raise truncated(path, f"the image directory at byte {offset} is incomplete")
        directory = Directory(self.source, self.order, index)
        for k in range(count):
            self._entry(directory, data[k * entry : (k + 1) * entry])
        return directory, self._unpack("Q" if self.big else "I", data, count * entry)

    def _entry(self, directory: Directory, data: bytes) -> None:
        code, kind = struct.unpack_from(self.order + "HH", data)
        count = self._unpack("Q" if self.big else "I", data, 4)
        inline = data[12:] if self.big else data[8:]
        if kind not in _BYTES or count == 0 or code in directory:
            return
        size = count * _BYTES[kind]
        if size <= len(inline):
            directory._tags[code] = _Tag(kind, count, inline[:size], 0)
            return
        offset = self._unpack("Q" if self.big else "I", inline)
        if offset + size > self.source.size:
            if code in _NEEDED:
                where = f"the tag {code} of an image directory lies beyond its end"
                raise truncated(self.source.path, where)
            return
        directory._tags[code] = _Tag(kind, count, None, offset)


def read_directories(source: TiffSource) -> list[Directory]:
    """Return a file's chain of image directories, each with its SubIFDs.

    Raises
    ------
    SlideReadError
        If the chain leaves the file or forms a loop.
    NotASlideError
        If it is longer than that of any slide.
    """
    walk = _Walk(source)
    found = walk.chain(walk.first)
    if not found:
        raise truncated(source.path, "it holds no image directory")
    return found
