"""DICOM whole-slide images: their files as one slide, and their pixels."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import openslide
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from pydicom.dataset import Dataset

from napari_liverdx.core.errors import LiverDxError, NotASlideError, SlideReadError
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.slide import Slide
from tests.support.dicom_slides import (
    HTJ2K,
    JPEG_2000,
    JPEG_LS,
    NATIVE,
    PATIENT,
    RLE,
    Written,
    changed,
    uid,
    write_pyramid_slide,
    write_slide,
)
from tests.support.paths import CMU
from tests.support.slides import waves, whole

EXACT = Written(syntax=RLE, color="RGB")
LOSSLESS = {
    "RLE": EXACT,
    "uncompressed": Written(syntax=NATIVE, color="RGB"),
    "JPEG-LS": Written(syntax=JPEG_LS, color="RGB"),
    "JPEG 2000": Written(syntax=JPEG_2000, color="YBR_RCT"),
    "JPEG 2000, RGB": Written(syntax=JPEG_2000, color="RGB"),
    "JPEG 2000, called otherwise": Written(syntax=JPEG_2000, color="YBR_FULL_422"),
    "HTJ2K": Written(syntax=HTJ2K, color="YBR_RCT"),
}
LOSSY = {
    "JPEG": Written(),
    "JPEG, RGB": Written(color="RGB"),
    "JPEG, extended table": Written(table="extended"),
    "JPEG, no table": Written(table="none"),
    "JPEG, fragments": Written(fragments=2),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A slide of two levels, with label, macro and thumbnail."""
    write_pyramid_slide(tmp_path / "slide", waves(), EXACT)
    return tmp_path / "slide"


@pytest.mark.parametrize("how", LOSSLESS.values(), ids=LOSSLESS)
def test_written_dicom_comes_back(tmp_path: Path, how: Written) -> None:
    write_slide(tmp_path / "slide", waves(), how)
    with open_slide(tmp_path / "slide") as slide:
        assert slide.info.format == "DICOM"
        assert slide.mpp is not None
        assert (slide.mpp.x, slide.mpp.y) == pytest.approx((0.5, 0.4))
        assert slide.info.objective_power == 20
        assert (whole(slide) == waves()).all()


@pytest.mark.parametrize("how", LOSSY.values(), ids=LOSSY)
def test_written_jpeg_comes_back_in_its_colors(tmp_path: Path, how: Written) -> None:
    write_slide(tmp_path / "slide", waves(), how)
    with open_slide(tmp_path / "slide") as slide:
        off = np.abs(whole(slide).astype(int) - waves())
    assert off.mean() < 1
    assert off.max() < 12


def test_colors_by_the_header(tmp_path: Path) -> None:
    """Luminance and chrominance that no stream says to be so."""
    stored = np.asarray(Image.fromarray(waves()).convert("YCbCr"))
    write_slide(tmp_path / "slide", stored, Written(syntax=RLE, color="YBR_FULL"))
    with open_slide(tmp_path / "slide") as slide:
        assert np.abs(whole(slide).astype(int) - waves()).max() <= 3


def test_jfif_is_no_rgb_whatever_the_header_says(tmp_path: Path) -> None:
    for path in write_slide(tmp_path / "slide", waves()):
        changed(path, PhotometricInterpretation="RGB")
    with open_slide(tmp_path / "slide") as slide:
        assert np.abs(whole(slide).astype(int) - waves()).mean() < 1


@pytest.mark.parametrize("parts", [1, 3])
def test_gaps_of_sparse_tiles_are_white(tmp_path: Path, parts: int) -> None:
    how = replace(EXACT, missing=((0, 0), (2, 3)), parts=parts)
    write_slide(tmp_path / "slide", waves(), how)
    wanted = waves()
    wanted[:48, :64] = wanted[96:144, 192:256] = 255
    with open_slide(tmp_path / "slide") as slide:
        assert (whole(slide) == wanted).all()


def test_an_image_in_several_files(tmp_path: Path) -> None:
    files = write_slide(tmp_path / "slide", waves(), replace(EXACT, parts=3))
    with open_slide(files[2]) as slide:
        assert (whole(slide) == waves()).all()
    for path in files:
        changed(path, SOPInstanceUIDOfConcatenationSource=None)
    with open_slide(tmp_path / "slide") as slide:
        assert (whole(slide) == waves()).all()
    for lost in files:
        kept = lost.rename(tmp_path / "away")
        with pytest.raises(SlideReadError, match="copy all files"):
            open_slide(tmp_path / "slide")
        kept.rename(lost)


def test_any_file_opens_the_slide(folder: Path, tmp_path: Path) -> None:
    with open_slide(folder) as slide:
        wanted = slide.fingerprint()
        assert [(v.width, v.height) for v in slide.levels] == [(420, 300), (210, 150)]
        assert slide.levels[1].downsample_x == 2
        assert (whole(slide, 1) == waves()[::2, ::2]).all()
        assert slide.info.associated == ("label", "macro", "thumbnail")
    for path in folder.iterdir():
        # What a file is called says nothing.
        path.rename(folder / f"IM{path.stem[-3:-2]}")
    for path in sorted(folder.iterdir()):
        with open_slide(path) as slide:
            assert slide.fingerprint() == wanted
            assert len(slide.levels) == 2
    shutil.copytree(folder, tmp_path / "copy")
    with open_slide(tmp_path / "copy") as slide:
        assert slide.fingerprint() == wanted


