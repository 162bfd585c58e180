"""DICOM Segmentation and Parametric Map, with the derived slide image both refer to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_liverdx._version import __version__
from napari_liverdx.core.classes import TissueClass
from napari_liverdx.core.colormaps import rgb8
from napari_liverdx.core.errors import ResultError
from napari_liverdx.exports.base import ExportOptions, writing_folder
from napari_liverdx.exports.dicom_reference import SourceReference, refer_to, source_reference
from napari_liverdx.exports.dicom_source import (
    MANUFACTURER,
    derived_uid,
    moment,
    source_image,
)
from napari_liverdx.results.store import ResultStore

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.sr.coding import Code

__all__ = ["MAP", "SEGMENTATION", "SOURCE", "write_dicom"]

SOURCE, SEGMENTATION, MAP = "source.dcm", "segmentation.dcm", "parametric-map.dcm"

_MORPHOLOGY = ("49755003", "Morphologically Abnormal Structure")
_KINDS = {
    # SNOMED CT codes of morphologic abnormalities, by words in the name of a class.
    ("fat", "steatosis", "steatotic", "macrosteatosis", "microsteatosis"): (
        "29185008",
        "Fatty degeneration",
    ),
    ("fibrosis", "fibrotic"): ("112674009", "Fibrosis"),
    ("inflammation",): ("409774005", "Inflammation"),
    ("necrosis", "necrotic"): ("6574001", "Necrosis"),
    ("tumor", "tumor", "neoplasm", "hcc", "cancer"): ("108369006", "Neoplasm"),
}


def write_dicom(store: ResultStore, path: Path, options: ExportOptions) -> None:
    """Write a folder with a segmentation, a parametric map and, unless it is DICOM, a slide image.

    Each pathological class is a segment, each class a channel of the map. All lie on one another:
    same frame of reference, pixel spacing and origin. Those of a DICOM slide refer to it and lie
    in its frame of reference.

    Parameters
    ----------
    store : ResultStore
        The result.
    path : Path
        Folder to write.
    options : ExportOptions
        Thresholds of the segments, or whether they are fractional; the overview, if the slide's
        pixels may be handed on. The slide's name is never written.

    Raises
    ------
    StorageFullError
        If the disk is full.
    ResultError
        If highdicom is missing, the result holds no pathological class, or the folder cannot be
        written.
    """
    try:
        import highdicom  # noqa: F401
    except ImportError as error:
        raise ResultError(
            'DICOM needs highdicom: pip install "napari-liverdx[dicom]", then export again'
        ) from error
    if not store.manifest.scheme.pathological:
        raise ResultError(
            f"{store.path}: the model names no pathological class, so there is nothing to segment; "
            "export the probabilities as OME-TIFF or OME-Zarr"
        )
    reference = source_reference(store, options)
    source = source_image(store, options, reference)
    objects = {
        SEGMENTATION: _segmentation(store, source, options),
        MAP: _parametric_map(store, source),
    }
    for what, made in (("segmentation", objects[SEGMENTATION]), ("map", objects[MAP])):
        _settle(made, store, what, reference)
    if reference is None:
        objects[SOURCE] = source
    with writing_folder(path, _is_ours) as partial:
        partial.mkdir()
        for name, made in objects.items():
            made.save_as(partial / name, enforce_file_format=True)


def _is_ours(path: Path) -> bool:
    files = list(path.iterdir())
    known = {p.name for p in files} <= {SOURCE, SEGMENTATION, MAP}
    return known and all(_has_our_mark(p) for p in files)


def _has_our_mark(path: Path) -> bool:
    """Return whether a file says that it was made by this program."""
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    try:
        told = dcmread(path, specific_tags=["Manufacturer", "SeriesInstanceUID"])
        maker, series = told.get("Manufacturer", ""), str(told.get("SeriesInstanceUID", ""))
    except (InvalidDicomError, OSError, ValueError):
        return False
    return bool(maker == MANUFACTURER and series.startswith("2.25."))


def _concept(tissue_class: TissueClass) -> Code:
    from pydicom.sr.coding import Code

    words = f"{tissue_class.name} {tissue_class.title}".lower().replace("-", " ").split()
    for known, (value, meaning) in _KINDS.items():
        if any(word in known for word in words):
            return Code(value, "SCT", meaning)
    return Code(_MORPHOLOGY[0], "SCT", _MORPHOLOGY[1])


def _segmentation(store: ResultStore, source: Dataset, options: ExportOptions) -> Dataset:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentDescription
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code

    manifest, tissue, fractional = store.manifest, store.tissue_subtiles(), options.fractional
    algorithm = AlgorithmIdentificationSequence(
        name=manifest.model_name[:64],
        version=manifest.model_version[:64] or "1",
        family=codes.DCM.ArtificialIntelligence,
        source=MANUFACTURER,
        parameters={"sha256": manifest.model_sha256},
    )
    assigned = options.assign_map(store)
    planes, segments = [], []
    for number, index in enumerate(manifest.scheme.pathological, 1):
        tissue_class = manifest.classes[index]
        values = store.probabilities[index]
        planes.append(np.where(tissue, values, 0) if fractional else assigned.counted[index])
        segments.append(
            SegmentDescription(
                segment_number=number,
                segment_label=tissue_class.title[:64],
                segmented_property_category=Code(_MORPHOLOGY[0], "SCT", _MORPHOLOGY[1]),
                segmented_property_type=_concept(tissue_class),
                algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
                algorithm_identification=algorithm,
                tracking_uid=derived_uid(store, f"tracking {tissue_class.name}"),
                tracking_id=tissue_class.name[:64],
                display_color=CIELabColor.from_rgb(*rgb8(tissue_class.color)),
            )
        )
    stack = np.stack(planes, axis=-1)[None].astype(np.float32 if fractional else np.uint8)
    made = Segmentation(
        source_images=[source],
        pixel_array=stack,
        segmentation_type="FRACTIONAL" if fractional else "BINARY",
        segment_descriptions=segments,
        content_label="LIVERDX",
        content_description=manifest.notice[:64],
        content_creator_name=None,
        tile_pixel_array=True,
        omit_empty_frames=False,
        **_equipment(store, "segmentation", 2, stack),
    )
    # Required of images without a patient-based position; it may be empty.
    made.PatientOrientation = ""
    return made


def _parametric_map(store: ResultStore, source: Dataset) -> Dataset:
    from highdicom import VOILUTTransformation
    from highdicom.pm import ParametricMap, RealWorldValueMapping
    from pydicom.sr.codedict import codes

    mappings = [
        [
            RealWorldValueMapping(
                lut_label=tissue_class.name[:16],
                lut_explanation=f"Probability of {tissue_class.title}"[:64],
                unit=codes.UCUM.NoUnits,
                value_range=(0.0, 1.0),
                slope=1.0,
                intercept=0.0,
                quantity_definition=codes.DCM.Probability,
            )
        ]
        for tissue_class in store.manifest.classes
    ]
    values = np.moveaxis(store.probabilities, 0, -1)[None].astype(np.float32)
    return ParametricMap(
        source_images=[source],
        pixel_array=values,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=mappings,
        voi_lut_transformations=[VOILUTTransformation(window_center=0.5, window_width=1.0)],
        content_label="LIVERDX",
        content_description=store.manifest.notice[:64],
        tile_pixel_array=True,
        **_equipment(store, "map", 3, values),
    )


def _equipment(store: ResultStore, what: str, number: int, values: NDArray[Any]) -> dict[str, Any]:
    content = hashlib.sha256(values.tobytes()).hexdigest()
    return {
        "series_instance_uid": derived_uid(store, f"{what} series {content}"),
        "series_number": number,
        "sop_instance_uid": derived_uid(store, f"{what} {content}"),
        "instance_number": 1,
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": MANUFACTURER,
        "software_versions": __version__,
        "device_serial_number": "1",
    }


def _settle(
    made: Dataset, store: ResultStore, what: str, reference: SourceReference | None
) -> None:
    """Give what is drawn by chance or by the clock values that stay the same; name the source."""
    if reference is not None:
        refer_to(made, reference)
    when = moment(store)
    made.ContentDate, made.ContentTime = when.strftime("%Y%m%d"), when.strftime("%H%M%S")
    for keyword in ("InstanceCreationDate", "SeriesDate"):
        if keyword in made:
            setattr(made, keyword, made.ContentDate)
    for keyword in ("InstanceCreationTime", "SeriesTime"):
        if keyword in made:
            setattr(made, keyword, made.ContentTime)
    for item in made.get("ContributingEquipmentSequence", ()):
        item.ContributionDateTime = made.ContentDate + made.ContentTime
    known = {} if reference is None else {uid: uid for uid in reference.uids}
    for element in _uids(made):
        value = str(element.value)
        if not value.startswith(("2.25.", "1.2.840.10008.")):
            known.setdefault(value, derived_uid(store, f"{what} {element.keyword} {len(known)}"))
            element.value = known[value]


def _uids(dataset: Dataset) -> Iterator[Any]:
    for element in dataset:
        if element.VR == "SQ":
            items: Sequence[Dataset] = element.value
            for item in items:
                yield from _uids(item)
        elif element.VR == "UI" and element.value:
            yield element
