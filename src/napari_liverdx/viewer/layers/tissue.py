"""The tissue of a slide as a layer to paint on."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_liverdx.core.colormaps import rgb
from napari_liverdx.core.tissue import ARTIFACTS, TissueLabel, TissueMap
from napari_liverdx.viewer.layers.base import on_slide, placement
from napari_liverdx.viewer.layers.camera import camera_of

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = [
    "TISSUE_COLORS",
    "TISSUE_KEY",
    "brush_size",
    "color_kept",
    "find_tissue_layer",
    "map_of_layer",
    "reset_tissue_layer",
    "tissue_layer",
    "was_edited",
]

TISSUE_KEY = "liverdx_tissue"
_FOUND = "liverdx_tissue_found"
_SCALE = "liverdx_tissue_scale"
_BRUSH_ON_SCREEN = 36.0
_FAINT = 0.25

# Of the palette of Okabe & Ito, told apart by color-blind people too.
TISSUE_COLORS = {
    TissueLabel.TISSUE: "#009e73",
    TissueLabel.PEN: "#e69f00",
    TissueLabel.FOLD: "#0072b2",
    TissueLabel.BLUR: "#f0e442",
}


def tissue_layer(found: TissueMap, reference: Image) -> Labels:
    """Build an editable layer of the found labels over their slide, with exact placement.

    Parameters
    ----------
    found : TissueMap
        What was found on the slide.
    reference : Image
        The slide's layer.
    """
    layer = Labels(
        found.labels.copy(),
        name=f"Tissue · {reference.name}",
        opacity=0.6,
        # An id and no reference, which would keep the slide's file open.
        metadata=on_slide(reference, **{TISSUE_KEY: reference.unique_id}),
        features={"index": list(TissueLabel), "shows": [v.title for v in TissueLabel]},
    )
    reset_tissue_layer(layer, found, reference)
    color_kept(layer, frozenset())
    layer.selected_label = int(TissueLabel.TISSUE)
    return layer


def reset_tissue_layer(
    layer: Labels, found: TissueMap, reference: Image, *, keep_edits: bool = False
) -> None:
    """Show the found labels again, at the slide's place.

    Parameters
    ----------
    layer : Labels
        Made by `tissue_layer`.
    found : TissueMap
        What was found on the slide.
    reference : Image
        The slide's layer.
    keep_edits : bool
        Only follow the slide's place, and leave the labels as a person made them.
    """
    if not keep_edits:
        layer.data = found.labels.copy()
        layer.metadata[_FOUND] = found.labels
        layer.metadata[_SCALE] = (found.scale_x, found.scale_y)
    place = placement(reference, (0.0, 0.0), layer.metadata[_SCALE])
    for name, value in place.items():
        setattr(layer, name, value)


def find_tissue_layer(viewer: ViewerModel, reference: Image | None) -> Labels | None:
    """Find the tissue layer of a slide's layer, if there is one."""
    if reference is None:
        return None
    wanted = str(reference.unique_id)
    return next((v for v in viewer.layers if str(v.metadata.get(TISSUE_KEY)) == wanted), None)


def was_edited(layer: Labels) -> bool:
    """Return whether a person changed what was found."""
    found = layer.metadata[_FOUND]
    return layer.data.shape != found.shape or not np.array_equal(layer.data, found)


def map_of_layer(layer: Labels, kept: AbstractSet[TissueLabel]) -> TissueMap:
    """Return what the layer shows now; later painting does not change it.

    Parameters
    ----------
    layer : Labels
        Made by `tissue_layer`.
    kept : set of TissueLabel
        Artifacts that are analyzed all the same.
    """
    labels = np.array(layer.data, dtype=np.uint8)
    scale_x, scale_y = layer.metadata[_SCALE]
    return TissueMap(labels, scale_x, scale_y, frozenset(kept) & ARTIFACTS, was_edited(layer))


def color_kept(layer: Labels, kept: AbstractSet[TissueLabel]) -> None:
    """Color the layer so that what is analyzed looks like tissue."""
    tissue = _rgba(TISSUE_COLORS[TissueLabel.TISSUE], _FAINT)
    colors: dict[int | None, tuple[float, ...]] = {None: tissue, 0: (0.0, 0.0, 0.0, 0.0)}
    for label, color in TISSUE_COLORS.items():
        analyzed = label == TissueLabel.TISSUE or label in kept
        colors[int(label)] = tissue if analyzed else _rgba(color, 1.0)
    layer.colormap = DirectLabelColormap(color_dict=colors)


def brush_size(viewer: ViewerModel, layer: Labels) -> int:
    """Return a brush that is easy to see at the present zoom, in pixels of the layer."""
    pixel = float(np.mean(np.abs(layer.scale)))
    return int(np.clip(_BRUSH_ON_SCREEN / camera_of(viewer).zoom / pixel, 2, 200))


def _rgba(color: str, alpha: float) -> tuple[float, ...]:
    return (*rgb(color), alpha)
