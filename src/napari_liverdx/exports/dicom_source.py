"""A derived whole-slide image in DICOM that segmentations and parametric maps can refer to."""

from __future__ import annotations

import hashlib
import io
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from napari_liverdx._version import __version__
from napari_liverdx.exports.base import ExportOptions, result_uuid, slide_uuid
from napari_liverdx.exports.dicom_reference import SourceReference
from napari_liverdx.results.store import ResultStore
from napari_liverdx.slides.backend import WHITE
from napari_liverdx.slides.formats.dicom_parts.files import DICOM_MAKER
from napari_liverdx.slides.slide import Overview

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["MANUFACTURER", "derived_uid", "moment", "source_image"]

MANUFACTURER = DICOM_MAKER
_TILE = 256
_JPEG_QUALITY = 90
_TISSUE = (226, 190, 208)
_THICKNESS_MM = 0.004


def derived_uid(store: ResultStore, what: str) -> str:
    """Derive a UID under 2.25 (ISO/IEC 9834-8) for something in a result, the same each time."""
    return f"2.25.{uuid.uuid5(result_uuid(store.manifest), what).int}"


def _slide_uid(store: ResultStore, what: str) -> str:
    """Derive a UID that all results of a slide share, so that their images lie in one study."""
    return f"2.25.{slide_uuid(store.manifest, what).int}"


def moment(store: ResultStore) -> datetime:
    """Return when the result was made, so that exporting twice gives the same file."""
    for text in (store.manifest.finished, store.manifest.created):
        try:
            return datetime.fromisoformat(text).astimezone(UTC)
        except ValueError:
            continue
    return datetime(1970, 1, 1, tzinfo=UTC)


def source_image(
    store: ResultStore, options: ExportOptions, reference: SourceReference | None = None
) -> Dataset:
    """Build a VL Whole Slide Microscopy Image with one pixel for each map pixel.

    Its pixels are the slide's overview at the map's resolution, or, without an overview, a
    drawing of where tissue is. The slide coordinate system is the slide file's own: x runs along
    its rows, y along its columns, in mm from the upper-left corner of its first pixel. Where the
    picture lies on the glass is not known.

    With a reference it stands for that slide: it has its identifiers and its place on the glass,
    and is not to be written.

    Parameters
    ----------
    store : ResultStore
        The result.
    options : ExportOptions
        Whose overview is used.
    reference : SourceReference, optional
        The DICOM slide the result was made of.

    Returns
    -------
    pydicom.Dataset
        With its file meta information. It names no patient: the identifiers are codes.
    """
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import JPEGBaseline8Bit, VLWholeSlideMicroscopyImageStorage

    picture = _picture(store, options.overview)
    frames = list(_frames(picture))
    content = hashlib.sha256(picture.tobytes()).hexdigest()
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    image.file_meta.MediaStorageSOPClassUID = VLWholeSlideMicroscopyImageStorage
    image.SOPClassUID = VLWholeSlideMicroscopyImageStorage
    image.SOPInstanceUID = derived_uid(store, f"source {content}")
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    _identify(image, store)
    _place(image, store, picture.shape[:2])
    if reference is not None:
        _stand_for(image, store, reference)
    _describe_specimen(image, store)
    image.ImageType = ["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"]
    image.DerivationDescription = (
        "Overview of the slide at the resolution of a probability map"
        if options.overview is not None
        else "Drawing of where tissue is; holds no pixels of the slide"
    )
    image.SamplesPerPixel, image.PhotometricInterpretation = 3, "YBR_FULL_422"
    image.PlanarConfiguration = 0
    image.BitsAllocated = image.BitsStored = 8
    image.HighBit, image.PixelRepresentation = 7, 0
    image.LossyImageCompression = "01"
    ratio = picture.nbytes / sum(map(len, frames))
    image.LossyImageCompressionRatio = f"{ratio:.2f}"
    image.LossyImageCompressionMethod = "ISO_10918_1"
    image.BurnedInAnnotation = image.SpecimenLabelInImage = "NO"
    image.NumberOfFrames = len(frames)
    image.PixelData = encapsulate(frames)
    image["PixelData"].is_undefined_length = True
    return image


