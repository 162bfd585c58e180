"""Every compression that is read; what stored tiles claim is checked before it is decoded."""

from __future__ import annotations

import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import openslide
import pytest
import tifffile

from napari_liverdx.core.errors import NotASlideError, SlideReadError, TileReadError
from napari_liverdx.slides.backend import SlideRequest
from napari_liverdx.slides.formats.tiff import open_tiff
from napari_liverdx.slides.open import open_slide
from tests.support.slides import whole
from tests.support.tiffs import page, tissue, write_tiff

TISSUE = tissue(96, 160)
LOSSLESS: dict[str, dict[str, Any]] = {
    "LZW": {"compression": "lzw", "predictor": True},
    "Deflate": {"compression": "deflate"},
    "old Deflate": {"compression": 32946},
    "PackBits": {"compression": "packbits"},
    "LZMA": {"compression": "lzma", "predictor": True},
    "Zstd": {"compression": "zstd", "predictor": True},
    "LERC": {"compression": "lerc"},
    "PNG": {"compression": "png"},
    "JPEG XL": {"compression": "jpegxl"},
    "JPEG 2000": {"compression": "jpeg2000"},
    "JPEG XR": {"compression": "jpegxr"},
    "WebP": {"compression": "webp", "compressionargs": {"level": -1, "lossless": True}},
}


@pytest.mark.parametrize("tile", [(64, 64), None])
@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_compressions_come_back_exactly(
    tmp_path: Path, name: str, tile: tuple[int, int] | None
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, TISSUE, photometric="rgb", tile=tile, rowsperstrip=40, **LOSSLESS[name])
    with open_slide(path) as slide:
        assert (whole(slide) == TISSUE).all()


@pytest.mark.parametrize(
    ("name", "byteorder"),
    [(name, "<") for name in ("LERC", "JPEG XL", "JPEG 2000", "PNG")]
    + [(name, order) for name in ("LZW", "Deflate", "Zstd") for order in "<>"],
)
def test_16_bits(tmp_path: Path, name: str, byteorder: str) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path, byteorder=byteorder) as writer:
        deep = TISSUE.astype(np.uint16) * 257
        writer.write(deep, photometric="rgb", tile=(64, 64), **LOSSLESS[name])
    with open_slide(path) as slide:
        assert (whole(slide) == TISSUE).all()


@pytest.mark.parametrize("tile", [32, None])
@pytest.mark.parametrize("photometric", [2, 6])
def test_jpeg_by_its_photometric_tag(tmp_path: Path, photometric: int, tile: int | None) -> None:
    one = page(TISSUE, tile, t259=7, t262=photometric)
    shape = (tile, tile, 3) if tile else TISSUE.shape
    one.segments = [
        imagecodecs.jpeg8_encode(
            np.frombuffer(segment, np.uint8).reshape(shape),
            level=95,
            colorspace="rgb",
            outcolorspace="rgb" if photometric == 2 else "ycbcr",
        )
        for segment in one.segments
    ]
    with open_slide(write_tiff(tmp_path / "a.tif", [one])) as slide:
        assert np.abs(whole(slide).astype(int) - TISSUE).mean() < 4


def test_jpeg_in_planes(tmp_path: Path) -> None:
    one = page(TISSUE, t259=7, t284=2)
    planes = (np.ascontiguousarray(TISSUE[..., k]) for k in range(3))
    one.segments = [imagecodecs.jpeg8_encode(plane, level=98) for plane in planes]
    with open_slide(write_tiff(tmp_path / "a.tif", [one])) as slide:
        assert np.abs(whole(slide).astype(int) - TISSUE).mean() < 2


def test_missing_tiles_of_planes_and_of_cmyk_are_white(tmp_path: Path) -> None:
    one = page(TISSUE, 32)
    one.segments = [b""] * len(one.segments)
    four = page(np.dstack([TISSUE, TISSUE[..., 0]]), 32, t262=5)
    four.segments = [b""] * len(four.segments)
    strips = page(TISSUE, t278=(4, 96))
    strips.segments = [b""]
    for k, pages in enumerate((one, four, strips)):
        with open_slide(write_tiff(tmp_path / f"{k}.tif", [pages])) as slide:
            assert (whole(slide) == 255).all()


@pytest.mark.parametrize("photometric", [2, 6])
@pytest.mark.parametrize("compression", [33003, 33005])
def test_jpeg_2000_of_aperio_as_openslide_reads_it(
    tmp_path: Path, compression: int, photometric: int
) -> None:
    """Written as Aperio does, without a color transform within JPEG 2000."""
    text = "Aperio Image Library v10\n160x96 (32x32) J2K|MPP = 0.25"
    one = page(TISSUE, 32, t259=compression, t270=text, t262=photometric)
    one.segments = [
        imagecodecs.jpeg2k_encode(
            np.frombuffer(s, np.uint8).reshape(32, 32, 3), codecformat="j2k", mct=False
        )
        for s in one.segments
    ]
    path = write_tiff(tmp_path / "a.svs", [one])
    with open_slide(path) as slide, openslide.OpenSlide(path) as peer:
        ours = whole(slide).astype(int)
        theirs = np.asarray(peer.read_region((0, 0), 0, peer.dimensions).convert("RGB"))
        assert slide.info.format == "Aperio SVS"
        assert np.abs(ours - theirs).max() <= 1


def test_jpeg_2000_of_aperio_that_is_not_read_here_is_left_to_openslide(tmp_path: Path) -> None:
    one = page(TISSUE, 32, t259=33003, t270="Aperio\n160x96 (32x32) J2K|MPP = 0.25", t262=6)
    gray = imagecodecs.jpeg2k_encode(np.zeros((32, 32), np.uint8), codecformat="j2k")
    one.segments = [gray] * len(one.segments)
    path = write_tiff(tmp_path / "a.svs", [one])
    assert open_tiff(SlideRequest(path)) is None


