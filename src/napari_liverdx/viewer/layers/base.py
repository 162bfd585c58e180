"""Layers from slides and results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import Colormap, DirectLabelColormap, ensure_colormap
from numpy.typing import NDArray

from napari_liverdx.core.classes import TissueClass
from napari_liverdx.core.colormaps import rgb
from napari_liverdx.core.prediction_sets import UNCERTAIN_COLOR, UNCERTAIN_TITLE, Quantiles
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.results.measure_settings import MeasureSettings, assign_tiles
from napari_liverdx.results.store import ResultStore, TileState
from napari_liverdx.results.view_state import COLORMAPS, ViewState
from napari_liverdx.slides.lazy import dask_levels
from napari_liverdx.slides.slide import Slide

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.types import LayerData

__all__ = [
    "COLORMAPS",
    "RESULT_KEY",
    "SLIDE_ID_KEY",
    "SLIDE_KEY",
    "class_colormap",
    "name_events",
    "on_slide",
    "place_slide_layer",
    "placement",
    "probability_colormap",
    "probability_layer",
    "set_threshold",
    "show_slide",
    "slide_id",
    "slide_layer_data",
    "tile_layer",
    "update_tile_layer",
]

SLIDE_KEY = "liverdx_slide"
SLIDE_ID_KEY = "liverdx_slide_id"
"""Metadata of a slide's layer and of all that is drawn on it: by this they belong together,
whatever the layers are called."""
RESULT_KEY = "liverdx_result"
"""Metadata of a layer that shows a result: the path of the result."""

_UM = ("um", "um")


def slide_id(layer: Layer) -> str:
    """Return by what the layers on a slide's layer belong to it, given to it if need be."""
    return str(layer.metadata.setdefault(SLIDE_ID_KEY, uuid4().hex))


def on_slide(reference: Layer, **more: Any) -> dict[str, Any]:
    """Return the metadata of a layer that is drawn on a slide's layer.

    Parameters
    ----------
    reference : Layer
        The slide's layer.
    **more
        Further entries.
    """
    return {SLIDE_ID_KEY: slide_id(reference), **more}


def name_events(viewer: ViewerModel) -> list[Any]:
    """Return the events after which the names of the viewer's layers are to be listed anew."""
    events = viewer.layers.events
    # Since napari 0.6.7; before, a list shows a new name when the next layer comes or goes.
    renamed = getattr(events, "renamed", None)
    return [events.inserted, events.removed, *([] if renamed is None else [renamed])]


def slide_layer_data(slide: Slide) -> LayerData:
    """Build an RGB layer of a slide, in µm where the resolution is known.

    Returns
    -------
    (list of dask arrays or one array, dict, "image")
    """
    levels = dask_levels(slide)
    meta: dict[str, Any] = {
        "name": _slide_title(slide),
        "rgb": True,
        # Given, so that nothing is read to find them.
        "contrast_limits": (0, 255),
        # Decoded tiles are kept by the slide, within bounds; dask's cache would keep them again.
        "cache": False,
        "metadata": {SLIDE_KEY: slide, SLIDE_ID_KEY: uuid4().hex},
    }
    if slide.mpp is not None:
        meta |= {"scale": (slide.mpp.y, slide.mpp.x), "units": _UM}
    if len(levels) == 1:
        return levels[0], {**meta, "multiscale": False}, "image"
    return levels, {**meta, "multiscale": True}, "image"


def _slide_title(slide: Slide) -> str:
    scenes = slide.info.scenes
    return f"{slide.name} · {scenes[slide.info.scene].name}" if len(scenes) > 1 else slide.name


def show_slide(layer: Image, slide: Slide) -> None:
    """Let a slide's layer show the same slide in other colors."""
    levels = dask_levels(slide)
    layer.data = levels if layer.multiscale else levels[0]
    layer.metadata[SLIDE_KEY] = slide


def place_slide_layer(layer: Image, mpp: Mpp) -> None:
    """Give a slide's layer its resolution."""
    layer.scale = (mpp.y, mpp.x)
    layer.units = _UM


def class_colormap(tissue_class: TissueClass) -> Colormap:
    """Build a colormap from faint to full color of the class; nothing below the lower limit."""
    r, g, b = tissue_class.rgb
    return Colormap(
        [[r, g, b, 0.25], [r, g, b, 1.0]],
        name=f"liverdx {tissue_class.name} {tissue_class.color}",
        low_color=(0, 0, 0, 0),
        nan_color=(0, 0, 0, 0),
    )


def probability_colormap(tissue_class: TissueClass, name: str) -> Colormap:
    """Return the colormap called ``name`` for a class, transparent below the lower limit.

    Parameters
    ----------
    tissue_class : TissueClass
        Whose color an empty name takes.
    name : str
        One of `COLORMAPS`.

    Raises
    ------
    KeyError
        If neither napari nor its libraries know the name.
    """
    if not name:
        return class_colormap(tissue_class)
    known = ensure_colormap(name)
    return Colormap(
        known.colors,
        name=f"liverdx {name}",
        controls=known.controls,
        low_color=(0, 0, 0, 0),
        nan_color=(0, 0, 0, 0),
    )


