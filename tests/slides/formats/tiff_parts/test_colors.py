"""Colors by what the tags say, in small files of each kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from skimage.color import rgb2lab

from napari_liverdx.core.errors import NotASlideError
from napari_liverdx.slides.open import open_slide
from tests.support.slides import whole
from tests.support.tiffs import Page, page, tissue, write_tiff

TISSUE = tissue(96, 128)
GRAY = TISSUE.mean(2).round().astype(np.uint8)


def read(path: Path) -> np.ndarray:
    with open_slide(path) as slide:
        return whole(slide)


def error(path: Path, expected: np.ndarray) -> float:
    return float(np.abs(read(path).astype(int) - expected).max())


def as_ycbcr(rgb: np.ndarray) -> np.ndarray:
    r, g, b = (rgb[..., k].astype(float) for k in range(3))
    y = 0.299 * r + 0.587 * g + 0.114 * b
    return np.dstack([y, 128 + (b - y) / 1.772, 128 + (r - y) / 1.402]).round().astype(np.uint8)


def as_cmyk(rgb: np.ndarray) -> np.ndarray:
    black = 255 - rgb.max(2).astype(float)
    light = np.maximum(255 - black, 1)[..., None]
    ink = (255 - black[..., None] - rgb) / light * 255
    return np.dstack([ink, black]).round().astype(np.uint8)


def subsampled(ycbcr: np.ndarray, across: int, down: int) -> bytes:
    h, w = ycbcr.shape[:2]
    blocks = ycbcr.reshape(h // down, down, w // across, across, 3).transpose(0, 2, 1, 3, 4)
    luma = blocks[..., 0].reshape(h // down, w // across, -1)
    chroma = blocks[..., 1:].mean((2, 3)).round().astype(np.uint8)
    return np.concatenate([luma, chroma], axis=2).tobytes()


@pytest.mark.parametrize("tile", [None, 64])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["white is zero", "black is zero", "rgb 16", "gray 16", "palette"])
def test_what_loses_nothing_comes_back_exactly(
    tmp_path: Path, kind: str, order: str, tile: int | None
) -> None:
    wide = TISSUE.astype(np.dtype(np.uint16).newbyteorder(order)) * 257
    palette = np.arange(256)[:, None] * [1, 2, 3] % 256
    pages = {
        "white is zero": (page(255 - GRAY, tile, t262=0), GRAY[..., None].repeat(3, 2)),
        "black is zero": (page(GRAY, tile, t262=1), GRAY[..., None].repeat(3, 2)),
        "rgb 16": (page(wide, tile), TISSUE),
        "gray 16": (page(wide[..., 0], tile), TISSUE[..., :1].repeat(3, 2)),
        "palette": (
            page(GRAY, tile, t262=3, t320=[int(v) * 257 for v in palette.T.ravel()]),
            palette[GRAY],
        ),
    }
    stored, expected = pages[kind]
    assert error(write_tiff(tmp_path / "a.tif", [stored], order=order), expected) == 0


def test_a_palette_written_in_8_bits(tmp_path: Path) -> None:
    palette = np.arange(256)[:, None] * [1, 2, 3] % 256
    stored = page(GRAY, t262=3, t320=[int(v) for v in palette.T.ravel()])
    assert error(write_tiff(tmp_path / "a.tif", [stored]), palette[GRAY]) == 0


def test_bilevel_and_few_bits(tmp_path: Path) -> None:
    bits = GRAY > 200
    for photometric, flip in ((1, False), (0, True)):
        stored = page(GRAY, t262=photometric, t258=1)
        stored.segments = [np.packbits(bits, axis=1).tobytes()]
        expected = (bits != flip)[..., None].repeat(3, 2) * 255
        assert error(write_tiff(tmp_path / "a.tif", [stored]), expected) == 0
    stored = page(GRAY, t258=4)
    stored.segments = [(GRAY[:, ::2] & 0xF0 | GRAY[:, 1::2] >> 4).tobytes()]
    expected = (GRAY >> 4)[..., None].repeat(3, 2) * 17
    assert error(write_tiff(tmp_path / "b.tif", [stored]), expected) == 0


@pytest.mark.parametrize("compression", ["ccittrle", "ccitt_t6"])
def test_fax(tmp_path: Path, compression: str) -> None:
    names = {"ccittrle": "tiff_ccitt", "ccitt_t6": "group4"}
    bits = Image.fromarray(GRAY > 200)
    path = tmp_path / "a.tif"
    bits.save(path, compression=names[compression])
    assert error(path, np.asarray(bits.convert("RGB"))) == 0


@pytest.mark.parametrize("tile", [None, 64])
@pytest.mark.parametrize("dots", [None, (0, 255), (255, 0)])
def test_cmyk(tmp_path: Path, tile: int | None, dots: tuple[int, int] | None) -> None:
    stored = as_cmyk(TISSUE)
    more = {"t336": (3, dots)} if dots else {}
    stored = page(255 - stored if dots == (255, 0) else stored, tile, t262=5, **more)
    assert error(write_tiff(tmp_path / "a.tif", [stored]), TISSUE) <= 3


@pytest.mark.parametrize("inverted", [False, True])
def test_cmyk_in_jpeg_either_way(tmp_path: Path, inverted: bool) -> None:
    stored = as_cmyk(TISSUE)
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path,
        255 - stored if inverted else stored,
        photometric="separated",
        compression="jpeg",
        compressionargs={"level": 98},
        tile=(64, 64),
    )
    assert error(path, TISSUE) <= 30
    assert np.abs(read(path).mean((0, 1)) - TISSUE.mean((0, 1))).max() < 3


@pytest.mark.parametrize("blocks", [(1, 1), (2, 1), (2, 2), (4, 2)])
def test_ycbcr_without_jpeg(tmp_path: Path, blocks: tuple[int, int]) -> None:
    ycbcr = as_ycbcr(TISSUE)
    stored = page(ycbcr, t262=6, t530=list(blocks), t278=(4, 16))
    stored.segments = [subsampled(ycbcr[y : y + 16], *blocks) for y in range(0, 96, 16)]
    path = write_tiff(tmp_path / "a.tif", [stored])
    assert np.abs(read(path).mean((0, 1)) - TISSUE.mean((0, 1))).max() < 1
    light = as_ycbcr(read(path))[..., 0].astype(int)
    assert np.abs(light - ycbcr[..., 0]).mean() < 1
    if blocks == (1, 1):
        assert error(path, TISSUE) <= 2


def test_ycbcr_with_video_range_and_other_coefficients(tmp_path: Path) -> None:
    red, green, blue = 0.2126, 0.7152, 0.0722
    r, g, b = (TISSUE[..., k].astype(float) for k in range(3))
    y = red * r + green * g + blue * b
    cb, cr = (b - y) / (2 - 2 * blue), (r - y) / (2 - 2 * red)
    stored = np.dstack([16 + y * 219 / 255, 128 + cb * 112 / 127, 128 + cr * 112 / 127])
    tags = {
        "t529": (5, [(2126, 10_000), (7152, 10_000), (722, 10_000)]),
        "t532": (5, [(16, 1), (235, 1), (128, 1), (240, 1), (128, 1), (240, 1)]),
    }
    one = page(stored.round().astype(np.uint8), t262=6, t530=[1, 1], **tags)
    assert error(write_tiff(tmp_path / "a.tif", [one]), TISSUE) <= 4


@pytest.mark.parametrize("photometric", [8, 9, 10])
def test_lab(tmp_path: Path, photometric: int) -> None:
    lab = rgb2lab(TISSUE)
    light, a, b = lab[..., 0] * 2.55, lab[..., 1], lab[..., 2]
    if photometric == 9:
        a, b = a + 128, b + 128
    if photometric == 10:
        a, b = (a + 85) * 255 / 170, (b + 75) * 255 / 200
    stored = np.dstack([light, a, b]).round().astype(np.int16).astype(np.uint8)
    path = write_tiff(tmp_path / "a.tif", [page(stored, t262=photometric)])
    assert error(path, TISSUE) <= 8


def test_lab_of_another_program(tmp_path: Path) -> None:
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    path = tmp_path / "a.tif"
    ImageCms.applyTransform(Image.fromarray(TISSUE), to_lab).save(path)
    assert np.abs(read(path).astype(int) - TISSUE).mean() < 4


@pytest.mark.parametrize(
    ("kinds", "laid"),
    [([0], "dropped"), ([1], "associated"), ([2], "unassociated"), (None, "dropped")],
)
@pytest.mark.parametrize("planar", [1, 2])
def test_extra_samples_by_kind(
    tmp_path: Path, kinds: list[int] | None, laid: str, planar: int
) -> None:
    alpha = np.linspace(0, 255, 128).round().astype(np.uint8)[None].repeat(96, 0)
    share = alpha[..., None] / 255
    colors = (TISSUE * share).round().astype(np.uint8) if laid == "associated" else TISSUE
    stored = np.dstack([colors, alpha])
    one = page(stored, t262=2, t338=kinds, t284=planar)
    if planar == 2:
        one.segments = [stored[..., k].tobytes() for k in range(4)]
    expected = TISSUE if laid == "dropped" else TISSUE * share + 255 * (1 - share)
    assert error(write_tiff(tmp_path / "a.tif", [one]), expected) <= 1.5


def test_gray_with_transparency(tmp_path: Path) -> None:
    alpha = np.where(GRAY > 200, 0, 255).astype(np.uint8)
    one = page(np.dstack([GRAY, alpha]), t262=1, t338=[2])
    expected = np.where(alpha == 0, 255, GRAY)[..., None].repeat(3, 2)
    assert error(write_tiff(tmp_path / "a.tif", [one]), expected) == 0
    apart = Page(one.tags | {284: (3, 2)}, [GRAY.tobytes(), alpha.tobytes()])
    assert error(write_tiff(tmp_path / "a.tif", [apart]), expected) == 0


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("said", ["by the largest value", "by nothing"])
def test_fewer_bits_than_are_stored(tmp_path: Path, bits: int, said: str) -> None:
    deep = (TISSUE.astype(np.uint16) << (bits - 8)) + 3
    deep[0, 0] = (1 << bits) - 1
    more = {"t281": [(1 << bits) - 1] * 3} if said == "by the largest value" else {}
    expected = TISSUE.copy()
    expected[0, 0] = 255
    assert error(write_tiff(tmp_path / "a.tif", [page(deep, 64, **more)]), expected) == 0


def test_packed_12_bits(tmp_path: Path) -> None:
    deep = (TISSUE.astype(np.uint16) << 4).reshape(96, -1)
    pairs = np.stack([deep[:, ::2] >> 4, (deep[:, ::2] & 15) << 4 | deep[:, 1::2] >> 8], 2)
    packed = np.dstack([pairs, deep[:, 1::2] & 255]).astype(np.uint8)
    one = page(TISSUE, t258=[12] * 3)
    one.segments = [packed.tobytes()]
    assert error(write_tiff(tmp_path / "a.tif", [one]), TISSUE) == 0


def test_color_profiles_of_rgb_only(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    with open_slide(write_tiff(tmp_path / "a.tif", [page(TISSUE, t34675=profile)])) as slide:
        assert slide.info.icc_profile == profile
    of_cmyk = profile[:16] + b"CMYK" + profile[20:]
    with open_slide(write_tiff(tmp_path / "b.tif", [page(TISSUE, t34675=of_cmyk)])) as slide:
        assert slide.info.icc_profile is None


def refused(path: Path, *pages: Page) -> str:
    with pytest.raises(NotASlideError) as told:
        open_slide(write_tiff(path, pages))
    return str(told.value)


def test_what_is_no_brightfield_image_is_told_as_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    floating = page(GRAY.astype(np.float32).view(np.uint8).reshape(96, -1, 4)[..., 0], t258=32)
    assert "32-bit floating-point" in refused(path, Page(floating.tags | {339: (3, 3)}, [b"0" * 4]))
    assert "8-bit signed" in refused(path, page(GRAY, t339=2))
    assert "32-bit numbers" in refused(path, page(GRAY, t258=32))
    assert "complex" in refused(path, page(GRAY, t258=64, t339=6))
    assert "volume of 5 planes" in refused(path, page(GRAY, t32997=(4, 5)))
    assert "camera" in refused(path, page(GRAY, t262=32803))
    assert "inks" in refused(path, page(as_cmyk(TISSUE), t262=5, t332=2))
    assert "5 channels" in refused(path, page(np.dstack([TISSUE, GRAY, GRAY]), t262=1))
    assert "2 channels" in refused(path, page(np.dstack([GRAY, GRAY]), t262=2))
    pair = page(np.dstack([GRAY, GRAY]), t262=1, t284=2, t338=0)
    assert "2 channels" in refused(path, Page(pair.tags, [GRAY.tobytes()] * 2))
    assert "compression" in refused(path, page(GRAY, t259=34661))
