"""The layers of one result and how they follow it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels, Layer

from napari_liverdx.core.geometry import Rect
from napari_liverdx.core.grid import TileIndex
from napari_liverdx.core.prediction_sets import Quantiles
from napari_liverdx.results.measure_settings import MeasureSettings
from napari_liverdx.results.store import ResultStore, TileState
from napari_liverdx.results.view_state import ViewState
from napari_liverdx.viewer.layers.base import (
    RESULT_KEY,
    probability_colormap,
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

    Layers that show the same result already are taken over if they came from a file that was
    dropped on the viewer, and replaced if they are of an earlier run.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer.
    store : ResultStore
        The result.
    reference : Image
        The slide's layer.
    settings : MeasureSettings
        Thresholds, error rate and what is measured.
    view : ViewState, optional
        How the layers look.

    Attributes
    ----------
    settings : MeasureSettings
        Thresholds that are drawn, the error rate, and what is measured.
    view : ViewState
        Opacity, colormap and visibility of the probability layers.
    quantiles : Quantiles
        Of the model's calibration scores at that error rate.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        store: ResultStore,
        reference: Image,
        settings: MeasureSettings,
        view: ViewState | None = None,
        quantiles: Quantiles | None = None,
    ) -> None:
        self.store = store
        self.quantiles = quantiles or Quantiles()
        self.reference = reference
        self.view = view or ViewState()
        scheme = store.manifest.scheme
        self.settings = settings.of_scheme(scheme)
        active = viewer.layers.selection.active
        for layer in list(viewer.layers):
            if layer.metadata.get(RESULT_KEY) == str(store.path):
                viewer.layers.remove(layer)
        self.probabilities: dict[str, Image] = {
            scheme[i].name: probability_layer(
                store, i, reference, self.settings.threshold(scheme[i].name), self.view
            )
            for i in scheme.pathological
        }
        self.tiles: Labels = tile_layer(store, reference, self.settings, self.quantiles)
        self._tiles_behind = False
        self.tiles.events.visible.connect(self._on_tiles_shown)
        for layer in self.layers:
            viewer.add_layer(layer)
        for layer in (active, reference):
            if layer in viewer.layers:
                viewer.layers.selection.active = layer
                break

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The tile layer, then the probability layers in the order of the classes."""
        return (self.tiles, *self.probabilities.values())

    @property
    def title(self) -> str:
        """For people: the model and, if it is not the whole slide, which part."""
        manifest = self.store.manifest
        return manifest.model_name + (f" ({manifest.variant})" if manifest.variant else "")

    def is_in(self, viewer: ViewerModel) -> bool:
        """Return whether any of the probability layers is still in the viewer."""
        return any(layer in viewer.layers for layer in self.probabilities.values())

    def remove(self, viewer: ViewerModel) -> None:
        """Take the layers out of the viewer; the stored result stays."""
        for layer in self.layers:
            if layer in viewer.layers:
                viewer.layers.remove(layer)

    def set_settings(self, settings: MeasureSettings, quantiles: Quantiles) -> None:
        """Draw by other thresholds or another error rate; nothing is computed but for tiles."""
        before, settings = self.settings, settings.of_scheme(self.store.manifest.scheme)
        self.settings, self.quantiles = settings, quantiles
        for name, value in settings.thresholds.items():
            if value != before.thresholds[name]:
                set_threshold(self.probabilities[name], value)
        # A hidden tile layer costs too much to follow each move of a threshold.
        self._tiles_behind = True
        if self.tiles.visible or settings.error_rate != before.error_rate:
            self._update_tiles()

    def _update_tiles(self) -> None:
        self._tiles_behind = False
        update_tile_layer(self.tiles, self.store, self.settings, self.quantiles)

    def _on_tiles_shown(self) -> None:
        if self.tiles.visible and self._tiles_behind:
            self._update_tiles()

    def set_view(self, view: ViewState) -> None:
        """Take opacity, colormap and visibility over."""
        scheme = self.store.manifest.scheme
        for name, layer in self.probabilities.items():
            layer.opacity, layer.visible = view.opacity, view.visible
            if view.colormap != self.view.colormap:
                layer.colormap = probability_colormap(scheme[scheme.index(name)], view.colormap)
        self.view = view

    def refresh(self, *, tiles: bool) -> None:
        """Show what the store holds now; the tile layer only on request or while it is shown."""
        for layer in self.probabilities.values():
            layer.refresh()
        if tiles or self.tiles.visible:
            self._update_tiles()
        else:
            self._tiles_behind = True

    def tile_at(self, world: tuple[float, ...]) -> TileIndex | None:
        """Return the tile under a place in world coordinates; None outside the grid."""
        position = np.asarray(self.tiles.world_to_data(world[-2:])) + 0.5
        row, col = (int(np.floor(v)) for v in position)
        rows, cols = self.store.state.shape
        return TileIndex(row, col) if 0 <= row < rows and 0 <= col < cols else None

    def rect(self, tile: TileIndex) -> Rect:
        """Return the place of a tile in level-0 pixels."""
        return self.store.manifest.grid.rect(tile)

    def describe(self, world: tuple[float, ...]) -> str:
        """Describe the tile under a place in world coordinates in words; empty outside."""
        tile = self.tile_at(world)
        if tile is None:
            return ""
        state = TileState(int(self.store.state[tile.row, tile.col]))
        place = f"Tile {tile.row}, {tile.col}"
        if state is not TileState.DONE:
            return f"{place}: {_WORDS[state]}"
        values = self.store.tile_probabilities[:, tile.row, tile.col]
        scheme = self.store.manifest.scheme
        listed = ", ".join(f"{c.title} {v:.2f}" for c, v in zip(scheme, values, strict=True))
        return f"{place}: {listed}"


_WORDS = {
    TileState.PENDING: "not analyzed yet",
    TileState.FAILED: "could not be read",
    TileState.NO_TISSUE: "no tissue",
}
