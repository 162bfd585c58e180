"""Ordinary images as slides of one level."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from napari_liverdx.core.errors import NotASlideError, SlideReadError
from napari_liverdx.slides.open import open_slide
from tests.support.slides import RNG, waves, whole


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "tif", "webp", "jp2", "avif"])
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


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "RGBA", "I;16"])
def test_any_kind_of_pixels(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    pixels = Image.fromarray(waves(60, 80))
    if mode == "I;16":
        Image.fromarray(np.asarray(pixels.convert("L")).astype(np.uint16) * 257).save(path)
        right = pixels.convert("L").convert("RGB")
    else:
        pixels.convert(mode).save(path, quality=98)
        right = pixels.convert(mode).convert("RGB")
    with open_slide(path) as slide:
        assert np.abs(whole(slide).astype(int) - np.asarray(right)).mean() < 2


def test_tall_images_are_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    pixels = waves(2100, 20)
    Image.fromarray(pixels).save(path)
    with open_slide(path) as slide:
        assert (whole(slide) == pixels).all()


def test_color_profiles_are_kept(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = tmp_path / "a.png"
    Image.fromarray(waves(20, 30)).save(path, icc_profile=profile)
    with open_slide(path) as slide:
        assert slide.info.icc_profile == profile


def test_an_image_that_claims_too_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(waves(20, 30)).save(path)
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 20_000, 10_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)
    with pytest.raises(NotASlideError, match="vips tiffsave"):
        open_slide(path)


def test_programs_in_pictures_are_never_run(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    with pytest.raises(NotASlideError, match="not an image"):
        open_slide(path)
