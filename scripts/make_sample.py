"""Build the packaged sample slide from two real H&E regions of liver.

The tissue is real; its layout is not: two regions are cut to irregular outlines and laid side by
side on glass. Usage: python scripts/make_sample.py FOLDER_WITH_LIVER_HE OUT.ome.tif
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

MPP = 0.5
GLASS = np.array([242, 241, 243], np.float32)
MARGIN = 384


def outline(size: int, seed: int) -> NDArray[np.float32]:
    """Return a soft-edged irregular blob, 1 inside and 0 outside, shape (size, size)."""
    rng = np.random.default_rng(seed)
    y, x = (np.mgrid[:size, :size] / (size - 1) - 0.5) * 2
    angle = np.arctan2(y, x)
    radius = 0.92 + sum(
        rng.normal(0, 0.05 / k) * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
        for k in range(2, 24)
    )
    distance = (np.abs(x) ** 4 + np.abs(y) ** 4) ** 0.25
    return ndimage.gaussian_filter((distance < radius).astype(np.float32), 2)


def main() -> None:
    """Read the regions, lay them out, write the pyramid."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    regions = [
        np.asarray(Image.open(args.folder / f"tile0{i}_HE.jpg").convert("RGB")) for i in (1, 2)
    ]
    height = max(region.shape[0] for region in regions) + 2 * MARGIN
    width = sum(region.shape[1] for region in regions) + 3 * MARGIN
    canvas = np.empty((height, width, 3), np.float32)
    canvas[:] = GLASS
    left = MARGIN
    for seed, region in enumerate(regions):
        size = region.shape[0]
        top = (height - size) // 2
        weight = outline(size, seed)[..., None]
        part = canvas[top : top + size, left : left + size]
        part[...] = part * (1 - weight) + region * weight
        left += size + MARGIN
    level = canvas.round().astype(np.uint8)
    levels = [level]
    while min(levels[-1].shape[:2]) > 512:
        image = Image.fromarray(levels[-1])
        levels.append(np.asarray(image.reduce(2)))
    options = {
        "photometric": "rgb",
        "compression": "jpeg",
        "compressionargs": {"level": 82},
        "tile": (256, 256),
    }
    with tifffile.TiffWriter(args.out, ome=True) as writer:
        metadata = {
            "axes": "YXS",
            "PhysicalSizeX": MPP,
            "PhysicalSizeXUnit": "µm",
            "PhysicalSizeY": MPP,
            "PhysicalSizeYUnit": "µm",
            "Description": "Real liver H&E (liverquant examples, MIT); synthetic mosaic layout",
        }
        writer.write(levels[0], subifds=len(levels) - 1, metadata=metadata, **options)
        for small in levels[1:]:
            writer.write(small, subfiletype=1, **options)


if __name__ == "__main__":
    main()
