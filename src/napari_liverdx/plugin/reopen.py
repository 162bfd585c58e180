"""Stored results back in the viewer, with their slides."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image

from napari_liverdx.core.errors import LiverDxError
from napari_liverdx.core.mpp import Mpp
from napari_liverdx.io.result import SUFFIX, ResultStore
from napari_liverdx.io.slide import Slide, open_slide
from napari_liverdx.io.view import ViewState
from napari_liverdx.plugin.adopt import slide_of_layer
from napari_liverdx.plugin.layers import probability_layer, slide_layer_data, tile_layer

if TYPE_CHECKING:
    from napari.types import LayerData

__all__ = [
    "find_layer",
    "find_slide",
    "get_result_reader",
    "relative_place",
    "stand_in",
]


_NEAR = 2
"""Most folders up in which a slide is looked for."""


def get_result_reader(path: str | list[str]) -> Callable[..., list[LayerData]] | None:
    """A reader for stored results, or None if it is none."""
    paths = [path] if isinstance(path, str) else path
    if all(p.rstrip("/\\").endswith(SUFFIX) and Path(p).is_dir() for p in paths):
        return read_results
    return None


def read_results(path: str | list[str]) -> list[LayerData]:
    """Layers of one stored result or several, each with its slide where that is found.

    Raises
    ------
    ResultError
        If one is damaged.
    """
    layers: list[LayerData] = []
    for one in [path] if isinstance(path, str) else path:
        store = ResultStore.open(Path(one))
        slide = find_slide(store)
        if slide is not None:
            data = slide_layer_data(slide)
            layers.append(data)
            reference = Image(data[0], **data[1])
        else:
            reference = stand_in(store)
        view = ViewState.load(store.path)
        layers.append(tile_layer(store, reference).as_layer_data_tuple())
        scheme = store.manifest.scheme
        for index in scheme.pathological:
            threshold = view.thresholds.get(scheme[index].name, 0.5)
            layer = probability_layer(store, index, reference, threshold, view)
            layers.append(layer.as_layer_data_tuple())
    return layers


def find_slide(store: ResultStore, given: Path | None = None) -> Slide | None:
    """The slide of a result, opened at the result's resolution; None if it is not found.

    It is looked for where it lay when the result was last looked at, beside the result and in
    the folder above, and taken only if it is the very file that was analysed.

    Parameters
    ----------
    store : ResultStore
        The result.
    given : Path, optional
        Look here first.
    """
    manifest, folder = store.manifest, store.path.parent
    kept = ViewState.load(store.path).slide
    places = [given] if given is not None else []
    places += [folder / kept] if kept else []
    places += [f / manifest.slide_name for f in (folder, folder.parent, folder.parent.parent)]
    for place in places:
        if not place.is_file():
            continue
        try:
            slide = open_slide(place.resolve())
        except LiverDxError:
            continue
        if slide.fingerprint() == manifest.slide_fingerprint:
            if slide.mpp is None or not np.allclose(_pair(slide.mpp), manifest.mpp, rtol=1e-6):
                slide.set_mpp(store.mpp)
            return slide
        slide.close()
    return None


def _pair(mpp: Mpp) -> tuple[float, float]:
    return mpp.x, mpp.y


def find_layer(layers: Iterable[Image], store: ResultStore) -> Image | None:
    """The layer among slide layers that shows the slide of a result; None if there is none."""
    for layer in layers:
        try:
            slide = slide_of_layer(layer)
            if slide.fingerprint() == store.manifest.slide_fingerprint:
                return layer
        except LiverDxError:
            continue
    return None


def stand_in(store: ResultStore) -> Image:
    """An empty layer that lies where the slide would, for a result whose slide is not there."""
    x, y = store.manifest.mpp
    return Image(
        np.zeros((2, 2), np.uint8),
        name=Path(store.manifest.slide_name).stem,
        scale=(y, x),
        units=("um", "um"),
        contrast_limits=(0, 255),
    )


def relative_place(slide: Path, result: Path) -> str:
    """Where a slide lies as seen from the folder of a result; empty for what is far away.

    Results are handed on, so that folders above their common surroundings must not be named.
    """
    if not slide.is_file():
        return ""
    try:
        place = Path(os.path.relpath(slide.resolve(), result.parent.resolve()))
    except ValueError:  # another drive
        return ""
    return place.as_posix() if place.parts.count("..") <= _NEAR else ""
