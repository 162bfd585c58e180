"""What the header of a DICOM file says, as far as a slide needs it; no patient field is read."""

from __future__ import annotations

import io
import math
import os
import re
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_liverdx.core.errors import LiverDxError, NotASlideError, SlideReadError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = [
    "BoundedFile",
    "DicomHeader",
    "damaged_dicom",
    "is_dicom",
    "quiet",
    "read_header",
    "uid_name",
]

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
_DIRECTORY = "1.2.840.10008.1.3.10"
_PER_FRAME = 0x52009230
_KINDS = {"VOLUME": "", "LABEL": "label", "OVERVIEW": "macro", "THUMBNAIL": "thumbnail"}
_COLORS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_TAGS = (
    "ImageType",
    "SOPClassUID",
    "SOPInstanceUID",
    "ManufacturerModelName",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "PyramidUID",
    "FrameOfReferenceUID",
    "ConcatenationFrameOffsetNumber",
    "InConcatenationTotalNumber",
    "SOPInstanceUIDOfConcatenationSource",
    "ConcatenationUID",
    "DimensionOrganizationType",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
    "ImagedVolumeWidth",
    "ImagedVolumeHeight",
    "TotalPixelMatrixColumns",
    "TotalPixelMatrixRows",
    "TotalPixelMatrixOriginSequence",
    "ImageOrientationSlide",
    "OpticalPathSequence",
    "TotalPixelMatrixFocalPlanes",
    "SharedFunctionalGroupsSequence",
)
# A glass slide is 76 mm long; a tile this large is no tile.
_MAX_SIDE, _MAX_TILE_PIXELS = 2**20, 2**26
_MAX_READ = 2**28
_UID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+")
_FILTERS = threading.RLock()


class BoundedFile(io.BufferedReader):
    """A file for parsers that believe any length: no read is longer than what is there."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self.size = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to ``size`` bytes, all that are left where it is negative."""
        left = max(0, self.size - self.tell())
        wanted = left if size is None or size < 0 else min(size, left)
        return super().read(min(wanted, _MAX_READ))


