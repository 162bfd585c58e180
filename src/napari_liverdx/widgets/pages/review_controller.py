"""The logic of the review: which tiles, what was decided, what is drawn."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_liverdx.core.errors import LiverDxError
from napari_liverdx.core.grid import TileIndex
from napari_liverdx.results.review_log import Verdict, write_decisions
from napari_liverdx.results.store import TileState
from napari_liverdx.session.review import Order, Review, predicted_class, rank_tiles
from napari_liverdx.slides.tiles import Thumbnail, read_thumbnails
from napari_liverdx.viewer.layers.camera import fly_to
from napari_liverdx.viewer.layers.review import ReviewLayer
from napari_liverdx.widgets.pages.review_card import THUMBNAIL, VERDICT_COLORS, Card

if TYPE_CHECKING:
    from napari_liverdx.viewer.layers.result import ResultLayers
    from napari_liverdx.widgets.main.controller import DockController

__all__ = ["ReviewController"]

_STEP = 48
"""Thumbnails that are shown at first and added by "More"."""


class ReviewController:
    """Keeps the list of tiles, their pictures and the decisions on them.

    Signals: ``listed(list)`` of `Card` when the list changed, ``pictured(Thumbnail)``,
    ``changed(Card)`` when a decision changed, ``moved(TileIndex | None)`` when another tile is
    current.

    Parameters
    ----------
    control : DockController
        The dock's logic.

    Attributes
    ----------
    layer_keys : dict of str to callable
        What keys do while the layer with the decisions is selected.
    """

    listed = Signal(list)
    pictured = Signal(object)
    changed = Signal(object)
    moved = Signal(object)

    def __init__(self, control: DockController) -> None:
        self._control = control
        self.order = Order.HIGHEST_PROBABILITY
        self.undecided_only = False
        self.current: TileIndex | None = None
        self.tiles: list[TileIndex] = []
        self.review: Review | None = None
        self._limit = _STEP
        self._reviews: dict[Path, Review] = {}
        self.layer_keys: dict[str, Callable[[], object]] = {}
        self._drawn: ReviewLayer | None = None
        self.shown: ResultLayers | None = None
        self._reading = threading.Event()

    # -- which tiles --

    def take_result(self) -> None:
        """Review the shown result from its beginning, or nothing if none is shown."""
        results = self._control.findings.results
        if results is self.shown:
            return
        self.shown, self.current, self._limit = results, None, _STEP
        if self._drawn is not None:
            self._drawn.remove()
        self._drawn, self.review = None, None
        if results is not None:
            try:
                self._start(results)
            except LiverDxError as error:
                self._control.host.show_error(str(error))
        self.list_tiles()

    def _start(self, results: ResultLayers) -> None:
        kept = self._reviews.get(results.store.path)
        if kept is None or kept.store is not results.store:
            kept = self._reviews[results.store.path] = Review(results.store)
            kept.decided.connect(self._on_decided)
        # A result that comes back still has its steps to undo.
        self.review = kept
        # Damage in what is stored shows here.
        decisions = results.store.decisions
        colors = {v.value: c for v, c in VERDICT_COLORS.items()}
        viewer = self._control.viewer
        self._drawn = ReviewLayer(viewer, results.store, results.reference, colors, self.layer_keys)
        if decisions:
            self._drawn.show(decisions, None)

    def list_tiles(self) -> None:
        """Rank the tiles anew and read their pictures."""
        self._reading.set()
        if self.review is None:
            self.tiles = []
            self.listed.emit([])
            self.moved.emit(None)
            return
        # What a thumbnail says is what is decided on: both hold until tiles are listed again.
        self.review.settings = self._control.state.settings
        self.tiles = list(
            rank_tiles(
                self.review.store, self.order, self._limit, undecided_only=self.undecided_only
            )
        )
        self._show(self.tiles)

    def add_more(self) -> None:
        """List more tiles."""
        self._limit += _STEP
        self.list_tiles()

    @property
    def has_more(self) -> bool:
        """Whether there are tiles that are not listed."""
        if self.review is None or len(self.tiles) < self._limit:
            return False
        return self.review.store.count(TileState.DONE) > len(self.tiles)

    def _show(self, tiles: list[TileIndex]) -> None:
        self.listed.emit([self.card(t) for t in tiles])
        self._read(tiles)

    def _read(self, tiles: list[TileIndex]) -> None:
        slide = self._control.slide
        if slide is None or self.review is None or not tiles:
            return
        stop = self._reading = threading.Event()

        def received(thumbnail: Thumbnail) -> None:
            if not stop.is_set():
                self.pictured.emit(thumbnail)

        grid = self.review.store.manifest.grid
        work = read_thumbnails(slide, grid, tiles, 2 * THUMBNAIL, stop)
        self._control.workers.start(work, received, self._control.host.show_error)

    def card(self, tile: TileIndex) -> Card:
        """Return what stands on a tile's thumbnail."""
        assert self.review is not None
        store = self.review.store
        scheme = store.manifest.scheme
        index = predicted_class(store, tile, self.review.settings)
        values = store.tile_probabilities[:, tile.row, tile.col]
        decision = store.decisions.get(tile)
        lines = [f"{c.title}: {v:.2f}" for c, v in zip(scheme, values, strict=True)]
        if decision is not None:
            lines.append(f"{decision.verdict.value}, predicted {_title(scheme, decision.called)}")
            if decision.correct and decision.correct != decision.called:
                lines[-1] += f", is {_title(scheme, decision.correct)}"
        return Card(
            tile,
            f"{values[index]:.2f} {scheme[index].title}",
            scheme[index].color,
            "\n".join([f"Tile {tile.row}, {tile.col}", *lines]),
            None if decision is None else decision.verdict,
        )

    # -- the current tile --

    def choose(self, tile: TileIndex, *, fly: bool = True) -> None:
        """Make a tile current and look at it."""
        results = self.shown
        if self.review is None or results is None:
            return
        self.current = tile
        if fly:
            fly_to(self._control.viewer, results.reference, results.rect(tile))
        self._draw()
        self.moved.emit(tile)

    def choose_at(self, world: tuple[float, ...]) -> None:
        """Make the tile under a place of the slide current; it joins the list."""
        results = self.shown
        tile = None if results is None else results.tile_at(world)
        if tile is None or self.review is None:
            return
        if self.review.store.state[tile.row, tile.col] != TileState.DONE:
            return
        if tile not in self.tiles:
            self.tiles.insert(0, tile)
            self._reading.set()
            self._show(self.tiles)
        self.choose(tile, fly=False)

    # -- decisions --

    def accept(self) -> None:
        """Accept the current tile's predicted class."""
        self._decide(lambda review, tile: review.accept(tile))

    def reject(self) -> None:
        """Reject the current tile's predicted class."""
        self._decide(lambda review, tile: review.reject(tile))

    def correct(self, name: str) -> None:
        """Set the class of the current tile."""
        self._decide(lambda review, tile: review.correct(tile, name))

    def forget(self) -> None:
        """Take the decision on the current tile away."""
        self._decide(lambda review, tile: review.forget(tile))

    def undo(self) -> None:
        """Take the last step back."""
        self._step(lambda review: review.undo())

    def redo(self) -> None:
        """Do the step again that was taken back."""
        self._step(lambda review: review.redo())

    def _decide(self, what: Any) -> None:
        if self.review is None or self.current is None:
            return
        try:
            what(self.review, self.current)
        except LiverDxError as error:
            self._control.host.show_error(str(error))

    def _step(self, what: Any) -> None:
        if self.review is None:
            return
        try:
            tile = what(self.review)
        except LiverDxError as error:
            self._control.host.show_error(str(error))
            return
        if tile is not None:
            self.choose(tile)

    def _on_decided(self, tile: TileIndex) -> None:
        self._draw()
        self.changed.emit(self.card(tile))

    def _draw(self) -> None:
        if self._drawn is not None and self.review is not None:
            self._drawn.show(self.review.store.decisions, self.current)

    @property
    def counts(self) -> tuple[int, int]:
        """Accepted and rejected tiles."""
        if self.review is None:
            return 0, 0
        return self.review.count(Verdict.ACCEPTED), self.review.count(Verdict.REJECTED)

    def save(self, path: Path) -> bool:
        """Write the decisions as CSV; False and a notification if that fails."""
        if self.review is None:
            return False
        store = self.review.store
        try:
            write_decisions(path, store.decisions, store.manifest.grid)
        except LiverDxError as error:
            self._control.host.show_error(str(error))
            return False
        return True

    def close(self) -> None:
        """Stop reading and let go of the result."""
        self._reading.set()
        if self._drawn is not None:
            # The window may be gone already.
            with suppress(RuntimeError, ValueError):
                self._drawn.remove()
        self._reviews.clear()
        self.shown, self.review, self._drawn = None, None, None


def _title(scheme: Any, name: str) -> str:
    return scheme[scheme.index(name)].title if name in scheme.names else name
