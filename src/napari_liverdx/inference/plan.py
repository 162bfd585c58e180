"""Deciding what a run does, before anything is read or computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.core.errors import MppError, NoTissueError, PlanError
from napari_liverdx.core.grid import TileGrid, TileIndex, plan_grid
from napari_liverdx.core.resolution import Level, Mpp
from napari_liverdx.core.tissue import TissueLabel, TissueMap, TissueMask, bounding_rect, restrict
from napari_liverdx.inference.device import DeviceChoice, choose_device
from napari_liverdx.models.card import ModelCard
from napari_liverdx.results.store import ResultStore, TileState

__all__ = ["MIN_TISSUE", "RunPlan", "plan_of_result", "plan_run"]

MIN_TISSUE = 0.01
"""Least share of a tile that must be tissue for the tile to be read."""

_BLOCK = 32


@dataclass(frozen=True, slots=True, eq=False)
class RunPlan:
    """A decided run.

    Attributes
    ----------
    grid : TileGrid
    tiles : tuple of TileIndex
        Tiles on tissue, in the order in which they are read: block by block, so that stored
        tiles and result chunks are touched while they are in memory.
    tissue : TissueMask
        Restricted to the regions.
    mpp : Mpp
    overlap : float
    subtiles : int
        Map pixels along a tile's side in the result.
    device : DeviceChoice
    restricted : bool
        Whether regions were given.
    warnings : tuple of str
        For the user.
    own_tissue : bool
        Whether a person edited the tissue or kept artifacts in it.
    tissue_record : dict
        For the manifest: whether the tissue was edited, and mm² of each artifact left out or kept.
    """

    grid: TileGrid
    tiles: tuple[TileIndex, ...]
    tissue: TissueMask
    mpp: Mpp
    overlap: float
    subtiles: int
    device: DeviceChoice
    restricted: bool = False
    warnings: tuple[str, ...] = ()
    own_tissue: bool = False
    tissue_record: dict[str, Any] = field(default_factory=dict)

    @property
    def read_mpp(self) -> float:
        """Resolution of the level that is read, µm/px."""
        return self.mpp.x * self.grid.scale_x


def plan_run(
    levels: Sequence[Level],
    mpp: Mpp | None,
    tissue: TissueMask | TissueMap,
    card: ModelCard,
    *,
    regions: Sequence[NDArray[np.float64]] | None = None,
    overlap: float = 0.0,
    device: DeviceChoice | None = None,
    batch_size: int | None = None,
) -> RunPlan:
    """Decide what to read and where to run it; touches no file and no network.

    Parameters
    ----------
    levels : sequence of Level
        Levels of the slide, finest first.
    mpp : Mpp or None
        None is an error here: the resolution must have been asked for before.
    tissue : TissueMask or TissueMap
        Where tissue is; of a map its artifacts are left out unless they are kept.
    card : ModelCard
        Card of the model.
    regions : sequence of ndarray of float, shape (n, 2), optional
        Polygons, (x, y) in level-0 pixels; the whole slide by default.
    overlap : float
        Share of a tile that neighbors have in common.
    device : DeviceChoice, optional
        Chosen automatically by default.
    batch_size : int, optional
        The device's default otherwise.

    Raises
    ------
    MppError
        If the resolution is unknown.
    NoTissueError
        If there is no tissue to analyze.
    PlanError
        If a region misses the slide, or overlap or batch size are out of range.
    """
    if mpp is None:
        raise MppError(
            "the slide states no resolution; give its µm/px (--mpp 0.25 for 40x, --mpp 0.5 for 20x)"
        )
    if batch_size is not None and batch_size < 1:
        raise PlanError(f"a batch holds at least one tile, not {batch_size}")
    own, record = False, {}
    if isinstance(tissue, TissueMap):
        own, record = not tissue.is_default, _tissue_record(tissue, mpp)
        tissue = tissue.analyzed
    bounds = None
    if regions is not None:
        bounds = bounding_rect(regions)
        tissue = restrict(tissue, regions)
    grid = plan_grid(
        levels, mpp, model_mpp=card.mpp, tile_size=card.tile_size, region=bounds, overlap=overlap
    )
    chosen = [t for t in _in_blocks(grid) if tissue.fraction(grid.rect(t)) >= MIN_TISSUE]
    if not chosen:
        where = "the chosen region" if regions is not None else "this slide"
        raise NoTissueError(
            f"no tissue was found on {where}; choose another region, or check that the slide is "
            "stained and in color"
        )
    device = device or choose_device()
    if batch_size is not None:
        device = replace(device, batch_size=batch_size, adaptive=False)
    return RunPlan(
        grid,
        tuple(chosen),
        tissue,
        mpp,
        overlap,
        card.subtiles,
        device,
        regions is not None,
        _warnings(levels, mpp, card),
        own,
        record,
    )


def _in_blocks(grid: TileGrid) -> list[TileIndex]:
    return sorted(grid, key=lambda t: (t.row // _BLOCK, t.col // _BLOCK, t.row, t.col))


def _tissue_record(tissue: TissueMap, mpp: Mpp) -> dict[str, Any]:
    """Return the record of the whole slide's tissue, whatever regions are analyzed."""
    areas = tissue.areas_mm2(mpp.x * mpp.y)
    found = {k: round(v, 6) for k, v in areas.items() if v and k != TissueLabel.TISSUE}
    return {
        "edited": tissue.edited,
        "excluded": {k.id: v for k, v in found.items() if k not in tissue.kept},
        "kept": {k.id: v for k, v in found.items() if k in tissue.kept},
    }


def _warnings(levels: Sequence[Level], mpp: Mpp, card: ModelCard) -> tuple[str, ...]:
    finest = mpp.mean * levels[0].downsample
    if finest > 1.5 * card.mpp:
        return (
            f"the slide's finest level has {finest:.2g} µm/px, the model was trained at "
            f"{card.mpp:g}; it is enlarged, detail is missing and results may be unreliable",
        )
    return ()


def plan_of_result(
    store: ResultStore, card: ModelCard, device: DeviceChoice | None = None
) -> RunPlan:
    """Return the plan by which a stored result was made, for another version of its model.

    Parameters
    ----------
    store : ResultStore
        The result; its manifest says how it was planned.
    card : ModelCard
        Card of the version to run.
    device : DeviceChoice, optional
        Chosen automatically by default.
    """
    manifest = store.manifest
    return RunPlan(
        manifest.grid,
        tuple(t for t in manifest.grid if store.state[t.row, t.col] != TileState.NO_TISSUE),
        store.tissue,
        store.mpp,
        manifest.overlap,
        card.subtiles,
        device or choose_device(),
        restricted=manifest.restricted,
        own_tissue=manifest.own_tissue,
        tissue_record=dict(manifest.tissue),
    )
