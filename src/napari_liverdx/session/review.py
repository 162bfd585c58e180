"""Reviewing predicted classes of tiles: in which order, what was decided, and taking it back."""

from __future__ import annotations

import numpy as np
from psygnal import Signal

from napari_liverdx._ids import Choice
from napari_liverdx.core.assignment import assign
from napari_liverdx.core.grid import TileIndex
from napari_liverdx.results.measure_settings import MeasureSettings
from napari_liverdx.results.review_log import Decision, Verdict
from napari_liverdx.results.store import ResultStore, TileState

__all__ = ["Order", "Review", "predicted_class", "rank_tiles"]


class Order(Choice):
    """Which tiles come first."""

    HIGHEST_PROBABILITY = "highest_probability", "Highest probability"
    UNCERTAIN = "uncertain", "Most uncertain"
    LEAST_TYPICAL = "least_typical", "Least typical"


def predicted_class(store: ResultStore, tile: TileIndex, settings: MeasureSettings) -> int:
    """Return the index of a tile's class at the chosen thresholds.

    A tile that the error rate sets apart has one too: a person who reviews it decides what the
    model could not.
    """
    values = store.tile_probabilities[:, tile.row, tile.col, None, None]
    decided = assign(values, np.ones((1, 1), np.bool_), store.manifest.scheme, settings.thresholds)
    label = int(decided.labels[0, 0])
    return label - 1 if label else int(values.argmax())


def rank_tiles(
    store: ResultStore, order: Order, limit: int, *, undecided_only: bool = False
) -> tuple[TileIndex, ...]:
    """Rank the tiles to review first.

    Parameters
    ----------
    store : ResultStore
        The result; only tiles that are done count.
    order : Order
        Suspicious: by the highest probability of a pathological class. Uncertain: by the entropy
        of the probabilities (Shannon 1948). Unfamiliar: by the distance from the training data,
        tiles without one left out.
    limit : int
        Most tiles to return.
    undecided_only : bool
        Leave out tiles with a decision.

    Returns
    -------
    tuple of TileIndex
        First comes first; ties in reading order.
    """
    done = store.state == TileState.DONE
    values = store.tile_probabilities.astype(np.float64)
    if order is Order.HIGHEST_PROBABILITY:
        chosen = list(store.manifest.scheme.pathological) or list(range(len(values)))
        score = values[chosen].max(axis=0)
    elif order is Order.UNCERTAIN:
        safe = np.clip(values, 1e-12, 1)
        score = -(safe * np.log(safe)).sum(axis=0)
    else:
        done = done & np.isfinite(store.ood)
        score = np.nan_to_num(store.ood.astype(np.float64))
    if undecided_only:
        done = done.copy()
        for tile in store.decisions:
            done[tile.row, tile.col] = False
    rows, cols = np.nonzero(done)
    best = np.argsort(-score[rows, cols], kind="stable")[:limit]
    return tuple(TileIndex(int(rows[i]), int(cols[i])) for i in best)


class Review:
    """Decisions on the tiles of one result, with undo.

    Signals: ``decided(TileIndex)`` after a decision was made, taken back or made again.

    Parameters
    ----------
    store : ResultStore
        The result; decisions are kept with it.
    settings : MeasureSettings, optional
        At which thresholds tiles are predicted; set anew when they move.
    """

    decided = Signal(TileIndex)

    def __init__(self, store: ResultStore, settings: MeasureSettings | None = None) -> None:
        self.store = store
        self.settings = settings or MeasureSettings()
        self._done: list[tuple[TileIndex, Decision | None, Decision | None]] = []
        self._undone: list[tuple[TileIndex, Decision | None, Decision | None]] = []

    def accept(self, tile: TileIndex) -> None:
        """Accept the predicted class of a tile."""
        self._decide(tile, Decision.accept(self._called(tile)))

    def reject(self, tile: TileIndex, correct: str = "") -> None:
        """Reject the predicted class of a tile; ``correct`` is the right one if it is known.

        Raises
        ------
        KeyError
            If there is no such class.
        """
        scheme = self.store.manifest.scheme
        if correct:
            scheme.index(correct)
        elif len(scheme) == 2:
            correct = scheme[1 - predicted_class(self.store, tile, self.settings)].name
        self._decide(tile, Decision.reject(self._called(tile), correct))

    def correct(self, tile: TileIndex, name: str) -> None:
        """Say which class a tile is of, whether or not the model predicted it.

        Raises
        ------
        KeyError
            If there is no such class.
        """
        if name == self._called(tile):
            self.accept(tile)
        else:
            self.reject(tile, name)

    def forget(self, tile: TileIndex) -> None:
        """Take the decision on a tile away."""
        if tile in self.store.decisions:
            self._decide(tile, None)

    def undo(self) -> TileIndex | None:
        """Take the last step back; the tile it was about, None if there is none."""
        if not self._done:
            return None
        tile, before, _ = self._done[-1]
        self.store.decisions.put(tile, before)
        self._undone.append(self._done.pop())
        self.decided.emit(tile)
        return tile

    def redo(self) -> TileIndex | None:
        """Do the step again that was taken back last; None if there is none."""
        if not self._undone:
            return None
        tile, _, after = self._undone[-1]
        self.store.decisions.put(tile, after)
        self._done.append(self._undone.pop())
        self.decided.emit(tile)
        return tile

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        """Whether there is a step to do again."""
        return bool(self._undone)

    def count(self, verdict: Verdict) -> int:
        """Count the decisions of one kind."""
        return sum(d.verdict is verdict for d in self.store.decisions.values())

    def _called(self, tile: TileIndex) -> str:
        index = predicted_class(self.store, tile, self.settings)
        return self.store.manifest.scheme[index].name

    def _decide(self, tile: TileIndex, decision: Decision | None) -> None:
        before = self.store.decisions.get(tile)
        self.store.decisions.put(tile, decision)
        self._done.append((tile, before, decision))
        self._undone.clear()
        self.decided.emit(tile)
