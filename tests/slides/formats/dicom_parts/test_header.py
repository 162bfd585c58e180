"""What is DICOM but no slide, and headers that cannot be true."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    MRImageStorage,
    SegmentationStorage,
    UltrasoundImageStorage,
)

from napari_liverdx.core.errors import LiverDxError, NotASlideError, SlideReadError
from napari_liverdx.slides.open import open_slide
from tests.support.dicom_slides import NATIVE, Written, changed, write_slide
from tests.support.slides import waves

RAW = Written(syntax=NATIVE, color="RGB")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (path,) = write_slide(tmp_path / "slide", waves(96, 128), RAW)
    return path


def rewritten(path: Path, **values: Any) -> Path:
    """As another class of object."""
    from pydicom import dcmread

    image = dcmread(path)
    for keyword, value in values.items():
        setattr(image, keyword, value)
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    image.save_as(path)
    return path


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        (CTImageStorage, "CT Image"),
        (MRImageStorage, "MR Image"),
        (UltrasoundImageStorage, "Ultrasound Image"),
        (SegmentationStorage, "Segmentation"),
    ],
)
def test_other_objects_are_refused_in_a_sentence(file: Path, kind: str, named: str) -> None:
    rewritten(file, SOPClassUID=kind)
    for place in (file, file.parent):
        with pytest.raises(NotASlideError, match=f"is a {named}; only whole slide images"):
            open_slide(place)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2"}, "fluorescence"),
        ({"TotalPixelMatrixFocalPlanes": 5}, "z-stack of 5 focal planes"),
        ({"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11}, "12 bits a sample"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "colors PALETTE COLOR"),
        ({"PhotometricInterpretation": "YBR_FULL"}, "without compression"),
        ({"PlanarConfiguration": 1}, "in planes"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "ELSE"]}, "image type"),
    ],
)
def test_what_is_no_brightfield_slide_says_what_it_is(
    file: Path, values: dict[str, Any], words: str
) -> None:
    changed(file, **values)
    with pytest.raises(NotASlideError, match=words):
        open_slide(file)


@pytest.mark.parametrize(
    "values",
    [
        {"Rows": 65535, "Columns": 65535},
        {"TotalPixelMatrixColumns": 2**32 - 1, "TotalPixelMatrixRows": 2**32 - 1},
        {"NumberOfFrames": 2**31 - 1},
        {"NumberOfFrames": -3},
        {"TotalPixelMatrixRows": 0},
        {"TotalPixelMatrixRows": 50_000},
        {"Columns": 0},
        {"Columns": None},
        {"SOPInstanceUID": None},
        {"SeriesInstanceUID": None},
        {"DimensionOrganizationType": "TILED_SPARSE"},
        {"DimensionOrganizationType": None},
        {"ConcatenationFrameOffsetNumber": 4},
        {"PixelData": None},
        {"PixelData": b"\0\0"},
    ],
    ids=str,
)
def test_impossible_headers_are_damage(file: Path, values: dict[str, Any]) -> None:
    changed(file, **values)
    with pytest.raises(SlideReadError, match=r"copy"):
        open_slide(file)


def test_other_ways_of_storing_are_named(file: Path) -> None:
    from pydicom import dcmread

    image = dcmread(file)
    image.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    image.save_as(file)
    with pytest.raises(NotASlideError, match="Deflated Explicit VR"):
        open_slide(file)


@pytest.mark.parametrize("resolution", [[0, 0], ["1e300", "1e300"], ["", ""], [1]], ids=str)
def test_impossible_resolutions_are_asked_about(file: Path, resolution: list[Any]) -> None:
    from pydicom import dcmread

    image = dcmread(file)
    measures = image.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.PixelSpacing = resolution
    del image.ImagedVolumeWidth
    image.save_as(file)
    with open_slide(file) as slide:
        assert slide.mpp is None
        assert slide.info.mpp_note


def test_a_file_that_only_begins_like_dicom(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    for rest in (b"", b"\0" * 50, b"\xff" * 500, bytes(range(256)) * 8):
        path.write_bytes(bytes(128) + b"DICM" + rest)
        with pytest.raises(LiverDxError):
            open_slide(path)
    path.write_bytes(b"nothing")
    with pytest.raises(NotASlideError, match="not an image"):
        open_slide(path)
