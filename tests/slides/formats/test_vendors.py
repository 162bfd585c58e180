"""Which TIFFs are left to OpenSlide."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from napari_liverdx.slides.formats.tiff_parts.directory import TiffSource, read_directories
from napari_liverdx.slides.formats.vendors import is_ndpi, is_scanner_tiff, scanner_of_tiff
from tests.support.paths import CMU
from tests.support.slides import write_pyramid
from tests.support.vendors.ndpi import write_ndpi
from tests.support.vendors.registry import PIXELS, WRITTEN

MAKERS = {
    "slide.scn": "Leica",
    "slide.bif": "Ventana",
    "philips.tiff": "Philips",
    "trestle.tif": "Trestle",
}


@pytest.mark.parametrize("name", MAKERS)
def test_makers_of_written_slides(tmp_path: Path, name: str) -> None:
    (kind,) = (k for k in WRITTEN if k.name == name)
    path = kind.into(tmp_path)
    source = TiffSource(path)
    assert scanner_of_tiff(read_directories(source)) == MAKERS[name]
    source.close()
    assert is_scanner_tiff(path)
    assert not is_ndpi(path)


def test_other_tiffs_and_files_are_not(tmp_path: Path) -> None:
    plain = tmp_path / "a.tif"
    write_pyramid(plain, PIXELS)
    text = tmp_path / "a.txt"
    text.write_text("II*")
    for path in (CMU, plain, text):
        assert not is_scanner_tiff(path)


def test_an_ndpi_is_known_whatever_it_is_called(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write_ndpi(path, PIXELS)
    assert is_ndpi(path)
    data = bytearray(path.read_bytes())
    struct.pack_into("<Q", data, 4, len(data) + 5)
    path.write_bytes(data)
    assert not is_ndpi(path)
