"""Writing, reading and damaging slides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile

from napari_liverdx.core.resolution import Level
from napari_liverdx.slides.slide import Slide


def write_pyramid(
    path: Path, pixels: np.ndarray, *, mpp: float | None = 0.5, levels: int = 2, tile: int = 128
) -> None:
    """Write a tiled TIFF pyramid without loss."""
    resolution: dict[str, object] = {}
    if mpp is not None:
        resolution = {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": "CENTIMETER"}
    with tifffile.TiffWriter(path) as writer:
        for level in range(levels):
            writer.write(
                pixels[:: 2**level, :: 2**level],
                tile=(tile, tile),
                photometric="rgb",
                compression="zlib",
                subfiletype=int(level > 0),
                metadata=None,
                **(resolution if level == 0 else {}),
            )


def level_sizes(width: int, height: int, factors: tuple[int, ...] = (1,)) -> tuple[Level, ...]:
    levels = []
    for factor in factors:
        w, h = max(1, width // factor), max(1, height // factor)
        levels.append(Level(w, h, width / w, height / h, 256, 256))
    return tuple(levels)


RNG = np.random.default_rng(0)


def waves(height: int = 300, width: int = 420) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    waves = [127 + 120 * np.sin(x / 17 + k) * np.cos(y / 23 + 2 * k) for k in range(3)]
    return np.stack(waves, axis=2).astype(np.uint8)


def whole(slide: Slide, level: int = 0) -> np.ndarray:
    shape = slide.levels[level]
    return slide.read_region(level, 0, 0, shape.width, shape.height)


def corrupt_tile(path: Path, index: int) -> None:
    """Overwrite one stored tile of the first page with zeros."""
    with tifffile.TiffFile(path) as tif:
        page = tif.pages.first
        offset, size = page.dataoffsets[index], page.databytecounts[index]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\0" * size)