@dataclass(frozen=True, slots=True)
class DicomHeader:
    """One file of a whole-slide image.

    Attributes
    ----------
    path : Path
    kind : str
        Empty for a level, else what the picture beside the slide is called.
    syntax : str
        Transfer syntax UID.
    study, series, pyramid, reference : str
        UIDs of the study, the series, the pyramid and the frame of reference.
    instance : str
        SOP instance UID.
    whole : str
        UID of the image that is stored in several files, ``instance`` where it is in one.
    parts : int
        In how many files it is; 0 where that is not said.
    first_frame : int
        Index in the image of the first frame in this file.
    frames : int
        In this file.
    width, height, tile_width, tile_height : int
    samples : int
        Per pixel.
    color : str
        Photometric interpretation.
    planar : bool
        Whether the samples of uncompressed frames follow one another in planes.
    sparse : bool or None
        None where that is not said.
    spacing_um, extent_um : tuple of float or None
        Size (x, y) of a pixel, and of a pixel by the size of what was imaged.
    power : float or None
        Of the objective.
    origin_mm : tuple of float
        Center (x, y) of the first pixel in the coordinates of the slide.
    depth : float
        Of the focal plane, in the unit of its file.
    orientation : tuple of float
        Six cosines: where rows and columns run.
    icc : bytes or None
    maker : str
        Model name of the equipment.
    """

    path: Path
    kind: str
    syntax: str
    study: str
    series: str
    pyramid: str
    reference: str
    instance: str
    whole: str
    parts: int
    first_frame: int
    frames: int
    width: int
    height: int
    tile_width: int
    tile_height: int
    samples: int
    color: str
    planar: bool
    sparse: bool | None
    spacing_um: tuple[float, float] | None
    extent_um: tuple[float, float] | None
    power: float | None
    origin_mm: tuple[float, float]
    depth: float
    orientation: tuple[float, ...]
    icc: bytes | None = field(repr=False)
    maker: str

    @property
    def tiles(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return -(-self.height // self.tile_height), -(-self.width // self.tile_width)


def is_dicom(path: Path) -> bool:
    """Return whether a file begins as DICOM files do, whatever it is called."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what pydicom warns of to itself: it tells of single elements, at times with values."""
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def damaged_dicom(path: Path, why: object) -> SlideReadError:
    """Return the error for a file that cannot be what it says; ``why`` in a few words."""
    return SlideReadError(
        f"{path}: the DICOM file is damaged or cut off ({why}); copy it again from its source"
    )


def read_header(path: Path) -> DicomHeader:
    """Read the header of a file of a whole-slide image.

    Raises
    ------
    NotASlideError
        If it is DICOM, but no brightfield whole-slide image.
    SlideReadError
        If it is damaged.
    """
    try:
        with quiet():
            return _read_header(path)
    except (LiverDxError, OSError):
        raise
    # What pydicom raises on damaged files has no common base but Exception.
    except Exception as error:
        raise damaged_dicom(path, f"{type(error).__name__} in its header") from error


def _read_header(path: Path) -> DicomHeader:
    from pydicom.filereader import read_partial
    from pydicom.tag import Tag

    with BoundedFile(path) as file:
        start = read_partial(file, stop_when=lambda *_: True)
        declared = str(start.file_meta.get("MediaStorageSOPClassUID", WHOLE_SLIDE))
        if declared != WHOLE_SLIDE:
            raise _other_class(path, declared)
        file.seek(0)
        told = read_partial(
            file,
            stop_when=lambda tag, *_: int(tag) >= _PER_FRAME,
            specific_tags=[Tag(t) for t in _TAGS],
        )
        if str(told.get("SOPClassUID", WHOLE_SLIDE)) != WHOLE_SLIDE:
            raise _other_class(path, str(told.SOPClassUID))
        _check_pixels(path, told)
        return _header(path, told, str(told.file_meta.TransferSyntaxUID))


def uid_name(uid: str) -> str:
    """Return what the standard calls a UID; damaged files hold anything in its place."""
    from pydicom.uid import UID

    return str(UID(uid).name) if _UID.fullmatch(uid) else "something unknown"


def _other_class(path: Path, uid: str) -> NotASlideError:
    if uid == _DIRECTORY:
        return NotASlideError(
            f"{path}: this is a DICOM directory and no slide; open the folder with the slide's "
            "files, or one of them"
        )
    name = uid_name(uid).removesuffix(" Storage")
    return NotASlideError(
        f"{path}: this DICOM file is a {name}; only whole slide images (VL Whole Slide Microscopy "
        "Image) are slides"
    )


def _check_pixels(path: Path, told: Dataset) -> None:
    """Refuse in one sentence what is no color image of a slide."""
    samples = int(told.SamplesPerPixel)
    color = "".join(c for c in str(told.PhotometricInterpretation) if c.isprintable())[:32]
    kind = _kind(path, told)
    bits = int(told.BitsAllocated), int(told.BitsStored)
    planes = int(told.get("TotalPixelMatrixFocalPlanes", None) or 1)
    why = ""
    if planes > 1 and not kind:
        why = f"a z-stack of {planes} focal planes; export one plane of it"
    elif samples == 1 and not kind:
        paths = len(told.get("OpticalPathSequence", None) or ()) or 1
        why = f"a gray or fluorescence image ({color}, channels: {paths}); open an H&E slide"
    elif bits != (8, 8) or int(told.get("PixelRepresentation", None) or 0):
        why = f"an image of {bits[1]} bits a sample; convert it to 8 bits"
    elif not ((samples == 3 and color in _COLORS) or (samples == 1 and color == "MONOCHROME2")):
        why = f"an image in the colors {color}; convert it to RGB"
    if why:
        raise NotASlideError(f"{path}: no brightfield color slide, but {why}")


def _kind(path: Path, told: Dataset) -> str:
    flavor = "".join(str(v) for v in _values(told.get("ImageType", None))[2:3])
    for name, kind in _KINDS.items():
        if name == flavor:
            return kind
    raise NotASlideError(
        f"{path}: this DICOM file holds neither a level of a slide nor a picture of one (image "
        "type); open another file of the slide"
    )


def _header(path: Path, told: Dataset, syntax: str) -> DicomHeader:
    width, height = int(told.TotalPixelMatrixColumns), int(told.TotalPixelMatrixRows)
    tile_width, tile_height = int(told.Columns), int(told.Rows)
    frames = int(told.get("NumberOfFrames", None) or 1)
    if min(width, height, tile_width, tile_height, frames) < 1:
        raise damaged_dicom(path, f"{width}×{height} px, {frames} frames")
    if max(width, height) > _MAX_SIDE or tile_width * tile_height > _MAX_TILE_PIXELS:
        raise damaged_dicom(
            path, f"{width}×{height} px in tiles of {tile_width}×{tile_height} px cannot be true"
        )
    organization = told.get("DimensionOrganizationType", None)
    instance = str(told.SOPInstanceUID)
    optics = _first(told.get("OpticalPathSequence", None))
    profile = optics.get("ICCProfile", None) if optics is not None else None
    origin = _first(told.get("TotalPixelMatrixOriginSequence", None))
    return DicomHeader(
        path=path,
        kind=_kind(path, told),
        syntax=syntax,
        study=str(told.StudyInstanceUID),
        series=str(told.SeriesInstanceUID),
        pyramid=str(told.get("PyramidUID", "")),
        reference=str(told.get("FrameOfReferenceUID", "")),
        instance=instance,
        whole=str(
            told.get("SOPInstanceUIDOfConcatenationSource", None)
            or told.get("ConcatenationUID", None)
            or instance
        ),
        parts=int(told.get("InConcatenationTotalNumber", None) or 0),
        first_frame=int(told.get("ConcatenationFrameOffsetNumber", None) or 0),
        frames=frames,
        width=width,
        height=height,
        tile_width=tile_width,
        tile_height=tile_height,
        samples=int(told.SamplesPerPixel),
        color=str(told.PhotometricInterpretation),
        planar=bool(int(told.get("PlanarConfiguration", None) or 0)),
        sparse=None if not organization else organization != "TILED_FULL",
        spacing_um=_spacing(told),
        extent_um=_extent(told, width, height),
        power=_number(optics.get("ObjectiveLensPower", None)) if optics is not None else None,
        origin_mm=(_offset(origin, "X"), _offset(origin, "Y")),
        depth=_offset(origin, "Z"),
        orientation=_orientation(told),
        icc=bytes(profile) if isinstance(profile, bytes) and profile else None,
        maker=str(told.get("ManufacturerModelName", "")),
    )


def _values(value: Any) -> Sequence[Any]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) or not hasattr(value, "__iter__") else tuple(value)


def _first(sequence: Any) -> Dataset | None:
    return sequence[0] if sequence else None


def _number(value: Any) -> float | None:
    """Return a finite number, or None: empty and impossible values say nothing."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _offset(origin: Dataset | None, axis: str) -> float:
    told = None if origin is None else origin.get(f"{axis}OffsetInSlideCoordinateSystem", None)
    return _number(told) or 0.0


def _pair(x: float | None, y: float | None) -> tuple[float, float] | None:
    return (x, y) if x is not None and y is not None and x > 0 and y > 0 else None


def _spacing(told: Dataset) -> tuple[float, float] | None:
    shared = _first(told.get("SharedFunctionalGroupsSequence", None))
    measures = _first(shared.get("PixelMeasuresSequence", None)) if shared is not None else None
    # Rows come first: the distance between rows is that along y.
    mm = _values(measures.get("PixelSpacing", None)) if measures is not None else ()
    if len(mm) != 2:
        return None
    y, x = (None if (v := _number(value)) is None else v * 1000 for value in mm)
    return _pair(x, y)


def _extent(told: Dataset, width: int, height: int) -> tuple[float, float] | None:
    x, y = (_number(told.get(f"ImagedVolume{side}", None)) for side in ("Width", "Height"))
    return _pair(x and x * 1000 / width, y and y * 1000 / height)


def _orientation(told: Dataset) -> tuple[float, ...]:
    cosines = [_number(v) for v in _values(told.get("ImageOrientationSlide", None))]
    known = tuple(v for v in cosines if v is not None)
    return known if len(known) == 6 else (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
