"""What exports share: choices, provenance, and writing that leaves nothing half done."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_liverdx import _v010
from napari_liverdx._files import atomic_write, remove, temp_sibling, unique_sibling
from napari_liverdx.core.errors import PlanError, ResultError, storage_errors
from napari_liverdx.core.measure import DEFAULT_THRESHOLD
from napari_liverdx.results.manifest import RunManifest, grid_facts
from napari_liverdx.results.store import ResultStore
from napari_liverdx.slides.slide import Overview

__all__ = [
    "ExportOptions",
    "predicted_classes",
    "provenance",
    "result_uuid",
    "rgb_of",
    "slide_label",
    "slide_uuid",
    "writing",
    "writing_folder",
]

_KEPT = "nothing was written, and what was there before is kept"
_COUNTED = (
    "Cells that were analysed, lie on tissue and reach the threshold of the class; no error rate "
    "sets cells apart as not sure."
)


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What a person chooses for an export.

    Attributes
    ----------
    thresholds : mapping of str to float
        Per pathological class; 0.5 where absent.
    overview : Overview, optional
        Small picture of the slide, for formats that carry one.
    hide_name : bool
        Whether `RunManifest.pseudonym` stands in place of the slide's file name.
    as_bytes : bool
        Whether an OME-TIFF holds 0 to 255, a quarter of the size, instead of 0 to 1 as float32.
    fractional : bool
        Whether a DICOM Segmentation holds probabilities, in 255 steps, instead of what reaches
        the threshold.
    """

    thresholds: Mapping[str, float] = field(default_factory=dict)
    overview: Overview | None = None
    hide_name: bool = False
    as_bytes: bool = False
    fractional: bool = False

    def threshold(self, name: str) -> float:
        """Probability from which a class counts."""
        return float(self.thresholds.get(name, DEFAULT_THRESHOLD))

    def check(self, manifest: RunManifest) -> None:
        """Refuse thresholds that mean nothing for a result.

        Raises
        ------
        PlanError
            If one is of no pathological class or not between 0 and 1.
        """
        allowed = [manifest.classes[i].name for i in manifest.scheme.pathological]
        for name, value in self.thresholds.items():
            if name not in allowed or not 0 <= value <= 1:
                raise PlanError(
                    f"threshold {name}={value:g}: choose a class among {', '.join(allowed)} and a "
                    "probability between 0 and 1"
                )


def slide_label(manifest: RunManifest, options: ExportOptions) -> str:
    """What an export calls the slide."""
    return manifest.pseudonym if options.hide_name else manifest.slide_name


def provenance(store: ResultStore, options: ExportOptions) -> dict[str, Any]:
    """How the numbers came to be, as plain data; names no folder and no patient."""
    m = store.manifest
    cuts = {m.classes[i].name: options.threshold(m.classes[i].name) for i in m.scheme.pathological}
    return {
        "slide": slide_label(m, options),
        "slide_fingerprint": m.slide_fingerprint,
        "slide_size_px": list(m.slide_size),
        "mpp": list(m.mpp),
        "mpp_source": m.mpp_source,
        "model": m.model_name,
        "model_version": m.model_version,
        "model_sha256": m.model_sha256,
        "thresholds": cuts,
        "counted": _COUNTED,
        "complete": store.is_complete,
        "created": m.created,
        "versions": dict(m.versions),
        "notice": m.notice,
    }


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


def rgb_of(color: str) -> tuple[int, int, int]:
    """``#rrggbb`` as three numbers from 0 to 255."""
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def predicted_classes(store: ResultStore, options: ExportOptions) -> NDArray[np.int16]:
    """What each cell is called, by the rule of `core.measure.measure`.

    Returns
    -------
    ndarray of int16, shape (rows, columns)
        1 plus the index of the class, 0 where nothing was analysed. Where several pathological
        classes reach their thresholds, the most probable of them.
    """
    values, scheme = store.probabilities, store.manifest.scheme
    pathological = list(scheme.pathological)
    others = [i for i in range(len(scheme)) if i not in pathological]
    called = np.zeros(values.shape[1:], np.int16)
    if others:
        called[...] = np.asarray(others, np.int16)[values[others].argmax(axis=0)] + 1
    if pathological:
        found = values[pathological]
        cuts = np.array([options.threshold(scheme[i].name) for i in pathological], np.float32)
        found = np.where(found >= cuts[:, None, None], found, -1)
        best = np.asarray(pathological, np.int16)[found.argmax(axis=0)] + 1
        called = np.where(found.max(axis=0) >= 0, best, called).astype(np.int16)
    called[~store.tissue_subtiles()] = 0
    return called


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A file beside ``path`` to write; it takes its place once all went well.

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
    """`writing` for a folder; one that is there already is replaced only if it ``is_ours``.

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
