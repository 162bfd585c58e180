"""Writing Deep Zoom images with OpenSlide's generator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from openslide import ImageSlide
from openslide.deepzoom import DeepZoomGenerator
from PIL import Image


def write_deep_zoom(
    path: Path, pixels: np.ndarray, *, tile: int = 126, overlap: int = 1, kind: str = "png"
) -> Path:
    """Write a ``.dzi`` file and its folder of tiles."""
    with ImageSlide(Image.fromarray(pixels)) as image:
        made = DeepZoomGenerator(image, tile_size=tile, overlap=overlap)
        path.write_text(made.get_dzi(kind))
        for level, (columns, rows) in enumerate(made.level_tiles):
            folder = path.with_name(f"{path.stem}_files") / str(level)
            folder.mkdir(parents=True)
            for col in range(columns):
                for row in range(rows):
                    made.get_tile(level, (col, row)).save(folder / f"{col}_{row}.{kind}")
    return path