def _identify(image: Dataset, store: ResultStore) -> None:
    code, when = store.manifest.pseudonym, moment(store)
    day, time = when.strftime("%Y%m%d"), when.strftime("%H%M%S")
    image.PatientName, image.PatientID = f"Anonymous^{code}", f"LDX-{code}"
    image.PatientBirthDate = image.PatientSex = ""
    image.PatientIdentityRemoved = "YES"
    image.DeidentificationMethod = "Nothing of the slide file's metadata was taken over"
    image.StudyInstanceUID = _slide_uid(store, "study")
    image.StudyID, image.StudyDate, image.StudyTime = code, "", ""
    image.AccessionNumber = image.ReferringPhysicianName = ""
    image.Modality, image.SeriesNumber, image.InstanceNumber = "SM", 1, 1
    image.SeriesInstanceUID = derived_uid(store, "source series")
    image.SeriesDescription = "Overview at the resolution of the probability map"
    image.ContentDate, image.ContentTime = day, time
    image.AcquisitionDateTime = day + time
    image.Manufacturer = image.ManufacturerModelName = MANUFACTURER
    image.DeviceSerialNumber, image.SoftwareVersions = "1", __version__
    image.AcquisitionContextSequence = []
    image.VolumetricProperties = "VOLUME"
    image.FocusMethod, image.ExtendedDepthOfField = "AUTO", "NO"


def _place(image: Dataset, store: ResultStore, shape: tuple[int, int]) -> None:
    """Set size, resolution and position; positions are those of pixel centers."""
    from pydicom.dataset import Dataset
    from pydicom.valuerep import DSfloat

    (width, height), (x, y), mpp = store.subtile_size, store.origin, store.mpp
    rows, cols = shape
    image.Rows = image.Columns = _TILE
    image.TotalPixelMatrixRows, image.TotalPixelMatrixColumns = rows, cols
    image.TotalPixelMatrixFocalPlanes = 1
    image.ImagedVolumeWidth = cols * width * mpp.x / 1000
    image.ImagedVolumeHeight = rows * height * mpp.y / 1000
    # An unsectioned thickness is unknown to the slide file; a usual section is given (µm).
    image.ImagedVolumeDepth = _THICKNESS_MM * 1000
    image.FrameOfReferenceUID = _slide_uid(store, "frame of reference")
    image.PositionReferenceIndicator = "SLIDE_CORNER"
    image.ImageOrientationSlide = [1, 0, 0, 0, 1, 0]
    origin = Dataset()
    origin.XOffsetInSlideCoordinateSystem = _mm((x + width / 2) * mpp.x / 1000)
    origin.YOffsetInSlideCoordinateSystem = _mm((y + height / 2) * mpp.y / 1000)
    image.TotalPixelMatrixOriginSequence = [origin]
    spacing = Dataset()
    spacing.PixelSpacing = [_mm(height * mpp.y / 1000), _mm(width * mpp.x / 1000)]
    spacing.SliceThickness = DSfloat(_THICKNESS_MM)
    groups, kind = Dataset(), Dataset()
    groups.PixelMeasuresSequence = [spacing]
    kind.FrameType = ["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"]
    groups.WholeSlideMicroscopyImageFrameTypeSequence = [kind]
    groups.OpticalPathIdentificationSequence = [Dataset()]
    groups.OpticalPathIdentificationSequence[0].OpticalPathIdentifier = "1"
    image.SharedFunctionalGroupsSequence = [groups]
    image.DimensionOrganizationType = "TILED_FULL"
    organization = Dataset()
    organization.DimensionOrganizationUID = derived_uid(store, "source dimensions")
    image.DimensionOrganizationSequence = [organization]


