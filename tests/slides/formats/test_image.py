"""Ordinary images as slides of one level."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_liverdx.core.errors import SlideReadError
from napari_liverdx.slides.open import open_slide
from tests.support.slides import RNG, waves, whole


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "tif"])
def test_ordinary_images_are_one_level_slides(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"image.{ending}"
    Image.fromarray(waves(700, 900)).save(path)
    with open_slide(path) as slide:
        assert slide.size == (900, 700)
        assert len(slide.levels) == 1
        assert (whole(slide) == np.asarray(Image.open(path).convert("RGB"))).all()


def test_palette_and_transparency_are_composited(tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    image = Image.new("RGBA", (50, 40), (10, 20, 30, 0))
    image.convert("P").save(path)
    with open_slide(path) as slide:
        assert whole(slide).shape == (40, 50, 3)


def test_truncated_image_says_so(tmp_path: Path) -> None:
    good = tmp_path / "good.png"
    Image.fromarray(RNG.integers(0, 255, (200, 200, 3), np.uint8)).save(good)
    path = tmp_path / "cut.png"
    path.write_bytes(good.read_bytes()[:20_000])
    with pytest.raises(SlideReadError, match=r"damaged|cut off"):
        open_slide(path)
