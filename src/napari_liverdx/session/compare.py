"""Two results, or two thresholds, of one slide."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.core.errors import PlanError
from napari_liverdx.core.prediction_sets import Quantiles
from napari_liverdx.results.measure_settings import MeasureSettings, assign_map, assign_tiles
from napari_liverdx.results.store import ResultStore, TileState

__all__ = ["Comparison", "Side", "compare"]

NEITHER, BOTH, ONLY_A, ONLY_B = 0, 1, 2, 3


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One of the two: a class of a result, where it counts.

    Attributes
    ----------
    store : ResultStore
    class_name : str
    settings : MeasureSettings
        Thresholds, error rate and what is measured.
    quantiles : Quantiles
        Of the model's calibration scores at that error rate.
    """

    store: ResultStore
    class_name: str
    settings: MeasureSettings = field(default_factory=MeasureSettings)
    quantiles: Quantiles = field(default_factory=Quantiles)

    @property
    def threshold(self) -> float:
        """Of the class."""
        return self.settings.threshold(self.class_name)

    @property
    def values(self) -> NDArray[np.float32]:
        """Probabilities of the class, shape (rows, columns)."""
        index = self.store.manifest.scheme.index(self.class_name)
        return np.asarray(self.store.probabilities[index])

    @property
    def counted(self) -> NDArray[np.bool_]:
        """Where the class counts, shape (rows, columns)."""
        index = self.store.manifest.scheme.index(self.class_name)
        return np.asarray(assign_map(self.store, self.settings, self.quantiles).counted[index])


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Where two sides agree, on the tissue that both analyzed.

    Attributes
    ----------
    where : ndarray of uint8, shape (rows, columns)
        On A's map: 0 neither or not analyzed by both, 1 both, 2 only A, 3 only B.
    tissue_mm2 : float
        Tissue that both analyzed.
    a_mm2, b_mm2, both_mm2, only_a_mm2, only_b_mm2 : float
        Areas that count.
    dice : float
        Overlap of both areas (Dice 1945), 1 where they are the same; NaN where neither has any.
    changed_tiles : int or None
        Tiles whose predicted class differs; None where the tiles do not lie alike.
    tiles : int
        Tiles that both analyzed, 0 where they do not lie alike.
    """

    where: NDArray[np.uint8]
    tissue_mm2: float
    a_mm2: float
    b_mm2: float
    both_mm2: float
    only_a_mm2: float
    only_b_mm2: float
    dice: float
    changed_tiles: int | None
    tiles: int


def compare(a: Side, b: Side) -> Comparison:
    """Compare two sides on the map of A; B is looked up at the center of each map pixel.

    Raises
    ------
    PlanError
        If the results are of different slides.
    """
    first, second = a.store, b.store
    if first.manifest.slide_fingerprint != second.manifest.slide_fingerprint:
        raise PlanError("the two results are of different slides; choose two of one slide")
    tissue = first.tissue_subtiles()
    rows, cols = _places(first, second)
    inside = (rows >= 0)[:, None] & (cols >= 0)[None, :]
    at = np.ix_(np.maximum(rows, 0), np.maximum(cols, 0))
    common = tissue & inside & second.tissue_subtiles()[at]
    hit_a = common & a.counted
    hit_b = common & b.counted[at]
    where = np.zeros(tissue.shape, np.uint8)
    where[hit_a & hit_b] = BOTH
    where[hit_a & ~hit_b] = ONLY_A
    where[hit_b & ~hit_a] = ONLY_B
    area = first.subtile_area_um2 / 1e6
    both, only_a, only_b = (int((where == v).sum()) for v in (BOTH, ONLY_A, ONLY_B))
    total = 2 * both + only_a + only_b
    changed, tiles = _tiles(a, b)
    return Comparison(
        where,
        int(common.sum()) * area,
        (both + only_a) * area,
        (both + only_b) * area,
        both * area,
        only_a * area,
        only_b * area,
        2 * both / total if total else float("nan"),
        changed,
        tiles,
    )


def _places(first: ResultStore, second: ResultStore) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return row and column on the second map of each map pixel's center; -1 outside it."""
    found = []
    for axis, n, limit in (
        (1, first.probabilities.shape[1], second.probabilities.shape[1]),
        (0, first.probabilities.shape[2], second.probabilities.shape[2]),
    ):
        centers = first.origin[axis] + (np.arange(n) + 0.5) * first.subtile_size[axis]
        index = np.floor((centers - second.origin[axis]) / second.subtile_size[axis]).astype(
            np.intp
        )
        found.append(np.where((index >= 0) & (index < limit), index, -1))
    return found[0], found[1]


def _tiles(a: Side, b: Side) -> tuple[int | None, int]:
    first, second = a.store, b.store
    alike = (
        first.manifest.grid == second.manifest.grid
        and first.manifest.scheme.names == second.manifest.scheme.names
    )
    if not alike:
        return None, 0
    done = (first.state == TileState.DONE) & (second.state == TileState.DONE)
    predicted = (assign_tiles(s.store, s.settings, s.quantiles).labels for s in (a, b))
    differ = np.not_equal(*predicted) & done
    return int(differ.sum()), int(done.sum())