CLAIMS = {
    7: lambda big: imagecodecs.jpeg8_encode(big),
    34712: lambda big: imagecodecs.jpeg2k_encode(big),
    50001: lambda big: imagecodecs.webp_encode(big),
    50002: lambda big: imagecodecs.jpegxl_encode(big),
    34933: lambda big: imagecodecs.png_encode(big),
    34887: lambda big: imagecodecs.lerc_encode(big),
    34934: lambda big: imagecodecs.jpegxr_encode(big),
    8: lambda big: imagecodecs.zlib_encode(b"\0" * 100),
    5: lambda big: imagecodecs.lzw_encode(b"\0" * 100),
    1: lambda big: b"\0" * 100,
}


@pytest.mark.parametrize("compression", CLAIMS)
def test_a_tile_that_is_not_what_the_directory_says(tmp_path: Path, compression: int) -> None:
    big = np.zeros((200, 200, 3), np.uint8)
    one = page(TISSUE, 32, t259=compression, t262=2)
    one.segments = [CLAIMS[compression](big)] * len(one.segments)
    if compression == 1:
        one.tags = {**one.tags, 324: (4, [0xFFFF] * len(one.segments))}
        with pytest.raises(SlideReadError, match="truncated"):
            open_slide(write_tiff(tmp_path / "a.tif", [one]))
        return
    told = pytest.raises(TileReadError, match=r"row 1, column 2.*damaged")
    with open_slide(write_tiff(tmp_path / "a.tif", [one])) as slide, told:
        slide.read_tile(0, 1, 2)


@pytest.mark.parametrize("cut", [1, 4, 5])
def test_deflate_that_ends_before_its_checksum(tmp_path: Path, cut: int) -> None:
    one = page(TISSUE, 32, t259=8, t262=2)
    one.segments = [zlib.compress(segment) for segment in one.segments]
    wrong, short = one.segments[3], one.segments[4]
    one.segments = [segment[:-cut] for segment in one.segments]
    one.segments[3:5] = [wrong[:-1] + bytes([wrong[-1] ^ 1]), short[: len(short) // 2]]
    with open_slide(write_tiff(tmp_path / "a.tif", [one])) as slide:
        assert (slide.read_tile(0, 0, 0) == TISSUE[:32, :32]).all()
        for col in (3, 4):
            with pytest.raises(TileReadError, match="damaged"):
                slide.read_tile(0, 0, col)


def test_tiles_and_strips_too_large_to_hold_are_refused_with_the_way_to_convert(
    tmp_path: Path,
) -> None:
    small = np.zeros((8, 8, 3), np.uint8)
    tiled = page(small, 8, t256=(4, 60_000), t257=(4, 60_000), t322=(4, 60_000), t323=(4, 60_000))
    strip = page(small, t256=(4, 60_000), t257=(4, 60_000), t278=(4, 60_000), t259=8)
    for one in (tiled, strip):
        with pytest.raises(NotASlideError, match="vips tiffsave"):
            open_slide(write_tiff(tmp_path / "a.tif", [one]))


@pytest.mark.parametrize("rows", [None, (4, 2**32 - 1)])
def test_strips_whose_rows_are_not_said(tmp_path: Path, rows: Any) -> None:
    one = page(TISSUE, t278=rows)
    if rows is None:
        one.segments = [TISSUE[y : y + 24].tobytes() for y in range(0, 96, 24)]
    with open_slide(write_tiff(tmp_path / "a.tif", [one])) as slide:
        assert (whole(slide) == TISSUE).all()


def test_a_strip_whose_size_is_not_said(tmp_path: Path) -> None:
    one = page(TISSUE)
    one.segments = []
    length = len(write_tiff(tmp_path / "a.tif", [one]).read_bytes()) + 12
    one.tags = {**one.tags, 273: (4, length)}
    path = write_tiff(tmp_path / "a.tif", [one])
    path.write_bytes(path.read_bytes() + TISSUE.tobytes())
    with open_slide(path) as slide:
        assert (whole(slide) == TISSUE).all()


def test_rows_of_one_huge_uncompressed_strip_are_read_alone(tmp_path: Path) -> None:
    """A sparse file: 3.6 GB are claimed and there, none of them are held."""
    path = tmp_path / "a.tif"
    one = page(np.zeros((1, 1, 3), np.uint8), t256=(4, 30_000), t257=(4, 40_000), t278=(4, 40_000))
    one.tags = {**one.tags, 279: (4, 30_000 * 40_000 * 3)}
    write_tiff(path, [one])
    with path.open("r+b") as file:
        file.truncate(30_000 * 40_000 * 3 + 4096)
    with open_slide(path) as slide:
        assert slide.size == (30_000, 40_000)
        assert slide.read_region(0, 29_000, 39_000, 50, 50).shape == (50, 50, 3)
        assert slide.levels[0].tile_height <= 600


def test_a_large_compressed_strip_is_decoded_once_for_its_tiles(tmp_path: Path) -> None:
    pixels = np.tile(TISSUE, (10, 12, 1))
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, photometric="rgb", compression="zstd", rowsperstrip=960)
    with open_slide(path) as slide:
        assert slide.levels[0].tile_height == 256
        with ThreadPoolExecutor(4) as pool:
            tiles = list(pool.map(lambda row: slide.read_tile(0, row, 0), [3, 0, 2, 1, 0, 3]))
        for row, tile in zip([3, 0, 2, 1, 0, 3], tiles, strict=True):
            assert (tile == pixels[row * 256 : (row + 1) * 256]).all()
