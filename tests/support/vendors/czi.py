"""A written Zeiss CZI: scenes of subblocks, uncompressed or by Zstandard, with a label."""

from __future__ import annotations

import struct
from pathlib import Path

import imagecodecs
import numpy as np

from tests.support.vendors.mirax import jpeg

_BGR24 = 3
PLAIN, ZSTD = 0, 5
_COMPRESSIONS = {PLAIN: lambda raw: raw, ZSTD: imagecodecs.zstd_encode}


def _segment(name: bytes, body: bytes) -> bytes:
    return struct.pack("<16sqq", name, len(body), len(body)) + body


def _entry(
    at: int, compression: int, scene: int, number: int, place: tuple[int, int], pixels: np.ndarray,
    factor: int,
) -> bytes:  # fmt: skip
    height, width = pixels.shape[:2]
    dimensions = (
        (b"X", place[0], width * factor, width),
        (b"Y", place[1], height * factor, height),
        (b"C", 0, 1, 1),
        (b"S", scene, 1, 1),
        (b"M", number, 1, 1),
    )
    pyramid = 0 if factor == 1 else 2
    head = struct.pack("<2siqiib5xi", b"DV", _BGR24, at, 0, compression, pyramid, len(dimensions))
    return head + b"".join(
        struct.pack("<4siifi", name, start, size, 0.0, stored)
        for name, start, size, stored in dimensions
    )


def write_czi(
    path: Path,
    scenes: list[tuple[tuple[int, int], np.ndarray]],
    *,
    compression: int = ZSTD,
    pixel_type: int = _BGR24,
    claimed_scenes: int | None = None,
    mpp: float = 0.5,
    tile: int = 64,
) -> None:
    """Write scenes, each at its (x, y), on two levels.

    Parameters
    ----------
    pixel_type : int
        As the file claims; only 3, 24-bit color, is true.
    claimed_scenes : int, optional
        How many the metadata claim.
    """
    out = bytearray(_segment(b"ZISRAWFILE", b"\0" * 512))
    entries = []
    for scene, ((left, top), pixels) in enumerate(scenes):
        for factor in (1, 2):
            level = pixels[::factor, ::factor]
            for y in range(0, level.shape[0], tile):
                for x in range(0, level.shape[1], tile):
                    part = level[y : y + tile, x : x + tile]
                    place = (left + x * factor, top + y * factor)
                    raw = np.ascontiguousarray(part[..., ::-1]).tobytes()
                    data = _COMPRESSIONS[compression](raw)
                    entry = bytearray(
                        _entry(len(out), compression, scene, len(entries), place, part, factor)
                    )
                    struct.pack_into("<i", entry, 2, pixel_type)
                    entries.append(bytes(entry))
                    head = struct.pack("<iiq", 0, 0, len(data)) + entry
                    out += _segment(b"ZISRAWSUBBLOCK", head.ljust(256, b"\0") + data)
    directory = len(out)
    body = struct.pack("<i124x", len(entries)) + b"".join(entries)
    out += _segment(b"ZISRAWDIRECTORY", body)
    metadata = len(out)
    xml = _xml(scenes, claimed_scenes or len(scenes), mpp).encode()
    out += _segment(b"ZISRAWMETADATA", struct.pack("<ii248x", len(xml), 0) + xml)
    label = jpeg(np.full((24, 16, 3), 99, np.uint8))
    at = len(out)
    attached = struct.pack("<2s10xqi16s8s80s", b"A1", at, 0, b"\1" * 16, b"JPG", b"Label")
    out += _segment(
        b"ZISRAWATTACH", struct.pack("<i12x", len(label)) + attached + b"\0" * 112 + label
    )
    attachments = len(out)
    out += _segment(b"ZISRAWATTDIR", struct.pack("<i252x", 1) + attached)
    head = struct.pack("<iiii16s16siqqiq", 1, 0, 0, 0, b"\2" * 16, b"\3" * 16, 0, directory,
                       metadata, 0, attachments)  # fmt: skip
    out[32 : 32 + len(head)] = head
    path.write_bytes(out)


def _xml(scenes: list[tuple[tuple[int, int], np.ndarray]], count: int, mpp: float) -> str:
    width = max(x + p.shape[1] for (x, _), p in scenes)
    height = max(y + p.shape[0] for (_, y), p in scenes)
    distances = "".join(
        f'<Distance Id="{axis}"><Value>{mpp * 1e-6}</Value></Distance>' for axis in "XY"
    )
    return (
        '<?xml version="1.0"?><ImageDocument><Metadata><Information><Image>'
        f"<PixelType>Bgr24</PixelType><SizeX>{width}</SizeX><SizeY>{height}</SizeY>"
        f'<SizeS>{count}</SizeS><ObjectiveSettings><ObjectiveRef Id="Objective:1"/>'
        '</ObjectiveSettings></Image><Instrument><Objectives><Objective Id="Objective:1">'
        "<NominalMagnification>20</NominalMagnification></Objective></Objectives></Instrument>"
        f"</Information><Scaling><Items>{distances}</Items></Scaling></Metadata></ImageDocument>"
    )
