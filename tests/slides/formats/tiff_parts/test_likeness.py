"""Levels are known by what they show, and other pictures are not taken for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_liverdx.slides.open import open_slide
from tests.support.pictures import jpeg
from tests.support.tiffs import page, tissue, write_tiff


def levels(path: Path, large: np.ndarray, small: np.ndarray) -> int:
    with open_slide(write_tiff(path / "a.tif", [page(large, 128), page(small, 32)])) as slide:
        return len(slide.levels)


def resized(pixels: np.ndarray, factor: float, how: Image.Resampling) -> np.ndarray:
    height, width = pixels.shape[:2]
    small = Image.fromarray(pixels).resize((int(width / factor), int(height / factor)), how)
    return np.asarray(small)


@pytest.mark.parametrize("factor", [1.5, 2, 3, 4, 5.5])
@pytest.mark.parametrize(
    "how", [Image.Resampling.NEAREST, Image.Resampling.BOX, Image.Resampling.LANCZOS]
)
def test_levels_made_in_any_way_are_levels(
    tmp_path: Path, factor: float, how: Image.Resampling
) -> None:
    for seed in range(3):
        large = tissue(601, 803, seed)
        small = resized(large, factor, how)
        assert levels(tmp_path, jpeg(large, 60), jpeg(small, 40)) == 2


@pytest.mark.parametrize("factor", [2, 4])
def test_other_tissue_and_photographs_of_the_glass_are_no_levels(
    tmp_path: Path, factor: int
) -> None:
    for seed in range(6):
        large = tissue(600, 800, seed)
        other = tissue(600 // factor, 800 // factor, seed + 50)
        assert levels(tmp_path, large, other) == 1
        glass = np.full((600 // factor, 800 // factor, 3), 235, np.uint8)
        part = resized(large, factor / 0.6, Image.Resampling.BOX)
        glass[20 : 20 + part.shape[0], 30 : 30 + part.shape[1]] = part
        assert levels(tmp_path, large, glass) == 1


def test_empty_levels_are_levels(tmp_path: Path) -> None:
    white = np.full((600, 800, 3), 243, np.uint8)
    assert levels(tmp_path, white, white[::2, ::2]) == 2
    assert levels(tmp_path, white, white[::2, ::2] // 2) == 1


def test_damaged_levels_are_levels(tmp_path: Path) -> None:
    """They cannot be compared, and a slide must not lose its levels to a few bytes."""
    large = page(tissue(300, 400), 128)
    small = page(tissue(150, 200, 5), 128, t259=8)
    small.segments = [b"damaged"] * len(small.segments)
    with open_slide(write_tiff(tmp_path / "a.tif", [large, small])) as slide:
        assert len(slide.levels) == 2
