"""The table of tiles."""

from __future__ import annotations

import csv
import io

import pytest

from napari_liverdx.core.grid import TileIndex
from napari_liverdx.results.review_log import Decision
from napari_liverdx.results.store import ResultStore
from tests.support.exports import exported
from tests.support.models import CLASSES
from tests.support.results import MPP


def test_table_of_tiles(store: ResultStore) -> None:
    store.decisions.put(TileIndex(1, 2), Decision.accept("fat"))
    rows = list(csv.DictReader(io.StringIO(exported(store, "csv").read_text("utf-8"))))
    assert len(rows) == 6 * 8 - 1
    assert [r["state"] for r in rows] == ["done"] * 46 + ["failed"]
    assert rows[-1]["called"] == rows[-1]["probability_fat"] == ""
    for row in rows[:-1]:
        at = TileIndex(int(row["row"]), int(row["col"]))
        rect = store.manifest.grid.rect(at)
        assert [float(row[f"{k}_px"]) for k in ("x", "y", "width", "height")] == [
            rect.x, rect.y, rect.width, rect.height,
        ]  # fmt: skip
        assert [float(row[f"{k}_um"]) for k in ("x", "y", "width", "height")] == [
            rect.x * MPP[0], rect.y * MPP[1], rect.width * MPP[0], rect.height * MPP[1],
        ]  # fmt: skip
        values = store.tile_probabilities[:, at.row, at.col]
        assert float(row["probability_fat"]) == pytest.approx(values[2], abs=1e-6)
        predicted = 2 if values[2] >= 0.5 else values[:2].argmax()
        assert row["called"] == CLASSES[predicted].name
    (reviewed,) = [r for r in rows if r["verdict"]]
    assert (reviewed["row"], reviewed["col"], reviewed["correct"]) == ("1", "2", "fat")
