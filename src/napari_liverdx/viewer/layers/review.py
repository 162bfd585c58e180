"""Decisions drawn over the slide."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from napari.layers import Image, Shapes

from napari_liverdx.core.grid import TileIndex
from napari_liverdx.results.review_log import Decision
from napari_liverdx.results.store import ResultStore
from napari_liverdx.viewer.layers.base import on_slide
from napari_liverdx.viewer.layers.camera import place_of
from napari_liverdx.viewer.layers.slide_source import bare

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["REVIEW_KEY", "ReviewLayer"]

REVIEW_KEY = "liverdx_review"
_CURRENT = "#f0e442"
_DRAWING_KEYS = ("Delete", "Backspace", "E", "L", "T", "D", "S", "X", "I", "F", "B", "1", "2", "3")


class ReviewLayer:
    """A Shapes layer with a frame around each tile that was decided on, and the current one.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer.
    store : ResultStore
        The result under review.
    reference : Image
        The slide's layer.
    colors : mapping of str to str
        Of the verdicts.
    keys : mapping of str to callable
        What keys do while the layer is selected, instead of drawing and deleting.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        store: ResultStore,
        reference: Image,
        colors: Mapping[str, str],
        keys: Mapping[str, Callable[[], object]],
    ) -> None:
        self._viewer, self._store, self._reference = viewer, store, reference
        self._colors, self._keys = colors, keys
        self.layer: Shapes | None = None

    def show(self, decisions: Mapping[TileIndex, Decision], current: TileIndex | None) -> None:
        """Draw these decisions; no layer is made while there is nothing to draw."""
        tiles = list(decisions)
        if current is not None:
            tiles.append(current)
        if not tiles and self.layer is None:
            return
        layer = self._ensure()
        grid = self._store.manifest.grid
        rows = [decisions.get(t) for t in tiles]
        colors = ["white" if d is None else self._colors[d.verdict] for d in rows]
        if current is not None:
            colors[-1] = _CURRENT
        layer.data = []
        if tiles:
            layer.add_rectangles(
                [place_of(self._reference, grid.rect(t)) for t in tiles],
                edge_color=colors,
                face_color="transparent",
                edge_width=self._width(),
            )
        layer.features = _features(tiles, rows)

    def remove(self) -> None:
        """Take the layer out of the viewer; the decisions stay with the result."""
        if self.layer is not None and self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)
        self.layer = None

    def _ensure(self) -> Shapes:
        if self.layer is not None and self.layer in self._viewer.layers:
            return self.layer
        for known in self._viewer.layers:
            if known.metadata.get(REVIEW_KEY) == str(self._store.path):
                self.layer = self._guard(bare(known))
                return self.layer
        selected = self._viewer.layers.selection.active
        layer = Shapes(
            name=f"Review · {self._reference.name}",
            ndim=2,
            units=tuple(self._reference.units)[-2:],
            metadata=on_slide(self._reference, **{REVIEW_KEY: str(self._store.path)}),
        )
        self._viewer.add_layer(layer)
        self._guard(layer)
        # Drawing must not become active by itself: the review's keys would be the layer's.
        if selected is not None and selected in self._viewer.layers:
            self._viewer.layers.selection.active = selected
        self.layer = layer
        return layer

    def _guard(self, layer: Shapes) -> Shapes:
        """Let decisions alone move frames: keys decide, and do not draw or delete."""
        layer.editable = False
        blocked = dict.fromkeys(_DRAWING_KEYS, _nothing)
        for key, action in {**blocked, **self._keys}.items():
            layer.bind_key(key, _pressed(action), overwrite=True)
        return layer

    def _width(self) -> float:
        """Return a frame's width, a fiftieth of a tile, in world units."""
        tile = TileIndex(0, 0)
        corners = place_of(self._reference, self._store.manifest.grid.rect(tile))
        return float(abs(corners[2] - corners[0]).max()) / 50


def _nothing() -> None:
    """Do nothing, in place of what drawing keys do."""


def _pressed(action: Callable[[], object]) -> Callable[[Shapes], None]:
    """Wrap an action as a layer calls it; napari asks for its name, which a partial has not."""

    def pressed(layer: Shapes) -> None:
        action()

    return pressed


def _features(tiles: list[TileIndex], rows: list[Decision | None]) -> dict[str, list[str]]:
    return {
        "tile": [f"{t.row}, {t.col}" for t in tiles],
        "verdict": ["" if d is None else d.verdict.value for d in rows],
        "called": ["" if d is None else d.called for d in rows],
        "correct": ["" if d is None else d.correct for d in rows],
    }
