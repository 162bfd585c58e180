"""Exports of a result as the dock asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from napari_liverdx.engine.tissue import slide_picture
from napari_liverdx.io.exports import EXPORTS, export
from napari_liverdx.io.result import ResultStore
from napari_liverdx.io.slide import Slide

__all__ = ["write_export"]


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
    wants_picture = bool(EXPORTS[name].extra) and slide is not None
    overview = slide_picture(slide) if wants_picture and slide is not None else None
    export(store, name, path, thresholds=thresholds, overview=overview, hide_name=hide_name)
    return path
