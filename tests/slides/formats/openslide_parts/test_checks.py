"""Claims that are refused before OpenSlide meets them; most of them end the program there."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_liverdx.core.errors import LiverDxError, SlideReadError
from napari_liverdx.slides.formats.openslide_parts.checks import (
    check_claimed_sizes,
    check_database,
)
from napari_liverdx.slides.open import open_slide
from tests.support.vendors.czi import write_czi
from tests.support.vendors.registry import PIXELS, TWO_PLACES, WRITTEN
from tests.support.vendors.tiffs import write_bif


def replace(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))


def huge_tiles(path: Path) -> None:
    """The tag of the tiles' width, 64, says 2³⁰."""
    with tifffile.TiffFile(path) as tif:
        at = tif.pages[0].tags["TileWidth"].offset
        wide = tif.tiff.is_bigtiff
    data = bytearray(path.read_bytes())
    kind, value = ("<Q", 12) if wide else ("<I", 8)
    struct.pack_into("<H", data, at + 2, 4)
    struct.pack_into(kind, data, at + value, 2**30)
    path.write_bytes(data)


def huge_subblock(path: Path) -> None:
    width = struct.pack("<4siifi", b"X", 64, 64, 0.0, 64)
    replace(path, width, struct.pack("<4siifi", b"X", 64, 2**30, 0.0, 2**30))


def long_column(path: Path) -> None:
    data = bytearray((path.parent / "slide.ngr").read_bytes())
    struct.pack_into("<i", data, 12, 2**30)
    (path.parent / "slide.ngr").write_bytes(data)


def tall_image(path: Path) -> None:
    data = bytearray((path.parent / "slide.ngr").read_bytes())
    struct.pack_into("<i", data, 8, 2**30)
    (path.parent / "slide.ngr").write_bytes(data)


def wider_second_image(path: Path) -> None:
    Image.fromarray(np.tile(PIXELS, (1, 4, 1))).save(
        path.parent / "slide(1,0).jpg", restart_marker_blocks=4, subsampling=0
    )


def missing_text(path: Path) -> None:
    with closing(sqlite3.connect(path)) as base:
        base.execute("UPDATE SVSlideDataXPO SET Keywords = NULL")
        base.commit()


def missing_magic(path: Path) -> None:
    with closing(sqlite3.connect(path)) as base:
        base.execute("UPDATE unique_1 SET data = NULL WHERE id = '++MagicBytes'")
        base.commit()


def twelve_bits(path: Path) -> None:
    replace(path, b"BitsPerPixel=36", b"BitsPerPixel=12")


def huge_pictures(path: Path) -> None:
    replace(
        path.with_suffix("") / "Slidedat.ini", b"DIGITIZER_WIDTH = 64", b"DIGITIZER_WIDTH = 9999999"
    )


def huge_image(path: Path) -> None:
    """The tag of the image's width says 2³⁰."""
    data = bytearray(path.read_bytes())
    at = data.index(struct.pack("<HHI", 256, 4, 1))
    struct.pack_into("<I", data, at + 8, 2**30)
    path.write_bytes(data)


def two_dashes(path: Path) -> None:
    replace(path, b"tiff-useBigTIFF=1-levels", b"tiff-useBigTIFF=--levels")


def no_levels(path: Path) -> None:
    replace(path, b"-levels=40,20-", b"-levels=-0,20-")


def huge_area(path: Path) -> None:
    replace(path, b'NumRows="3"', b'NumRows="9"')


def many_scenes(path: Path) -> None:
    write_czi(path, TWO_PLACES, claimed_scenes=99_999_999)


def many_positions(path: Path) -> None:
    listed = path.with_suffix("") / "Slidedat.ini"
    replace(listed, b"IMAGENUMBER_X = 4", b"IMAGENUMBER_X = 99999999")


def many_files(path: Path) -> None:
    replace(path.with_suffix("") / "Slidedat.ini", b"FILE_COUNT = 1", b"FILE_COUNT = 99999999")


def many_images(path: Path) -> None:
    replace(path, b"NoJpegColumns=2", b"NoJpegColumns=99999999")


@pytest.mark.parametrize(
    ("name", "spoil", "told"),
    [
        ("trestle.tif", huge_image, "fewer tiles"),
        ("philips.tiff", two_dashes, "how it was made"),
        ("philips.tiff", no_levels, "how it was made"),
        ("slide.bif", huge_area, "area of 9 × 4 tiles"),
        ("slide.czi", many_scenes, "99999999 scenes"),
        ("slide.mrxs", many_positions, "3 × 99999999 images"),
        ("slide.mrxs", many_files, "number of its files"),
        ("slide.vms", many_images, "1 × 99999999 images"),
        ("trestle.tif", huge_tiles, "stored tiles of 1073741824"),
        ("slide.czi", huge_subblock, "stored tiles of 1073741824"),
        ("slide.mrxs", huge_pictures, "stored tiles of 9999999"),
        ("slide.vmu", long_column, "columns of 1073741824"),
        ("slide.vmu", tall_image, "cut off"),
        ("slide.vmu", twelve_bits, "36-bit"),
        ("slide.vms", wider_second_image, r"ImageFile\(1,0\) is larger"),
        ("slide.svslide", missing_text, "text .* is missing"),
        ("slide.svslide", missing_magic, "text .* is missing"),
    ],
)
def test_impossible_claims_are_refused(
    tmp_path: Path, name: str, spoil: Callable[[Path], None], told: str
) -> None:
    (kind,) = (k for k in WRITTEN if k.name == name)
    path = kind.into(tmp_path)
    check_database(path)
    check_claimed_sizes(path, kind.vendor)
    spoil(path)
    with pytest.raises(SlideReadError, match=f"{name}.*{told}"):
        open_slide(path)


def test_images_of_a_vms_slide_may_be_large(tmp_path: Path) -> None:
    """As real ones are: hundreds of millions of pixels each."""
    (kind,) = (k for k in WRITTEN if k.name == "slide.vms")
    path = kind.into(tmp_path)
    size = struct.pack(">HH", 192, 128)
    for name in ("slide.jpg", "slide(1,0).jpg"):
        replace(tmp_path / name, b"\x08" + size, b"\x08" + struct.pack(">HH", 30_000, 20_000))
    check_claimed_sizes(path, kind.vendor)
    (tmp_path / "slide.jpg").write_bytes(b"no picture")
    with pytest.raises(SlideReadError, match="not a JPEG"):
        open_slide(path)


@pytest.mark.parametrize("tag", ["TileWidth", "TileLength"])
def test_tiles_of_no_size_are_told(tmp_path: Path, tag: str) -> None:
    path = tmp_path / "a.bif"
    write_bif(path, PIXELS)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        places = [p.tags[tag].valueoffset for p in tif.pages if tag in p.tags]
    for place in places:
        data[place : place + 2] = b"\0\0"
    path.write_bytes(data)
    with pytest.raises(LiverDxError, match=r"a\.bif"):
        open_slide(path)
