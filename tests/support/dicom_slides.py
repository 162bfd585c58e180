"""Writing small DICOM whole-slide images, as scanners and converters write them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.pixels import get_encoder
from pydicom.uid import UID, VLWholeSlideMicroscopyImageStorage

ROOT = "1.2.826.0.1.3680043.10.1590"
NATIVE, RLE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5"
JPEG, JPEG_LS = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.80"
JPEG_2000, HTJ2K = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.201"
PATIENT = "Doe^Jane"


@dataclass(frozen=True)
class Written:
    """How an image is to be written.

    Attributes
    ----------
    syntax, color : str
        Transfer syntax and photometric interpretation.
    tile : tuple of int
        Width and height.
    missing : tuple of (int, int)
        Row and column of tiles left out; then it is sparse.
    parts : int
        Files it is written to.
    kind : str
        VOLUME, LABEL, OVERVIEW or THUMBNAIL.
    mm : tuple of float or None
        Pixel spacing (x, y).
    table : str
        Where frames are told to lie: basic, extended or none.
    slide : int
        Number of the slide, which makes its UIDs.
    number : int
        Of the image within the slide.
    suffix : str
        Of the files.
    icc : bytes or None
        Color profile.
    fragments : int
        In which a frame is stored.
    """

    syntax: str = JPEG
    color: str = "YBR_FULL_422"
    tile: tuple[int, int] = (64, 48)
    missing: tuple[tuple[int, int], ...] = ()
    parts: int = 1
    kind: str = "VOLUME"
    mm: tuple[float, float] | None = (0.0005, 0.0004)
    table: str = "basic"
    slide: int = 1
    number: int = 1
    suffix: str = ".dcm"
    icc: bytes | None = None
    fragments: int = 1


def uid(how: Written, *parts: int) -> str:
    return ".".join(map(str, (ROOT, how.slide, *parts)))


def encoded(tile: np.ndarray, how: Written) -> bytes:
    """Encode one tile as the transfer syntax and the colors say."""
    if how.syntax == JPEG:
        rgb = how.color == "RGB"
        return imagecodecs.jpeg8_encode(
            tile,
            level=95,
            colorspace="RGB",
            outcolorspace="RGB" if rgb else "YCBCR",
            subsampling="444" if rgb else "422",
        )
    if how.syntax == JPEG_LS:
        return imagecodecs.jpegls_encode(tile)
    if how.syntax == JPEG_2000:
        return imagecodecs.jpeg2k_encode(tile, codecformat="j2k", mct=how.color != "RGB")
    if how.syntax == HTJ2K:
        return imagecodecs.htj2k_encode(tile, reversible=True)
    if how.syntax == RLE:
        return get_encoder(UID(RLE)).encode(
            tile,
            rows=tile.shape[0],
            columns=tile.shape[1],
            number_of_frames=1,
            samples_per_pixel=3,
            bits_allocated=8,
            bits_stored=8,
            pixel_representation=0,
            photometric_interpretation="RGB",
            planar_configuration=0,
        )
    return tile.tobytes()


def write_slide(folder: Path, pixels: np.ndarray, how: Written | None = None) -> list[Path]:
    """Write one image; return its files."""
    how = how or Written()
    folder.mkdir(exist_ok=True, parents=True)
    wide, high = how.tile
    rows, cols = -(-pixels.shape[0] // high), -(-pixels.shape[1] // wide)
    padded = np.pad(
        pixels,
        ((0, rows * high - pixels.shape[0]), (0, cols * wide - pixels.shape[1]), (0, 0)),
        mode="edge",
    )
    places = [(r, c) for r in range(rows) for c in range(cols) if (r, c) not in how.missing]
    if how.missing:
        # Sparse tiles may come in any order.
        places.reverse()
    frames = [
        encoded(
            np.ascontiguousarray(padded[r * high : (r + 1) * high, c * wide : (c + 1) * wide]), how
        )
        for r, c in places
    ]
    written = []
    step = -(-len(frames) // how.parts)
    for part in range(how.parts):
        at = slice(part * step, (part + 1) * step)
        image = make_header(pixels.shape[:2], how, len(frames[at]), part, part * step)
        if how.missing:
            image.PerFrameFunctionalGroupsSequence = [_place(r, c, how) for r, c in places[at]]
        _set_pixels(image, frames[at], how)
        path = folder / f"{image.SOPInstanceUID}{how.suffix}"
        image.save_as(path, enforce_file_format=True)
        written.append(path)
    return written


def make_header(
    shape: tuple[int, ...], how: Written, frames: int, part: int = 0, first: int = 0
) -> Dataset:
    """Return all but the pixels of an image of (rows, columns), or of a part of it."""
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = UID(how.syntax)
    image.file_meta.MediaStorageSOPClassUID = VLWholeSlideMicroscopyImageStorage
    image.SOPClassUID = VLWholeSlideMicroscopyImageStorage
    image.SOPInstanceUID = uid(how, 3, how.number, part)
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.ImageType = ["ORIGINAL", "PRIMARY", how.kind, "NONE"]
    image.Manufacturer, image.ManufacturerModelName = "Somebody", "Scanner"
    image.PatientName, image.PatientID = PATIENT, "4711"
    image.Modality = "SM"
    image.StudyInstanceUID, image.SeriesInstanceUID = uid(how, 1), uid(how, 2)
    image.FrameOfReferenceUID = uid(how, 4)
    if how.parts > 1:
        image.SOPInstanceUIDOfConcatenationSource = uid(how, 5, how.number)
        image.ConcatenationUID = uid(how, 6, how.number)
        image.InConcatenationNumber, image.InConcatenationTotalNumber = part + 1, how.parts
        image.ConcatenationFrameOffsetNumber = first
    image.DimensionOrganizationType = "TILED_SPARSE" if how.missing else "TILED_FULL"
    image.SamplesPerPixel, image.PhotometricInterpretation = 3, how.color
    image.PlanarConfiguration = 0
    image.NumberOfFrames = frames
    image.Columns, image.Rows = how.tile
    image.BitsAllocated = image.BitsStored = 8
    image.HighBit, image.PixelRepresentation = 7, 0
    image.TotalPixelMatrixRows, image.TotalPixelMatrixColumns = shape
    image.TotalPixelMatrixFocalPlanes = image.NumberOfOpticalPaths = 1
    image.ImageOrientationSlide = [0, 1, 0, 1, 0, 0]
    image.TotalPixelMatrixOriginSequence = [_origin()]
    image.OpticalPathSequence = [_optics(how)]
    shared = Dataset()
    if how.mm is not None:
        x, y = how.mm
        image.ImagedVolumeWidth, image.ImagedVolumeHeight = shape[1] * x, shape[0] * y
        measures = Dataset()
        measures.PixelSpacing = [y, x]
        shared.PixelMeasuresSequence = [measures]
    image.SharedFunctionalGroupsSequence = [shared]
    return image


def _origin() -> Dataset:
    origin = Dataset()
    origin.XOffsetInSlideCoordinateSystem = 20
    origin.YOffsetInSlideCoordinateSystem = 30
    return origin


def _optics(how: Written) -> Dataset:
    optics = Dataset()
    optics.OpticalPathIdentifier = "1"
    optics.ObjectiveLensPower = 20
    if how.icc is not None:
        optics.ICCProfile = how.icc
    return optics


def _place(row: int, col: int, how: Written) -> Dataset:
    frame, place = Dataset(), Dataset()
    place.ColumnPositionInTotalImagePixelMatrix = col * how.tile[0] + 1
    place.RowPositionInTotalImagePixelMatrix = row * how.tile[1] + 1
    place.XOffsetInSlideCoordinateSystem = place.YOffsetInSlideCoordinateSystem = 0
    place.ZOffsetInSlideCoordinateSystem = 0
    frame.PlanePositionSlideSequence = [place]
    return frame


def _set_pixels(image: Dataset, frames: Iterable[bytes], how: Written) -> None:
    frames = list(frames)
    if how.syntax == NATIVE:
        image.PixelData = b"".join(frames)
        image["PixelData"].VR = "OB"
        return
    if how.table == "extended":
        image.PixelData, image.ExtendedOffsetTable, image.ExtendedOffsetTableLengths = (
            encapsulate_extended([f + bytes(len(f) % 2) for f in frames])
        )
    else:
        image.PixelData = encapsulate(
            frames, fragments_per_frame=how.fragments, has_bot=how.table == "basic"
        )
    image["PixelData"].VR = "OB"
    image["PixelData"].is_undefined_length = True


def write_pyramid_slide(folder: Path, pixels: np.ndarray, how: Written | None = None) -> None:
    """Write a slide of two levels with label, macro and thumbnail."""
    how = how or Written()
    write_slide(folder, pixels, how)
    x, y = how.mm or (0.0005, 0.0005)
    smaller = replace(how, number=2, mm=(2 * x, 2 * y), parts=1, missing=())
    write_slide(folder, pixels[::2, ::2], smaller)
    for number, (kind, level) in enumerate({"LABEL": 1, "OVERVIEW": 2, "THUMBNAIL": 3}.items(), 3):
        picture = np.full((30, 40 + number, 3), 60 * level, np.uint8)
        write_slide(
            folder,
            picture,
            replace(
                how, number=number, kind=kind, tile=(40 + number, 30), mm=None, parts=1, missing=()
            ),
        )


def changed(path: Path, **values: Any) -> Path:
    """Set values of a header in place, whatever the standard says of them."""
    from pydicom import dcmread

    image = dcmread(path)
    for keyword, value in values.items():
        if value is None:
            delattr(image, keyword)
        else:
            setattr(image, keyword, value)
    image.save_as(path)
    return path
