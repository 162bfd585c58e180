"""TIFF files of scanners whose tiles must be moved, or whose directories differ from TIFF's.

Reading their pages as any TIFF's gives wrong pictures: tiles overlap, levels are padded, regions
stand apart on the stage. They are left to OpenSlide, which knows each scanner.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from napari_liverdx.core.errors import LiverDxError
from napari_liverdx.slides.formats.tiff_parts.directory import (
    TIFF_MAGIC,
    Directory,
    TiffSource,
    read_directories,
)

__all__ = ["is_ndpi", "is_scanner_tiff", "scanner_of_tiff"]

_NDPI_TAG = 65420
_XMP_TAG = 700
_SCN_NAMESPACE = "http://www.leica-microsystems.com/scn/"
_MOST_TAGS = 4096


def is_ndpi(path: Path) -> bool:
    """Return whether a file is one of Hamamatsu, whose offsets beyond 4 GiB are not TIFF's."""
    with path.open("rb") as file:
        head = file.read(12)
        if len(head) < 12 or head[:4] != b"II*\0":
            return False
        (long,) = struct.unpack_from("<Q", head, 4)
        (short,) = struct.unpack_from("<I", head, 4)
        size = file.seek(0, 2)
        return any(_has_ndpi_tag(file, at) for at in (long, short) if at < size)


def _has_ndpi_tag(file: BinaryIO, offset: int) -> bool:
    file.seek(offset)
    count = file.read(2)
    if len(count) < 2 or (tags := struct.unpack("<H", count)[0]) > _MOST_TAGS:
        return False
    entries = file.read(12 * tags)
    return any(
        struct.unpack_from("<H", entries, at)[0] == _NDPI_TAG
        for at in range(0, len(entries) - 11, 12)
    )


def scanner_of_tiff(directories: Sequence[Directory]) -> str | None:
    """Return the maker of a TIFF that only OpenSlide reads right; None for any other TIFF."""
    first = directories[0]
    software, description = first.text(305), first.text(270)
    if _NDPI_TAG in first:
        return "Hamamatsu"
    if _SCN_NAMESPACE in description:
        return "Leica"
    if software.startswith("MedScan"):
        return "Trestle"
    if software.startswith("Philips"):
        return "Philips"
    if any(b"<iScan" in directory.raw(_XMP_TAG) for directory in directories):
        return "Ventana"
    return None


def is_scanner_tiff(path: Path) -> bool:
    """Return whether a file is a TIFF that only OpenSlide reads right."""
    if is_ndpi(path):
        return True
    with path.open("rb") as file:
        if file.read(4) not in TIFF_MAGIC:
            return False
    source = TiffSource(path)
    try:
        return scanner_of_tiff(read_directories(source)) is not None
    # A damaged one is another reader's to tell.
    except LiverDxError:
        return False
    finally:
        source.close()
