"""The tiles of a result as a CSV table."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from napari_liverdx._text import write_csv
from napari_liverdx.core.assignment import Assignment
from napari_liverdx.core.grid import TileIndex
from napari_liverdx.core.prediction_sets import UNCERTAIN_ID
from napari_liverdx.exports.base import ExportOptions, writing
from napari_liverdx.results.store import ResultStore, TileState

__all__ = ["write_tiles_csv"]

_PLACE = ("x", "y", "width", "height")


def write_tiles_csv(store: ResultStore, path: Path, options: ExportOptions) -> None:
    """Write one line for each tile on tissue.

    Places are those of the upper-left corner, from the upper-left corner of the slide's first
    pixel, in level-0 pixels and in µm. ``called`` is the class by the
    thresholds, or ``not-sure`` where the error rate forbids to name one.

    Parameters
    ----------
    store : ResultStore
        The result.
    path : Path
        File to write.
    options : ExportOptions
        Thresholds and error rate.

    Raises
    ------
    StorageFullError
        If the disk is full.
    ResultError
        If it cannot be written.
    """
    columns = ["row", "col", *(f"{n}_px" for n in _PLACE), *(f"{n}_um" for n in _PLACE)]
    columns += ["state", "called", *(f"probability_{c.name}" for c in store.manifest.classes)]
    columns += ["domain_score", "verdict", "correct"]
    with writing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        write_csv(file, chain([columns], _rows(store, options.assign_tiles(store))))


def _rows(store: ResultStore, assigned: Assignment) -> Iterator[list[object]]:
    manifest, decisions = store.manifest, store.decisions
    mpp_x, mpp_y = manifest.mpp
    names = ("", *manifest.scheme.names, UNCERTAIN_ID)
    blank = [""] * len(manifest.scheme)
    for row, col in np.argwhere(store.state != TileState.NO_TISSUE).tolist():
        tile = TileIndex(row, col)
        r = manifest.grid.rect(tile)
        state = TileState(store.state[row, col])
        line: list[object] = [row, col]
        line += [round(v, 3) for v in (r.x, r.y, r.width, r.height)]
        um = (r.x * mpp_x, r.y * mpp_y, r.width * mpp_x, r.height * mpp_y)
        line += [round(v, 3) for v in um]
        line.append(state.id)
        if state is TileState.DONE:
            ood = float(store.ood[row, col])
            line.append(names[assigned.labels[row, col]])
            line += [f"{v:.6f}" for v in store.tile_probabilities[:, row, col].tolist()]
            line.append(f"{ood:.4f}" if np.isfinite(ood) else "")
        else:
            line += ["", *blank, ""]
        decision = decisions.get(tile)
        line += ["", ""] if decision is None else [decision.verdict.value, decision.correct]
        yield line
