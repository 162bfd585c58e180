"""What exports share: choices, provenance, and writing that leaves nothing half done."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_liverdx import _v010
from napari_liverdx._files import atomic_write, remove, settle, temp_sibling, unique_sibling
from napari_liverdx.core.assignment import Assignment
from napari_liverdx.core.errors import ResultError, storage_errors
from napari_liverdx.core.prediction_sets import Quantiles
from napari_liverdx.results.manifest import RunManifest, grid_facts
from napari_liverdx.results.measure_settings import MeasureSettings, assign_map, assign_tiles
from napari_liverdx.results.store import ResultStore
from napari_liverdx.slides.slide import Overview

__all__ = [
    "ExportOptions",
    "provenance",
    "result_uuid",
    "slide_label",
    "slide_uuid",
    "writing",
    "writing_folder",
]

_KEPT = "nothing was written, and what was there before is kept"
_COUNTED = "Map pixels that were analyzed, lie on tissue and reach the threshold of the class"


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What a person chooses for an export.

    Attributes
    ----------
    settings : MeasureSettings
        Thresholds, error rate and what is measured.
    quantiles : Quantiles
        Of the model's calibration scores at that error rate.
    overview : Overview, optional
        Thumbnail of the slide, for formats that carry one.
    hide_name : bool
        Whether `RunManifest.pseudonym` stands in place of the slide's file name.
    as_bytes : bool
        Whether an OME-TIFF holds 0 to 255, a quarter of the size, instead of 0 to 1 as float32.
    fractional : bool
        Whether a DICOM Segmentation holds probabilities, in 255 steps, instead of what reaches
        the threshold.
    """

    settings: MeasureSettings = field(default_factory=MeasureSettings)
    quantiles: Quantiles = field(default_factory=Quantiles)
    overview: Overview | None = None
    hide_name: bool = False
    as_bytes: bool = False
    fractional: bool = False

    def assign_map(self, store: ResultStore) -> Assignment:
        """Decide what counts where on the map of a result, as the table of measurements does."""
        return assign_map(store, self.settings, self.quantiles)

    def assign_tiles(self, store: ResultStore) -> Assignment:
        """Decide which class each tile of a result belongs to."""
        return assign_tiles(store, self.settings, self.quantiles)


def slide_label(manifest: RunManifest, options: ExportOptions) -> str:
    """Return what an export calls the slide."""
    return manifest.pseudonym if options.hide_name else manifest.slide_name


def provenance(store: ResultStore, options: ExportOptions) -> dict[str, Any]:
    """Describe how the numbers came to be, as plain data; names no folder and no patient."""
    m = store.manifest
    settings = options.settings.of_scheme(m.scheme)
    counted = _COUNTED
    if settings.error_rate is not None:
        counted += f"; what is uncertain at an error rate of {settings.error_rate:g} is left out"
    return {
        "slide": slide_label(m, options),
        "slide_fingerprint": m.slide_fingerprint,
        "slide_size_px": list(m.slide_size),
        **_place_in_file(m),
        "mpp": list(m.mpp),
        "mpp_source": m.mpp_source,
        "model": m.model_name,
        "model_version": m.model_version,
        "model_sha256": m.model_sha256,
        "thresholds": dict(settings.thresholds),
        "error_rate": settings.error_rate,
        "measured_on": settings.map_kind.value,
        "counted": f"{counted}.",
        "complete": store.is_complete,
        "created": m.created,
        "versions": dict(m.versions),
        "notice": m.notice,
    }


def _place_in_file(m: RunManifest) -> dict[str, Any]:
    """Return which part of the file (0, 0) begins; nothing where it is the file's own corner."""
    told: dict[str, Any] = {}
    if any(m.slide_origin):
        told["slide_origin_px"] = list(m.slide_origin)
    if m.scene is not None:
        told["scene"] = m.scene
    return told


def result_uuid(manifest: RunManifest) -> uuid.UUID:
    """Return an identifier of a result, the same each time (RFC 4122, version 5).

    What is in the result gets its own by ``uuid.uuid5`` with this as the name space. A result of
    0.1.0 keeps the identifier it had.
    """
    m = manifest
    if m.uid:
        return uuid.UUID(m.uid)
    grid = grid_facts(m.grid)
    return _v010.result_uuid(m.slide_fingerprint, m.model_sha256, grid, m.mpp, m.regions_sha256)


def slide_uuid(manifest: RunManifest, what: str) -> uuid.UUID:
    """Return an identifier of something about a slide at a resolution.

    All results of the slide share it, those of 0.1.0 too: their images lie in one study.
    """
    return _v010.slide_uuid(manifest.slide_fingerprint, manifest.mpp, what)


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yield a file beside ``path`` to write; it takes its place once all went well.

    Raises
    ------
    StorageFullError
        If the disk is full.
    ResultError
        If writing fails otherwise.
    """
    with storage_errors(path, _KEPT), atomic_write(path, make_folder=True) as partial:
        yield partial


@contextmanager
def writing_folder(path: Path, is_ours: Callable[[Path], bool]) -> Iterator[Path]:
    """Yield a folder to write like `writing`; replace one that is there only if it ``is_ours``.

    Raises
    ------
    StorageFullError
        If the disk is full.
    ResultError
        If writing fails otherwise, or something else is there.
    """

    def refuse() -> None:
        if path.exists() and not (path.is_dir() and is_ours(path)):
            raise ResultError(
                f"{path}: something else is there, and it is left as it is; choose another name"
            )

    refuse()
    with storage_errors(path, _KEPT), temp_sibling(path, make_folder=True) as partial:
        yield partial
        settle(partial)
        # Somebody may have put something there meanwhile.
        refuse()
        old = unique_sibling(path)
        if path.exists():
            path.rename(old)
        try:
            partial.rename(path)
        except OSError:
            if old.exists():
                old.rename(path)
            raise
        with suppress(OSError):
            remove(old)
