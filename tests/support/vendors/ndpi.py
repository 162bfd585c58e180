"""A written Hamamatsu NDPI: a TIFF whose every level is one JPEG with restart markers."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
from PIL import Image

_SHORT, _LONG, _RATIONAL, _FLOAT, _SLONG, _ASCII = 3, 4, 5, 11, 9, 2
MACRO_LENS = -1.0


def _jpeg(pixels: np.ndarray, *, blocks: int) -> bytes:
    stored = io.BytesIO()
    Image.fromarray(pixels).save(
        stored, "JPEG", quality=90, subsampling=0, restart_marker_blocks=blocks
    )
    return stored.getvalue()


def _restarts(jpeg: bytes) -> list[int]:
    """Where each run of blocks begins: after the scan's header, and after each restart marker."""
    header = jpeg.index(b"\xff\xda")
    first = header + 2 + struct.unpack_from(">H", jpeg, header + 2)[0]
    starts, at = [first], first
    while (at := jpeg.find(b"\xff", at)) != -1:
        if 0xD0 <= jpeg[at + 1] <= 0xD7:
            starts.append(at + 2)
        at += 2
    return starts


def write_ndpi(
    path: Path,
    pixels: np.ndarray,
    *,
    levels: int = 2,
    mpp: float = 0.25,
    power: float = 40.0,
    blocks: int = 8,
    center_nm: tuple[int, int] = (0, 0),
) -> None:
    """Write pixels whose width on every level is a multiple of 8 · ``blocks``."""
    pictures = [(pixels[:: 2**i, :: 2**i], power / 2**i, mpp * 2**i) for i in range(levels)]
    pictures.append((pixels[::8, ::8], MACRO_LENS, 1.0))
    out = bytearray(b"II*\0" + b"\0" * 8)
    previous = 4
    for picture, lens, um in pictures:
        stored = _jpeg(np.ascontiguousarray(picture), blocks=blocks)
        data = len(out)
        out += stored
        starts = _restarts(stored)
        table = len(out)
        out += struct.pack(f"<{len(starts)}I", *starts)
        resolution = len(out)
        out += struct.pack("<2I", round(1e7 / um), 1000)
        maker = len(out)
        out += b"Hamamatsu\0"
        height, width = picture.shape[:2]
        tags: list[tuple[int, int, int, bytes]] = [
            (256, _LONG, 1, struct.pack("<I", width)),
            (257, _LONG, 1, struct.pack("<I", height)),
            (258, _SHORT, 1, struct.pack("<I", 8)),
            (259, _SHORT, 1, struct.pack("<I", 7)),
            (262, _SHORT, 1, struct.pack("<I", 6)),
            (271, _ASCII, 10, struct.pack("<I", maker)),
            (273, _LONG, 1, struct.pack("<I", data)),
            (277, _SHORT, 1, struct.pack("<I", 3)),
            (278, _LONG, 1, struct.pack("<I", height)),
            (279, _LONG, 1, struct.pack("<I", len(stored))),
            (282, _RATIONAL, 1, struct.pack("<I", resolution)),
            (283, _RATIONAL, 1, struct.pack("<I", resolution)),
            (296, _SHORT, 1, struct.pack("<I", 3)),
            (65420, _LONG, 1, struct.pack("<I", 1)),
            (65421, _FLOAT, 1, struct.pack("<f", lens)),
            (65422, _SLONG, 1, struct.pack("<i", center_nm[0])),
            (65423, _SLONG, 1, struct.pack("<i", center_nm[1])),
            (65424, _SLONG, 1, struct.pack("<i", 0)),
            (65426, _LONG, len(starts), struct.pack("<I", table)),
        ]
        struct.pack_into("<Q", out, previous, len(out))
        out += struct.pack("<H", len(tags))
        for code, kind, count, value in tags:
            out += struct.pack("<HHI", code, kind, count) + value
        previous = len(out)
        # Offsets of directories have eight bytes; so have the upper halves of all values.
        out += b"\0" * 8 + b"\0" * 4 * len(tags)
    path.write_bytes(out)