def _stand_for(image: Dataset, store: ResultStore, reference: SourceReference) -> None:
    """Take the place and the identifiers of a DICOM slide."""
    (width, height), (x, y), mpp = store.subtile_size, store.origin, store.mpp
    image.SOPInstanceUID = reference.instances[0]
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.StudyInstanceUID, image.SeriesInstanceUID = reference.study, reference.series
    image.FrameOfReferenceUID = reference.frame_of_reference
    # From the center of the slide's first pixel to that of the map.
    left, top = reference.place(
        (x + (width - 1) / 2) * mpp.x / 1000, (y + (height - 1) / 2) * mpp.y / 1000
    )
    origin = image.TotalPixelMatrixOriginSequence[0]
    origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem = (
        _mm(left),
        _mm(top),
    )
    image.ImageOrientationSlide = [*map(_mm, reference.rows), 0, *map(_mm, reference.columns), 0]


def _mm(value: float) -> Any:
    from pydicom.valuerep import DSfloat

    return DSfloat(value, auto_format=True)


def _describe_specimen(image: Dataset, store: ResultStore) -> None:
    from pydicom.dataset import Dataset

    code = store.manifest.pseudonym
    image.ContainerIdentifier = f"LDX-{code}"
    image.IssuerOfTheContainerIdentifierSequence = []
    image.ContainerTypeCodeSequence = [_code("433466003", "SCT", "Microscope slide")]
    specimen = Dataset()
    specimen.SpecimenIdentifier = f"LDX-{code}"
    specimen.SpecimenUID = _slide_uid(store, "specimen")
    specimen.IssuerOfTheSpecimenIdentifierSequence = []
    specimen.SpecimenTypeCodeSequence = [_code("1179252003", "SCT", "Slide")]
    specimen.SpecimenPreparationSequence = []
    image.SpecimenDescriptionSequence = [specimen]
    path = Dataset()
    path.OpticalPathIdentifier = "1"
    path.IlluminationTypeCodeSequence = [_code("111744", "DCM", "Brightfield illumination")]
    path.IlluminationColorCodeSequence = [_code("371251000", "SCT", "White color")]
    path.ICCProfile = _srgb()
    path.ColorSpace = "SRGB"
    image.OpticalPathSequence = [path]
    image.NumberOfOpticalPaths = 1


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _srgb() -> bytes:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    # When the profile was made stands in its header; zeros give the same file each time.
    profile[24:36] = bytes(12)
    return bytes(profile) + bytes(len(profile) % 2)


def _picture(store: ResultStore, overview: Overview | None) -> NDArray[np.uint8]:
    rows, cols = store.probabilities.shape[1:]
    if overview is None:
        drawn = np.full((rows, cols, 3), WHITE, np.uint8)
        drawn[store.tissue_subtiles()] = _TISSUE
        return drawn
    (width, height), (x, y) = store.subtile_size, store.origin
    left, top = x / overview.scale_x, y / overview.scale_y
    right, bottom = left + cols * width / overview.scale_x, top + rows * height / overview.scale_y
    # The map may reach beyond the slide.
    have_rows, have_cols = overview.rgb.shape[:2]
    whole = np.full(
        (max(have_rows, int(bottom) + 1), max(have_cols, int(right) + 1), 3), WHITE, np.uint8
    )
    whole[:have_rows, :have_cols] = overview.rgb
    small = Image.fromarray(whole).resize(
        (cols, rows), Image.Resampling.BOX, box=(left, top, right, bottom)
    )
    return np.asarray(small)


def _frames(picture: NDArray[np.uint8]) -> Iterator[bytes]:
    rows, cols = picture.shape[:2]
    padded = np.pad(
        picture, ((0, -rows % _TILE), (0, -cols % _TILE), (0, 0)), constant_values=WHITE
    )
    for top in range(0, padded.shape[0], _TILE):
        for left in range(0, padded.shape[1], _TILE):
            buffer = io.BytesIO()
            tile = Image.fromarray(padded[top : top + _TILE, left : left + _TILE])
            tile.save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling="4:2:2")
            yield buffer.getvalue()
