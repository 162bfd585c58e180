"""Ink, folds and blur painted on tissue."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import ndimage

from napari_liverdx.core.tissue import TissueLabel, TissueMap
from tests.support.slides import write_pyramid

INKS = {
    "blue": (35, 60, 170),
    "green": (20, 120, 70),
    "turquoise": (0, 150, 160),
    "black": (25, 25, 28),
    "red": (205, 25, 45),
}


def inked(
    rgb: np.ndarray, ink: tuple[int, int, int], where: tuple[slice, ...] | slice
) -> np.ndarray:
    """Ink over tissue lets through what both let through."""
    out = rgb.copy()
    out[where] = out[where] * (np.array(ink) / 255)
    return out


def blurred(rgb: np.ndarray, sigma: float, where: tuple[slice, slice]) -> np.ndarray:
    out = rgb.copy()
    out[where] = ndimage.gaussian_filter(rgb.astype(np.float32), (sigma, sigma, 0))[where]
    return out


def folded(rgb: np.ndarray, where: tuple[slice, slice], shift: int) -> np.ndarray:
    """Tissue from ``shift`` rows below lies on the tissue."""
    out = rgb.copy()
    out[where] = (rgb[where] * (np.roll(rgb, -shift, 0)[where] / 243.0)).clip(0, 255)
    return out


def written(path: Path, rgb: np.ndarray) -> Path:
    write_pyramid(path, rgb)
    return path


def labels_at(found: TissueMap, where: tuple[slice, slice]) -> np.ndarray:
    """The labels in a rectangle of level-0 pixels, without its rim."""
    scales = (found.scale_y, found.scale_x)
    edges = [
        (int(v.start / s) + 2, int(v.stop / s) - 2) for v, s in zip(where, scales, strict=True)
    ]
    return found.labels[tuple(slice(*e) for e in edges)]


def some_map(**more: object) -> TissueMap:
    labels = np.zeros((60, 80), np.uint8)
    labels[5:55, 5:75] = TissueLabel.TISSUE
    labels[5:55, 40:60] = TissueLabel.PEN
    return TissueMap(labels, 16.0, 16.0, **more)
