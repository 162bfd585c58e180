"""Written Hamamatsu VMS and VMU: a list in a text file, and the pictures that it names."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from tests.support.vendors.mirax import jpeg

_BLOCKS = 4


def write_vms(path: Path, pixels: np.ndarray, *, power: float = 20.0) -> None:
    """Write pixels as two JPEG columns with restart markers, a map of a quarter, and a macro."""
    half = pixels.shape[1] // 2
    stem = path.stem
    parts = {
        f"{stem}.jpg": pixels[:, :half],
        f"{stem}(1,0).jpg": pixels[:, half:],
        f"{stem}_map2.jpg": pixels[::4, ::4],
        f"{stem}_macro.jpg": pixels[::4, ::4],
    }
    for name, part in parts.items():
        (path.parent / name).write_bytes(
            jpeg(np.ascontiguousarray(part), subsampling=0, restart_marker_blocks=_BLOCKS)
        )
    path.write_text(
        "[Virtual Microscope Specimen]\n"
        "NoLayers=1\n"
        "NoJpegColumns=2\n"
        "NoJpegRows=1\n"
        f"ImageFile={stem}.jpg\n"
        f"ImageFile(1,0)={stem}(1,0).jpg\n"
        f"MapFile={stem}_map2.jpg\n"
        f"MacroImage={stem}_macro.jpg\n" + _physical(pixels, power)
    )


def write_vmu(path: Path, pixels: np.ndarray, *, power: float = 20.0) -> None:
    """Write pixels uncompressed, 12 bits each, in columns, and a map of a quarter."""
    stem = path.stem
    for name, part in ((f"{stem}.ngr", pixels), (f"{stem}_map2.ngr", pixels[::4, ::4])):
        (path.parent / name).write_bytes(_ngr(part))
    path.write_text(
        "[Uncompressed Virtual Microscope Specimen]\n"
        "NoLayers=1\n"
        "BitsPerPixel=36\n"
        "PixelOrder=RGB\n"
        f"ImageFile={stem}.ngr\n"
        f"MapFile={stem}_map2.ngr\n" + _physical(pixels, power)
    )


def _physical(pixels: np.ndarray, power: float) -> str:
    """Widths in nm, at half a micrometer a pixel."""
    height, width = pixels.shape[:2]
    return (
        f"SourceLens={power:g}\nPhysicalWidth={width * 500}\nPhysicalHeight={height * 500}\n"
        "PhysicalMacroWidth=1000000\nPhysicalMacroHeight=1000000\n"
    )


def _ngr(pixels: np.ndarray) -> bytes:
    height, width = pixels.shape[:2]
    column = width // 2
    head = struct.pack("<2sHiii", b"GN", 0, width, height, column)
    head = head.ljust(24, b"\0") + struct.pack("<i", 64)
    wide = pixels.astype("<u2") << 4
    columns = [wide[:, x : x + column].tobytes() for x in range(0, width, column)]
    return head.ljust(64, b"\0") + b"".join(columns)