def test_slides_are_told_apart(tmp_path: Path) -> None:
    hows = {
        "one": EXACT,
        "other": replace(EXACT, slide=2),
        "relabeled": replace(EXACT, number=7),
    }
    found = set()
    for name, how in hows.items():
        write_slide(tmp_path / name, waves(), how)
        with open_slide(tmp_path / name) as slide:
            found.add(slide.fingerprint())
    write_slide(tmp_path / "pixels", waves()[::-1].copy(), EXACT)
    with open_slide(tmp_path / "pixels") as slide:
        found.add(slide.fingerprint())
    assert len(found) == 4


def test_two_slides_in_a_folder_are_scenes(tmp_path: Path) -> None:
    small, large = replace(EXACT, slide=1), replace(EXACT, slide=2)
    (first,) = write_slide(tmp_path, waves(100, 90), small)
    (second,) = write_slide(tmp_path, waves(), large)
    with open_slide(tmp_path) as slide:
        assert slide.size == (420, 300)
        assert [s.width for s in slide.info.scenes] == [90, 420]
        wanted = slide.fingerprint()
    with open_slide(tmp_path, scene=0) as slide, open_slide(first) as alone:
        assert slide.size == alone.size == (90, 100)
        assert slide.fingerprint() == alone.fingerprint() != wanted
        assert alone.info.scenes == ()
    with open_slide(second) as slide:
        assert slide.fingerprint() == wanted
    with pytest.raises(SlideReadError, match="no scene 2"):
        open_slide(tmp_path, scene=2)


