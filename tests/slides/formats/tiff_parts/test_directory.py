"""Directories nobody vouches for: loops, counts and offsets beyond the file."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_liverdx.core.errors import LiverDxError, NotASlideError, SlideReadError
from napari_liverdx.slides.formats.tiff_parts.directory import TiffSource, read_directories
from napari_liverdx.slides.open import open_slide
from tests.support.tiffs import page, shrunk, tissue, write_tiff

SLIDE = tissue(96, 128)


def test_values_of_every_type(tmp_path: Path) -> None:
    tags: dict[str, Any] = {
        "t65000": (1, [1, 2]),
        "t65001": (3, [3, 4, 5]),
        "t65002": (4, 6),
        "t65003": (5, [(1, 4), (1, 0)]),
        "t65004": (12, [0.5]),
        "t65005": "words \u00b5",
        "t65006": (2, b"words \xb5\0more\0\0"),
    }
    for order in "<>":
        source = TiffSource(write_tiff(tmp_path / "a.tif", [page(SLIDE, **tags)], order=order))
        (found,) = read_directories(source)
        assert found.numbers(65000).tolist() == [1, 2]
        assert found.numbers(65001).tolist() == [3, 4, 5]
        assert found.number(65002, 0) == 6
        assert found.number(64999, 7) == 7
        assert found.fractions(65003)[0] == 0.25
        assert np.isnan(found.fractions(65003)[1])
        assert found.fractions(65004) == [0.5]
        assert found.text(65005) == "words \u00b5"
        assert found.text(65006) == "words \u00b5\nmore"
        source.close()


def test_a_child_may_stand_in_the_chain_too(tmp_path: Path) -> None:
    """Some writers list a level in both; it is one level."""
    path = write_tiff(tmp_path / "a.tif", [page(SLIDE, 32), page(shrunk(SLIDE, 2), 32)])
    source = TiffSource(path)
    chain = read_directories(source)
    assert len(chain) == 2
    source.close()


@pytest.mark.parametrize("link", [None, 8, 2**32 - 1, 10])
def test_children_may_be_a_chain(tmp_path: Path, link: int | None) -> None:
    """SubIFDs that link to each other, as libtiff reads them, or to nowhere."""
    half, quarter = shrunk(SLIDE, 2), shrunk(SLIDE, 4)
    path = write_tiff(tmp_path / "a.tif", [page(SLIDE, 32), page(half, 32), page(quarter, 32)])
    data = bytearray(path.read_bytes())
    (first,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, first)
    end = first + 2 + 12 * count
    (second,) = struct.unpack_from("<I", data, end)
    (more,) = struct.unpack_from("<H", data, second)
    struct.pack_into("<I", data, end, 0)
    struct.pack_into("<HHII", data, end - 12, 330, 13, 1, second)
    if link is not None:
        struct.pack_into("<I", data, second + 2 + 12 * more, link)
    path.write_bytes(data)
    source = TiffSource(path)
    (found,) = read_directories(source)
    assert len(found.children) == (2 if link is None else 1)
    source.close()


def link_back(data: bytearray) -> None:
    (offset,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, offset)
    struct.pack_into("<I", data, offset + 2 + 12 * count, offset)


def entry(data: bytearray, code: int) -> int:
    (offset,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, offset)
    places = range(offset + 2, offset + 2 + 12 * count, 12)
    return next(at for at in places if struct.unpack_from("<H", data, at)[0] == code)


def claim(code: int, count: int | None = None, value: int | None = None) -> Any:
    def change(data: bytearray) -> None:
        at = entry(data, code)
        if count is not None:
            struct.pack_into("<I", data, at + 4, count)
        if value is not None:
            struct.pack_into("<I", data, at + 8, value)

    return change


HOSTILE = {
    "a loop": link_back,
    "billions of offsets": claim(324, count=2**31),
    "fewer offsets": claim(324, count=2),
    "offsets beyond the end": claim(324, value=2**32 - 1),
    "a size of billions": claim(256, value=2**31),
    "a size of millions": claim(257, value=999_999),
    "tiles of billions": claim(322, value=2**31),
    "tiles of nothing": claim(323, value=0),
    "billions of bits": claim(258, count=2**30),
    "thousands of samples": claim(277, value=60_000),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_cannot_be_is_refused_before_anything_is_allocated(tmp_path: Path, name: str) -> None:
    path = write_tiff(tmp_path / "a.tif", [page(SLIDE, 32)])
    data = bytearray(path.read_bytes())
    HOSTILE[name](data)
    path.write_bytes(data)
    with pytest.raises((SlideReadError, NotASlideError), match=r"a\.tif"):
        open_slide(path)


def test_a_tag_beyond_the_file_that_nobody_needs_is_absent(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", [page(SLIDE, 32, t270="x" * 50)])
    data = bytearray(path.read_bytes())
    claim(270, count=2**32 - 1)(data)
    path.write_bytes(data)
    with open_slide(path) as slide:
        assert slide.size == (128, 96)


def test_more_images_than_a_slide_has(tmp_path: Path) -> None:
    one = np.zeros((1, 1), np.uint8)
    path = write_tiff(tmp_path / "a.tif", [page(one)] * 5001)
    with pytest.raises(NotASlideError, match="more than 5,000 images"):
        open_slide(path)


SEEDS = [
    [page(SLIDE, 32, t270="Aperio\nx|MPP = 0.5"), page(shrunk(SLIDE, 2), 32), page(SLIDE[:9])],
    [page(SLIDE[..., 0], t262=3, t320=list(range(768)))],
    [page(SLIDE, t262=6, t530=[1, 1])],
]


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None
)
@given(
    seed=st.integers(0, len(SEEDS) - 1),
    changes=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=4)), max_size=6),
    keep=st.floats(0.2, 1),
)
def test_any_damage_ends_in_our_errors(
    tmp_path: Path, seed: int, changes: list[tuple[float, bytes]], keep: float
) -> None:
    """Changes fall on the directories, which stand at the end."""
    path = write_tiff(tmp_path / "a.tif", SEEDS[seed])
    data = bytearray(path.read_bytes())
    pixels = len(data) - 1500
    for where, what in changes:
        at = pixels + int(where * (1500 - len(what)))
        data[at : at + len(what)] = what
    path.write_bytes(data[: max(8, int(len(data) * keep))] if keep < 0.5 else data)
    # Anything else than our errors fails here.
    with contextlib.suppress(LiverDxError), open_slide(path) as slide:
        slide.overview(max(1, max(slide.size) / 64))
        slide.fingerprint()
