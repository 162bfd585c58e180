"""Stored results back in the viewer, with their slides."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image

from napari_liverdx.core.errors import LiverDxError
from napari_liverdx.results.find_slide import find_slide
from napari_liverdx.results.manifest import SUFFIX
from napari_liverdx.results.store import ResultStore
from napari_liverdx.results.view_state import ViewState
from napari_liverdx.session.measure import stored_settings
from napari_liverdx.viewer.layers.base import probability_layer, slide_layer_data, tile_layer
from napari_liverdx.viewer.layers.slide_source import bare, is_slide_layer, slide_of_layer

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.types import LayerData

__all__ = [
    "find_layer",
    "get_result_reader",
    "open_slide_layer",
    "placeholder_layer",
]


def get_result_reader(path: str | list[str]) -> Callable[..., list[LayerData]] | None:
    """Return a reader for stored results; None if a path is none."""
    paths = [path] if isinstance(path, str) else path
    if all(p.rstrip("/\\").endswith(SUFFIX) and Path(p).is_dir() for p in paths):
        return read_results
    return None


def read_results(path: str | list[str]) -> list[LayerData]:
    """Read the layers of one stored result or several, each with its slide if it is found.

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
            reference = placeholder_layer(store)
        view = ViewState.load(store.path)
        settings, quantiles = stored_settings(store, view)
        tiles = tile_layer(store, reference, settings, quantiles)
        layers.append(tiles.as_layer_data_tuple())
        scheme = store.manifest.scheme
        for index in scheme.pathological:
            threshold = settings.threshold(scheme[index].name)
            layer = probability_layer(store, index, reference, threshold, view)
            layers.append(layer.as_layer_data_tuple())
    return layers


def find_layer(layers: Iterable[Image], store: ResultStore) -> Image | None:
    """Find the layer among slide layers that shows the slide of a result; None if there is none."""
    for layer in layers:
        try:
            slide = slide_of_layer(layer)
            if slide.fingerprint() == store.manifest.slide_fingerprint:
                return layer
        except LiverDxError:
            continue
    return None


def open_slide_layer(
    viewer: ViewerModel, store: ResultStore, place: Path | None = None
) -> Image | None:
    """Return the layer of a result's slide, opened if need be; None if the slide is not found.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer; a slide that is found on disk is added to it.
    store : ResultStore
        The result.
    place : Path, optional
        Where the slide lies, if that is known.
    """
    # The oldest first: one that was open before keeps its results.
    layer = find_layer([bare(x) for x in viewer.layers if is_slide_layer(x)], store)
    slide = find_slide(store, place) if layer is None else None
    if slide is not None:
        data, meta, _ = slide_layer_data(slide)
        layer = Image(data, **meta)
        viewer.add_layer(layer)
        viewer.reset_view()
    return layer


def placeholder_layer(store: ResultStore) -> Image:
    """Build an empty layer where the slide would lie, for a result whose slide is not there."""
    x, y = store.manifest.mpp
    return Image(
        np.zeros((2, 2), np.uint8),
        name=store.manifest.stem,
        scale=(y, x),
        units=("um", "um"),
        contrast_limits=(0, 255),
    )
