"""Which slide is in sight where several lie on one another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Image, Layer

from napari_liverdx.viewer.layers.base import SLIDE_ID_KEY, slide_id
from napari_liverdx.viewer.layers.slide_source import bare, is_slide_layer

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["Stage"]


class Stage:
    """Brings one slide into sight with all that is drawn on it, and hides those it lies on.

    Slides without a place of their own all begin at the origin; what a person sees must be what
    the dock speaks of. Slides that lie elsewhere are left alone.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._were_visible: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()

    def show(self, slide: Image) -> None:
        """Show a slide and its layers as they were, hide slides under and over it."""
        others = [
            bare(layer)
            for layer in self._viewer.layers
            if is_slide_layer(layer) and bare(layer) is not slide and _overlap(bare(layer), slide)
        ]
        for layer in self._viewer.layers:
            layer = bare(layer)
            if _belongs(layer, slide):
                layer.visible = self._were_visible.pop(layer, layer.visible)
            elif any(_belongs(layer, other) for other in others):
                self._were_visible.setdefault(layer, layer.visible)
                layer.visible = False
        slide.visible = True


def _belongs(layer: Layer, slide: Image) -> bool:
    """Return whether a layer is the slide, or is drawn on it.

    A copy of a slide's layer has its id too, and is a slide for itself.
    """
    if layer is slide or is_slide_layer(layer):
        return layer is slide
    return bool(layer.metadata.get(SLIDE_ID_KEY) == slide_id(slide))


def _overlap(one: Layer, other: Layer) -> bool:
    (low, high), (low2, high2) = (np.asarray(v.extent.world)[:, -2:] for v in (one, other))
    return bool((np.minimum(high, high2) > np.maximum(low, low2)).all())
