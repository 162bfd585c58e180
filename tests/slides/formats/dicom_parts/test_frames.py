"""Damaged frames and tables of DICOM files."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_liverdx.core.errors import LiverDxError, SlideReadError, TileReadError
from napari_liverdx.slides.open import open_slide
from tests.support.dicom_slides import HTJ2K, JPEG_2000, JPEG_LS, NATIVE, RLE, Written, write_slide
from tests.support.leaks import open_files
from tests.support.slides import waves, whole

HOWS = {
    "JPEG": Written(),
    "JPEG-LS": Written(syntax=JPEG_LS, color="RGB"),
    "JPEG 2000": Written(syntax=JPEG_2000, color="YBR_RCT"),
    "HTJ2K": Written(syntax=HTJ2K, color="YBR_RCT"),
    "RLE": Written(syntax=RLE, color="RGB"),
}
SPARSE = Written(missing=((0, 0),), syntax=RLE, color="RGB")


def read_all(path: Path) -> None:
    """Open and read, as far as it goes."""
    try:
        with open_slide(path) as slide:
            slide.fingerprint()
            whole(slide)
    except LiverDxError:
        pass


@pytest.mark.parametrize("how", HOWS.values(), ids=HOWS)
def test_a_damaged_tile_leaves_the_rest(tmp_path: Path, how: Written) -> None:
    (path,) = write_slide(tmp_path / "slide", waves(96, 128), how)
    data = bytearray(path.read_bytes())
    first = data.index(b"\xfe\xff\x00\xe0", data.index(b"\xe0\x7f\x10\x00") + 14)
    (size,) = struct.unpack_from("<I", data, first + 4)
    data[first + 8 : first + 8 + size] = b"\xa5" * size
    path.write_bytes(data)
    with open_slide(path) as slide:
        with pytest.raises(TileReadError, match=r"row 0, column 0.*rest of the slide"):
            slide.read_tile(0, 0, 0)
        off = np.abs(slide.read_region(0, 64, 48, 64, 48).astype(int) - waves(96, 128)[48:, 64:])
        assert off.max() < 12


@pytest.mark.parametrize("how", [HOWS["JPEG"], HOWS["JPEG 2000"]], ids=["JPEG", "JPEG 2000"])
def test_a_stream_that_claims_another_size_is_not_decoded(tmp_path: Path, how: Written) -> None:
    (path,) = write_slide(tmp_path / "slide", waves(96, 128), how)
    data = bytearray(path.read_bytes())
    if how.syntax == JPEG_2000:
        at = data.index(b"\xff\x4f\xff\x51") + 8
        data[at : at + 8] = struct.pack(">2I", 60_000, 60_000)
    else:
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">2H", 60_000, 60_000)
    path.write_bytes(data)
    with open_slide(path) as slide, pytest.raises(TileReadError, match="its size"):
        slide.read_tile(0, 0, 0)


@pytest.mark.parametrize("how", [HOWS["JPEG"], Written(syntax=NATIVE, color="RGB"), SPARSE])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.97, 0.99])
def test_cut_off_files_say_so(tmp_path: Path, how: Written, share: float) -> None:
    (path,) = write_slide(tmp_path / "slide", waves(96, 128), how)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    before = open_files()
    with pytest.raises(LiverDxError, match=r"copy|not an image"):
        open_slide(path)
    assert not {f for f in open_files() - before if f.endswith(".dcm")}


def test_places_outside_the_slide_are_damage(tmp_path: Path) -> None:
    from pydicom import dcmread

    (path,) = write_slide(tmp_path / "slide", waves(96, 128), SPARSE)
    image = dcmread(path)
    place = image.PerFrameFunctionalGroupsSequence[1].PlanePositionSlideSequence[0]
    for column in (100_000, -200):
        place.ColumnPositionInTotalImagePixelMatrix = column
        image.save_as(path)
        with pytest.raises(SlideReadError, match="outside the slide"):
            open_slide(path)


@pytest.mark.slow
@settings(max_examples=120)
@given(
    which=st.sampled_from([*HOWS.values(), SPARSE, replace(SPARSE, parts=2)]),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.floats(0, 1) | st.none(),
)
def test_no_bytes_end_in_a_foreign_error(
    tmp_path_factory: pytest.TempPathFactory,
    which: Written,
    changes: list[tuple[float, int]],
    cut: float | None,
) -> None:
    files = write_slide(tmp_path_factory.mktemp("fuzz"), waves(60, 100), which)
    data = bytearray(files[0].read_bytes())
    for share, value in changes:
        data[int(share * (len(data) - 1))] = value
    files[0].write_bytes(data[: int(cut * len(data))] if cut is not None else data)
    read_all(files[0])
    read_all(files[0].parent)
