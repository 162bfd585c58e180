"""The maps of two versions of a model over one slide, as linked layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari.layers import Image

from napari_liverdx.results.measure_settings import MeasureSettings
from napari_liverdx.session.finetune import BothMaps
from napari_liverdx.viewer.layers.base import RESULT_KEY, probability_layer
from napari_liverdx.viewer.layers.result import ResultLayers

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["LINKED", "show_both", "take_away"]

LINKED = ("contrast_limits", "opacity", "gamma")
"""What the layers of both versions share; each is shown or hidden for itself."""


def show_both(
    viewer: ViewerModel,
    maps: BothMaps,
    reference: Image,
    shown: ResultLayers | None,
    settings: MeasureSettings,
) -> list[tuple[Image, Image]]:
    """Add the maps of both versions, class by class; those of the earlier one may be there.

    Parameters
    ----------
    viewer : ViewerModel
        Where.
    maps : BothMaps
        Their results.
    reference : Image
        The slide's layer.
    shown : ResultLayers or None
        The result that is shown; its layers are used if it is the earlier version's.
    settings : MeasureSettings
        Thresholds by class.

    Returns
    -------
    list of (Image, Image)
        Before and after.
    """
    pairs = []
    scheme = maps.before.manifest.scheme
    for i in scheme.pathological:
        c = scheme[i]
        threshold = settings.threshold(c.name)
        old: Image | None = None
        if shown is not None and shown.store.path == maps.before.path:
            old = shown.probabilities[c.name]
        new = probability_layer(maps.after, i, reference, threshold)
        # Not an ordinary result before it is kept; such layers would become the shown one.
        new.metadata.pop(RESULT_KEY)
        new.name = f"{c.title} · version {maps.after.manifest.model_version} · {reference.name}"
        if old is None or old not in viewer.layers:
            old = probability_layer(maps.before, i, reference, threshold)
            old.metadata.pop(RESULT_KEY)
            version = maps.before.manifest.model_version
            old.name = f"{c.title} · version {version} · {reference.name}"
            viewer.add_layer(old)
        active = viewer.layers.selection.active
        viewer.add_layer(new)
        new.opacity, new.contrast_limits = old.opacity, old.contrast_limits
        viewer.layers.link_layers([old, new], LINKED)
        pairs.append((old, new))
        viewer.layers.selection.active = active or reference
    return pairs


def take_away(viewer: ViewerModel, pairs: Sequence[tuple[Image, Image]]) -> None:
    """Remove the fine-tuned version's maps; those of the earlier one stay."""
    for old, new in pairs:
        if old in viewer.layers and new in viewer.layers:
            viewer.layers.unlink_layers([old, new], LINKED)
        if new in viewer.layers:
            viewer.layers.remove(new)
        old.visible = True
