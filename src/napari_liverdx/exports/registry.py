"""Results in the formats of other programs. A new format is one module and one line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from napari_liverdx._registry import Registry
from napari_liverdx.core.errors import LiverDxError, PlanError, ResultError
from napari_liverdx.exports.base import ExportOptions
from napari_liverdx.exports.csv import write_tiles_csv
from napari_liverdx.exports.dicom import write_dicom
from napari_liverdx.exports.geojson import write_geojson
from napari_liverdx.exports.ome_tiff import write_ome_tiff
from napari_liverdx.exports.ome_zarr import write_ome_zarr
from napari_liverdx.results.locate import output_stem
from napari_liverdx.results.store import ResultStore
from napari_liverdx.slides.open import open_slide

__all__ = ["EXPORTS", "Export", "ExportOptions", "export", "export_path"]


@dataclass(frozen=True, slots=True)
class Export:
    """A format.

    Attributes
    ----------
    name : str
        For commands.
    title : str
        For people.
    suffix : str
        Ending of the file or folder, with its dot.
    write : callable
        Takes the result, the path and the options.
    extra : str
        Extra of this package, or package, that brings what it needs; empty if nothing.
    is_folder : bool
        Whether it is a folder of files.
    wants_overview : bool
        Whether it holds a picture of the slide, if there is one.
    """

    name: str
    title: str
    suffix: str
    write: Callable[[ResultStore, Path, ExportOptions], None]
    extra: str = ""
    is_folder: bool = False
    wants_overview: bool = False


EXPORTS: Registry[Export] = Registry(
    "napari_liverdx.exports",
    Export,
    {
        e.name: e
        for e in (
            Export("geojson", "GeoJSON for QuPath", ".geojson", write_geojson),
            Export("csv", "Table of tiles, CSV", ".tiles.csv", write_tiles_csv),
            Export("ome-tiff", "Heatmap, OME-TIFF", ".liverdx.ome.tif", write_ome_tiff),
            Export(
                "ome-zarr",
                "Heatmap and classes, OME-Zarr",
                ".liverdx.ome.zarr",
                write_ome_zarr,
                is_folder=True,
            ),
            Export(
                "dicom",
                "DICOM Segmentation and map",
                ".dicom",
                write_dicom,
                "dicom",
                is_folder=True,
                wants_overview=True,
            ),
        )
    },
)
"""The formats by name."""


def export_path(store: ResultStore, name: str, folder: Path, *, hide_name: bool = False) -> Path:
    """Return a path within ``folder``, named like the result or, on wish, by a code."""
    base = output_stem(store.path, store.manifest, pseudonymize=hide_name)
    return folder / (base + EXPORTS[name].suffix)


def export(store: ResultStore, name: str, path: Path, options: ExportOptions | None = None) -> None:
    """Write a result in one of the `EXPORTS`; what was there before is replaced at the end.

    Parameters
    ----------
    store : ResultStore
        The result; it may be unfinished.
    name : str
        Key of `EXPORTS`.
    path : Path
        File or folder to write.
    options : ExportOptions, optional
        What was chosen: thresholds and error rate, and what concerns single formats.

    Raises
    ------
    PlanError
        If there is no such format, a threshold makes no sense, or an error rate was chosen
        without the model's quantiles.
    StorageFullError
        If the disk is full.
    ResultError
        If it cannot be written, or would replace the result itself or its slide.
    """
    if name not in EXPORTS:
        raise PlanError(f"no export {name!r}; choose one of {', '.join(EXPORTS)}")
    options = options or ExportOptions()
    options.settings.check(store.manifest.scheme)
    target, own = path.resolve(), store.path.resolve()
    if own == target or own in target.parents or target in own.parents:
        raise ResultError(f"{path}: that is the result itself; choose another place")
    if target.exists() and _is_slide_of(store, target):
        raise ResultError(
            f"{path}: that is the slide itself, and it is left as it is; choose another name"
        )
    EXPORTS[name].write(store, path, options)


def _is_slide_of(store: ResultStore, path: Path) -> bool:
    try:
        with open_slide(path, scene=store.manifest.scene) as slide:
            return slide.fingerprint() == store.manifest.slide_fingerprint
    except LiverDxError:
        return False