def placement(
    reference: Image, origin_px: tuple[float, float], subtile_px: tuple[float, float]
) -> dict[str, Any]:
    """Return scale and translate that lay a grid of map pixels exactly over the slide.

    napari's coordinates are pixel centers: the first map pixel's center lies half a map pixel
    minus half a slide pixel from the center of the slide's first pixel.
    """
    subtile = np.array([subtile_px[1], subtile_px[0]])
    first = np.array([origin_px[1], origin_px[0]]) + (subtile - 1) / 2
    zero, *axes = (np.asarray(reference.data_to_world(p)) for p in ((0, 0), (1, 0), (0, 1)))
    linear = np.column_stack([axis - zero for axis in axes])
    corner = zero + linear @ first
    units = {"units": tuple(reference.units)[-2:]}
    if np.allclose(linear, np.diag(np.diag(linear))):
        return {"scale": tuple(subtile * np.diag(linear)), "translate": tuple(corner), **units}
    # A slide that another reader turned or sheared takes its maps along.
    affine = np.eye(3)
    affine[:2, :2], affine[:2, 2] = linear * subtile, corner
    return {"affine": affine, **units}


def probability_layer(
    store: ResultStore,
    index: int,
    reference: Image,
    threshold: float,
    view: ViewState | None = None,
) -> Image:
    """Build the map of one class over its slide; it shares memory with the store.

    Parameters
    ----------
    store : ResultStore
        The result.
    index : int
        Of the class.
    reference : Image
        The slide's layer.
    threshold : float
        Probabilities below it are not drawn.
    view : ViewState, optional
        Opacity, colormap and visibility.
    """
    view = view or ViewState()
    tissue_class = store.manifest.classes[index]
    layer = Image(
        store.probabilities[index],
        name=f"{tissue_class.title} · {reference.name}",
        colormap=probability_colormap(tissue_class, view.colormap),
        contrast_limits=(0, 1),
        interpolation2d="nearest",
        opacity=view.opacity,
        visible=view.visible,
        blending="translucent",
        metadata=on_slide(
            reference, **{RESULT_KEY: str(store.path), "liverdx_class": tissue_class.name}
        ),
        **placement(reference, store.origin, store.subtile_size),
    )
    layer.contrast_limits_range = (0, 1)
    set_threshold(layer, threshold)
    return layer


def set_threshold(layer: Image, threshold: float) -> None:
    """Draw only probabilities from ``threshold`` on; nothing is computed."""
    layer.contrast_limits = (min(threshold, 0.999), 1.0)


def tile_layer(
    store: ResultStore,
    reference: Image,
    settings: MeasureSettings | None = None,
    quantiles: Quantiles | None = None,
) -> Labels:
    """Build one label for each tile, colored by its predicted class, with values on hover.

    The label of a tile is 1 plus its position in row-major order. Hidden at first, since it
    covers the tissue.

    Parameters
    ----------
    store : ResultStore
        The result.
    reference : Image
        The slide's layer.
    settings, quantiles
        As for `update_tile_layer`.
    """
    grid = store.manifest.grid
    rows, cols = grid.shape
    labels = np.arange(1, rows * cols + 1, dtype=np.int32).reshape(rows, cols)
    stride = (grid.stride_x * grid.scale_x, grid.stride_y * grid.scale_y)
    layer = Labels(
        np.zeros_like(labels),
        name=f"Tiles · {reference.name}",
        opacity=0.4,
        visible=False,
        metadata=on_slide(reference, **{RESULT_KEY: str(store.path), "liverdx_labels": labels}),
        **placement(reference, store.origin, stride),
    )
    layer.editable = False
    update_tile_layer(layer, store, settings, quantiles)
    return layer


def update_tile_layer(
    layer: Labels,
    store: ResultStore,
    settings: MeasureSettings | None = None,
    quantiles: Quantiles | None = None,
) -> None:
    """Bring the tile layer up to date with the store.

    Parameters
    ----------
    layer : Labels
        Made by `tile_layer`.
    store : ResultStore
        The result.
    settings : MeasureSettings, optional
        Thresholds and error rate, which decide as on the map.
    quantiles : Quantiles, optional
        Of the model's calibration scores at that error rate.
    """
    labels: NDArray[np.int32] = layer.metadata["liverdx_labels"]
    done = (store.state == TileState.DONE) | (store.state == TileState.FAILED)
    assigned = assign_tiles(store, settings or MeasureSettings(), quantiles or Quantiles())
    failed = store.state == TileState.FAILED
    classes = store.manifest.classes
    names = np.array([*(c.title for c in classes), UNCERTAIN_TITLE, "could not be read"])
    predicted = np.where(failed, len(classes) + 1, assigned.labels - 1)
    shown = labels[done]
    features: dict[str, Any] = {"index": np.concatenate([[0], shown])}
    features["tile"] = ["no tile", *names[predicted[done]]]
    for i, tissue_class in enumerate(classes):
        values = store.tile_probabilities[i][done]
        features[tissue_class.name] = np.concatenate([[np.nan], values]).round(3)
    colors: dict[int | None, Any] = {None: (0, 0, 0, 0), 0: (0, 0, 0, 0)}
    if np.isfinite(store.ood).any():
        features["unlike training data"] = np.concatenate([[np.nan], store.ood[done]]).round(2)
    gray = rgb(UNCERTAIN_COLOR)
    palette = [*((*c.rgb, 1.0) for c in classes), (*gray, 1.0), (0.8, 0.1, 0.1, 1.0)]
    colors |= {int(v): palette[c] for v, c in zip(shown, predicted[done], strict=True)}
    layer.data = np.where(done, labels, 0)
    layer.colormap = DirectLabelColormap(color_dict=colors)
    layer.features = features
