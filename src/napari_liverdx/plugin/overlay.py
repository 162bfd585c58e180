"""The layers of one result and how they follow it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image

from napari_liverdx.io.result import ResultStore, TileState
from napari_liverdx.plugin.layers import (
    probability_layer,
    set_threshold,
    tile_layer,
    update_tile_layer,
)

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["ResultLayers"]


class ResultLayers:
    """Layers over a slide that show a result while it fills.

    Layers of an earlier run with the same result are replaced.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer.
    store : ResultStore
        The result.
    reference : Image
        The slide's layer.
    thresholds : mapping of str to float
        Per pathological class.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        store: ResultStore,
        reference: Image,
        thresholds: Mapping[str, float],
    ) -> None:
        self.store = store
        self.quantile: float | None = None
        self.reference = reference
        active = viewer.layers.selection.active
        for layer in list(viewer.layers):
            if layer.metadata.get("liverdx_result") == str(store.path):
                viewer.layers.remove(layer)
        scheme = store.manifest.scheme
        self.probabilities = {
            scheme[i].name: probability_layer(store, i, reference, thresholds[scheme[i].name])
            for i in scheme.pathological
        }
        self.tiles = tile_layer(store, reference)
        for layer in (self.tiles, *self.probabilities.values()):
            viewer.add_layer(layer)
        viewer.layers.selection.active = active if active in viewer.layers else reference

    def remove(self, viewer: ViewerModel) -> None:
        """Take the layers out of the viewer; the stored result stays."""
        for layer in (self.tiles, *self.probabilities.values()):
            if layer in viewer.layers:
                viewer.layers.remove(layer)

    def set_threshold(self, name: str, value: float) -> None:
        """Draw only probabilities from ``value`` on."""
        set_threshold(self.probabilities[name], value)

    def refresh(self, *, tiles: bool) -> None:
        """Show what the store holds now; the tile layer only on request or while it is shown."""
        for layer in self.probabilities.values():
            layer.refresh()
        if tiles or self.tiles.visible:
            update_tile_layer(self.tiles, self.store, self.quantile)

    def set_quantile(self, quantile: float | None) -> None:
        """Call tiles "not sure" whose prediction set does not hold exactly one class."""
        self.quantile = quantile
        update_tile_layer(self.tiles, self.store, quantile)

    def describe(self, world: tuple[float, ...]) -> str:
        """The tile under a place in world coordinates, with its probabilities; empty outside."""
        position = np.asarray(self.tiles.world_to_data(world[-2:])) + 0.5
        row, col = (int(np.floor(v)) for v in position)
        rows, cols = self.store.state.shape
        if not (0 <= row < rows and 0 <= col < cols):
            return ""
        state = TileState(int(self.store.state[row, col]))
        place = f"Tile {row}, {col}"
        if state is not TileState.DONE:
            return f"{place}: {_WORDS[state]}"
        values = self.store.tile_probabilities[:, row, col]
        scheme = self.store.manifest.scheme
        listed = ", ".join(f"{c.title} {v:.2f}" for c, v in zip(scheme, values, strict=True))
        return f"{place}: {listed}"


_WORDS = {
    TileState.PENDING: "not analysed yet",
    TileState.FAILED: "could not be read",
    TileState.NO_TISSUE: "no tissue",
}