def test_planes_in_files_of_their_own_are_a_stack(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        (path,) = write_slide(tmp_path, waves(100, 90), replace(EXACT, number=number))
        origin = Dataset()
        origin.ZOffsetInSlideCoordinateSystem = 2.5 * number
        changed(path, TotalPixelMatrixOriginSequence=[origin])
    for place in (tmp_path, path):
        with pytest.raises(NotASlideError, match="z-stack of 3 focal planes"):
            open_slide(place)


def test_pictures_beside_the_slide(folder: Path) -> None:
    with open_slide(folder) as slide:
        for value, name in enumerate(slide.info.associated, 1):
            assert slide.read_associated(name).shape == (30, 42 + value, 3)
            assert (slide.read_associated(name) == 60 * value).all()
        with pytest.raises(SlideReadError, match="no picture"):
            slide.read_associated("barcode")


def test_nothing_of_a_patient_is_told(folder: Path) -> None:
    with open_slide(folder) as slide:
        told = repr(slide.info) + repr(slide)
        references = slide.info.references
    assert PATIENT.split("^")[0] not in told
    assert "4711" not in told
    assert references == {
        "StudyInstanceUID": uid(EXACT, 1),
        "SeriesInstanceUID": uid(EXACT, 2),
        "FrameOfReferenceUID": uid(EXACT, 4),
        "SOPInstanceUIDs": f"{uid(EXACT, 3, 1, 0)}|{uid(EXACT, 3, 2, 0)}",
        "TotalPixelMatrixOrigin": "20\\30",
        "ImageOrientationSlide": "0\\1\\0\\1\\0\\0",
    }


def test_a_slide_opens_in_another_process(folder: Path) -> None:
    with open_slide(folder) as slide, pickle.loads(pickle.dumps(slide)) as again:  # noqa: S301
        assert (whole(again) == whole(slide)).all()


@pytest.mark.slow
def test_threads_read_the_same(folder: Path) -> None:
    with open_slide(folder) as slide, ThreadPoolExecutor(4) as pool:
        rows, cols = slide.levels[0].tile_shape
        tiles = [(0, r, c) for r in range(rows) for c in range(cols)]
        for (_, row, col), tile in zip(
            tiles * 3, pool.map(lambda at: slide.read_tile(*at), tiles * 3), strict=True
        ):
            part = waves()[row * 48 : row * 48 + 48, col * 64 : col * 64 + 64]
            assert (tile[: part.shape[0], : part.shape[1]] == part).all()


def test_resolution_is_that_of_the_finest_level_or_asked_for(tmp_path: Path) -> None:
    (path,) = write_slide(tmp_path / "slide", waves(), EXACT)
    changed(path, ImagedVolumeWidth=420 * 0.0007)
    with open_slide(path) as slide:
        assert slide.mpp is None
        assert [m.x for m in slide.info.mpp_options] == pytest.approx([0.5, 0.7])
        assert "contradicts" in slide.info.mpp_note
    changed(path, SharedFunctionalGroupsSequence=None, ImagedVolumeWidth=420 * 0.0005)
    with open_slide(path) as slide:
        assert slide.mpp is not None
        assert slide.mpp.x == pytest.approx(0.5)
        assert slide.mpp.source == "size of the imaged volume"
    changed(path, ImagedVolumeWidth=None, ImagedVolumeHeight=None)
    with open_slide(path) as slide:
        assert (slide.mpp, slide.info.mpp_note) == (None, "the file states no resolution")


def test_color_profile_is_that_of_the_optical_path(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # Beyond the size of values that readers put off.
    profile += bytes(100_000)
    write_slide(tmp_path / "slide", waves(), replace(EXACT, icc=profile))
    with open_slide(tmp_path / "slide") as slide:
        assert slide.info.icc_profile == profile
    with open_slide(tmp_path / "slide", color_managed=True) as slide:
        # From sRGB to sRGB.
        assert np.abs(whole(slide).astype(int) - waves()).max() <= 1


@pytest.fixture(
    scope="module",
    params=[
        Written(),
        Written(color="RGB"),
        Written(syntax=JPEG_2000, color="YBR_RCT"),
        Written(syntax=NATIVE, color="RGB"),
        Written(missing=((1, 1), (3, 4))),
    ],
    ids=["JPEG", "RGB", "JPEG 2000", "uncompressed", "sparse"],
)
def written(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Slide, openslide.OpenSlide]]:
    folder = tmp_path_factory.mktemp("written")
    write_pyramid_slide(folder, waves(), request.param)
    with open_slide(folder) as slide, openslide.OpenSlide(min(folder.iterdir())) as theirs:
        yield slide, theirs


@settings(max_examples=20)
@given(st.integers(0, 1), st.integers(0, 200), st.integers(0, 140), st.integers(1, 150))
def test_written_regions_are_those_of_openslide(
    written: tuple[Slide, openslide.OpenSlide], level: int, x: int, y: int, side: int
) -> None:
    slide, theirs = written
    shape = slide.levels[level]
    assert theirs.level_dimensions[level] == (shape.width, shape.height)
    width, height = min(side, shape.width - x), min(side, shape.height - y)
    scale = 2**level
    other = theirs.read_region((x * scale, y * scale), level, (width, height))
    # Gaps are transparent there.
    white = Image.new("RGBA", other.size, "white")
    flat = np.asarray(Image.alpha_composite(white, other))[..., :3]
    assert (slide.read_region(level, x, y, width, height) == flat).all()


@pytest.fixture(scope="module")
def real(data_root: Path) -> Iterator[tuple[Slide, openslide.OpenSlide]]:
    folder = data_root / "slides" / "dicom-cmu-1-small-region"
    if not folder.is_dir():
        pytest.skip("the DICOM slide is not on this machine (LIVERDX_DATA)")
    with open_slide(folder) as slide:
        theirs = openslide.OpenSlide(str(next(iter(sorted(folder.iterdir())))))
        yield slide, theirs
        theirs.close()


@settings(max_examples=40)
@given(st.integers(0, 2100), st.integers(0, 2900), st.integers(32, 300), st.integers(32, 300))
def test_regions_are_those_of_openslide_and_of_the_svs(
    real: tuple[Slide, openslide.OpenSlide], x: int, y: int, width: int, height: int
) -> None:
    slide, theirs = real
    width, height = min(width, 2220 - x), min(height, 2967 - y)
    ours = slide.read_region(0, x, y, width, height)
    other = np.asarray(theirs.read_region((x, y), 0, (width, height)))[..., :3]
    assert (ours == other).all()
    with open_slide(CMU) as svs:
        same = svs.read_region(0, x, y, width, height)
    # Compressed a second time.
    assert np.abs(ours.astype(int) - same).mean() < 10


def test_the_real_slide_is_the_svs(real: tuple[Slide, openslide.OpenSlide]) -> None:
    slide, theirs = real
    with open_slide(CMU) as svs:
        assert slide.size == svs.size
        assert slide.mpp is not None
        assert svs.mpp is not None
        assert slide.mpp.x == pytest.approx(svs.mpp.x)
        assert np.abs(whole(slide).astype(int) - whole(svs)).mean() < 4
    for name in slide.info.associated:
        other = np.asarray(theirs.associated_images[name])[..., :3]
        assert (slide.read_associated(name) == other).all()


def test_a_label_does_not_hide_why_its_slide_is_refused(tmp_path: Path) -> None:
    (label,) = write_slide(tmp_path, waves(), replace(EXACT, kind="LABEL", number=2))
    (slide,) = write_slide(tmp_path, waves(), EXACT)
    changed(slide, SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2")
    for place in (tmp_path, label, slide):
        with pytest.raises(NotASlideError, match="a gray or fluorescence image"):
            open_slide(place)


def test_a_folder_without_a_level_says_so(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        if ".3.1.0" in path.name or ".3.2.0" in path.name:
            path.unlink()
    for place in (folder, next(iter(folder.iterdir()))):
        with pytest.raises(LiverDxError, match="files of the slide itself are missing"):
            open_slide(place)
    (tmp_path / "empty").mkdir()
    with pytest.raises(LiverDxError, match="folder and no slide"):
        open_slide(tmp_path / "empty")
