"""Which DICOM files belong together: the levels of each slide and what lies beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from napari_liverdx.core.errors import LiverDxError, NotASlideError
from napari_liverdx.slides.formats.dicom_parts.header import DicomHeader, is_dicom, read_header

__all__ = [
    "DICOM_MAKER",
    "ImageParts",
    "SlideKey",
    "belongs",
    "check_planes",
    "files_of",
    "gather_dicom",
    "in_order",
    "key_of",
    "read_headers",
    "slides_of",
]

DICOM_MAKER = "napari-liverdx"
"""Model name of the equipment in files that this program writes; no folder lists them as slides."""

SlideKey = tuple[str, str, str, str]
ImageParts = tuple[DicomHeader, ...]
"""The files of one image, in order."""

_MAX_LOG_RATIO = 0.05


def gather_dicom(files: Sequence[Path]) -> dict[Path, Path | None]:
    """Tell which of the files of one folder are DICOM, and what to open for each.

    The folder itself where they are of one slide, else a file of the slide; None for a file that
    is no part of one or was written by this program.
    """
    found: dict[Path, Path | None] = {}
    headers: list[DicomHeader] = []
    for path in files:
        try:
            if is_dicom(path):
                found[path] = None
                headers.append(read_header(path))
        except NotASlideError:
            continue
        except (LiverDxError, OSError):
            # It fails in its turn, with a word on why.
            found[path] = path
    groups = slides_of([h for h in headers if h.maker != DICOM_MAKER])
    for levels in groups.values():
        base = levels[0]
        place = base[0].path.parent if len(groups) == 1 else base[0].path
        for header in headers:
            if belongs(header, base[0]):
                found[header.path] = place
    return found


def files_of(folder: Path) -> list[Path]:
    """Return the files of a folder that are not hidden."""
    return sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))


def read_headers(files: Sequence[Path]) -> tuple[list[DicomHeader], list[LiverDxError]]:
    """Return what DICOM files say of themselves, and why others say nothing."""
    headers: list[DicomHeader] = []
    refused: list[LiverDxError] = []
    for path in files:
        try:
            if is_dicom(path):
                headers.append(read_header(path))
        except LiverDxError as error:
            refused.append(error)
        except OSError:
            continue
    return headers, refused


def key_of(header: DicomHeader) -> SlideKey:
    """Return what files of one pyramid have in common."""
    return header.study, header.series, header.reference, header.pyramid


def belongs(header: DicomHeader, level: DicomHeader) -> bool:
    """Return whether a file is of the slide of which ``level`` is one."""
    if header.kind == "":
        return key_of(header) == key_of(level)
    same_series = header.series == level.series
    return header.study == level.study and (
        same_series or (bool(header.reference) and header.reference == level.reference)
    )


def slides_of(headers: Sequence[DicomHeader]) -> dict[SlideKey, list[ImageParts]]:
    """Return the files of each level of each slide, finest first."""
    found: dict[SlideKey, dict[str, list[DicomHeader]]] = {}
    for header in headers:
        if header.kind == "":
            found.setdefault(key_of(header), {}).setdefault(header.whole, []).append(header)
    return {key: _pyramid([in_order(p) for p in images.values()]) for key, images in found.items()}


def check_planes(headers: Sequence[DicomHeader], base: DicomHeader) -> None:
    """Refuse a z-stack whose planes are images of their own.

    Raises
    ------
    NotASlideError
    """
    size = base.width, base.height
    depths = {
        h.depth
        for h in headers
        if h.kind == "" and key_of(h) == key_of(base) and (h.width, h.height) == size
    }
    if len(depths) > 1:
        raise NotASlideError(
            f"{base.path}: no brightfield color slide, but a z-stack of {len(depths)} focal "
            "planes; keep the files of one plane in a folder of their own"
        )


def in_order(parts: Sequence[DicomHeader]) -> ImageParts:
    """Return the files of an image in order; a copy of one counts once."""
    once = {p.instance: p for p in sorted(parts, key=lambda p: str(p.path), reverse=True)}
    return tuple(sorted(once.values(), key=lambda p: p.first_frame))


def _pyramid(images: Sequence[ImageParts]) -> list[ImageParts]:
    """Return images that are one another's reductions, every one strictly smaller."""
    levels: list[ImageParts] = []
    for parts in sorted(images, key=lambda p: (-p[0].width, -p[0].height, p[0].whole)):
        if levels:
            first, last, this = levels[0][0], levels[-1][0], parts[0]
            ratio = (first.width / this.width) / (first.height / this.height)
            if this.width >= last.width or this.height >= last.height:
                continue
            if abs(math.log(ratio)) > _MAX_LOG_RATIO and min(this.width, this.height) > 1:
                continue
        levels.append(parts)
    return levels
