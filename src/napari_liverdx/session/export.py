"""Exports of a result as dock, menu and command ask for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from napari_liverdx.exports.registry import EXPORTS, export
from napari_liverdx.results.store import ResultStore
from napari_liverdx.slides.slide import Overview, Slide

__all__ = ["export_picture", "write_export"]


def export_picture(store: ResultStore, slide: Slide) -> Overview | None:
    """The picture of the slide that an export may carry, about one pixel for each cell.

    Parameters
    ----------
    store : ResultStore
        The result.
    slide : Slide
        Its slide.

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
    thresholds: Mapping[str, float],
    slide: Slide | None,
    *,
    hide_name: bool = False,
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
    thresholds : mapping of str to float
        Per pathological class.
    slide : Slide or None
        For a picture of the tissue, where the format holds one.
    hide_name : bool
        Whether a code stands in place of the slide's file name.

    Returns
    -------
    Path
        What was written.

    Raises
    ------
    ResultError
        If it cannot be written.
    """
    wanted = name in EXPORTS and EXPORTS[name].wants_overview
    overview = export_picture(store, slide) if wanted and slide is not None else None
    export(store, name, path, thresholds=thresholds, overview=overview, hide_name=hide_name)
    return path
