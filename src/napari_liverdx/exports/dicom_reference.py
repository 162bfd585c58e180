"""The DICOM slide that a result was made of, as its exports refer to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_liverdx.exports.base import ExportOptions
from napari_liverdx.results.store import ResultStore

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["SourceReference", "refer_to", "source_reference"]

_UID = re.compile(r"[0-9]+(\.[0-9]+)+")
_LONGEST_UID = 64


@dataclass(frozen=True, slots=True)
class SourceReference:
    """A level of a DICOM slide, and where it lies on the glass.

    Attributes
    ----------
    study, series, frame_of_reference : str
        UIDs.
    instances : tuple of str
        SOP instance UIDs of the files that hold the analyzed level.
    origin_mm : tuple of float
        Center (x, y) of the slide's first pixel.
    rows, columns : tuple of float
        Where rows and columns run, (x, y) cosines.
    """

    study: str
    series: str
    frame_of_reference: str
    instances: tuple[str, ...]
    origin_mm: tuple[float, float]
    rows: tuple[float, float]
    columns: tuple[float, float]

    @property
    def uids(self) -> frozenset[str]:
        """All UIDs, none of which is ours."""
        return frozenset((self.study, self.series, self.frame_of_reference, *self.instances))

    def place(self, x_mm: float, y_mm: float) -> tuple[float, float]:
        """Return where on the glass lies what is that far from the center of the first pixel."""
        (left, top), (rx, ry), (cx, cy) = self.origin_mm, self.rows, self.columns
        return left + rx * x_mm + cx * y_mm, top + ry * x_mm + cy * y_mm


def source_reference(store: ResultStore, options: ExportOptions) -> SourceReference | None:
    """Return the DICOM slide a result was made of.

    None if it is no DICOM slide, its identifiers are incomplete, or names are to be hidden: the
    identifiers would lead to the patient.
    """
    if options.hide_name:
        return None
    try:
        return _parsed(store.manifest.references, store.manifest.grid.level)
    except (KeyError, ValueError, IndexError):
        return None


def _parsed(told: Mapping[str, str], level: int) -> SourceReference | None:
    instances = tuple(told["SOPInstanceUIDs"].split("|")[level].split("\\"))
    x, y = (float(v) for v in told["TotalPixelMatrixOrigin"].split("\\"))
    rx, ry, _, cx, cy, _ = (float(v) for v in told["ImageOrientationSlide"].split("\\"))
    study, series = told["StudyInstanceUID"], told["SeriesInstanceUID"]
    found = SourceReference(
        study, series, told["FrameOfReferenceUID"], instances, (x, y), (rx, ry), (cx, cy)
    )
    whole = all(_UID.fullmatch(uid) and len(uid) <= _LONGEST_UID for uid in found.uids)
    return found if whole else None


def refer_to(made: Dataset, source: SourceReference) -> None:
    """Name all files of the source level where highdicom named the first."""
    for image in made.get("SourceImageSequence", ())[:1]:
        made.SourceImageSequence = [_item(image, uid) for uid in source.instances]
    for series in made.ReferencedSeriesSequence:
        (first,) = series.ReferencedInstanceSequence
        series.ReferencedInstanceSequence = [_item(first, uid) for uid in source.instances]


def _item(like: Dataset, uid: str) -> Dataset:
    item = deepcopy(like)
    item.ReferencedSOPInstanceUID = uid
    return item
