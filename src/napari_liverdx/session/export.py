"""Exports of a result as dock, menu and command ask for them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from napari_liverdx.exports.registry import EXPORTS, ExportOptions, export
from napari_liverdx.results.store import ResultStore
from napari_liverdx.slides.slide import Overview, Slide

__all__ = ["export_picture", "write_export"]


def export_picture(store: ResultStore, slide: Slide) -> Overview | None:
    """Read the picture of the slide for an export, about one pixel for each map pixel.

    Returns
    -------
    Overview or None
        None if it is another slide.
    """
    if slide.fingerprint() != store.manifest.slide_fingerprint:
        return None
    return slide.overview(max(1.0, min(store.subtile_size)))


def write_export(
    store: ResultStore,
    name: str,
    path: Path,
    slide: Slide | None,
    options: ExportOptions,
) -> Path:
    """Write a result in another program's format.

    Parameters
    ----------
    store : ResultStore
        The result.
    name : str
        Key of `EXPORTS`.
    path : Path
        File or folder to write.
    slide : Slide or None
        For a picture of the tissue, where the format holds one.
    options : ExportOptions
        What was chosen.

    Returns
    -------
    Path
        What was written.

    Raises
    ------
    ResultError
        If it cannot be written.
    """
    if slide is not None and name in EXPORTS and EXPORTS[name].wants_overview:
        options = replace(options, overview=export_picture(store, slide))
    export(store, name, path, options)
    return path
