"""Decisions on disk: damage, tables."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from napari_liverdx.core.errors import ResultError
from napari_liverdx.core.grid import TileIndex
from napari_liverdx.results.review_log import write_decisions
from napari_liverdx.results.store import ResultStore
from napari_liverdx.session.review import Review


@pytest.mark.parametrize(
    "text", ["{", "[1]", "[" * 5000, '[{"row": -1, "col": 0, "verdict": "accepted"}]']
)
def test_a_damaged_review_is_told_and_left_alone(twelve_tiles: ResultStore, text: str) -> None:
    file = twelve_tiles.path / "review.json"
    file.write_text(text)
    with pytest.raises(ResultError, match="move the file away"):
        _ = twelve_tiles.decisions
    assert file.read_text() == text


def test_decisions_as_a_table(twelve_tiles: ResultStore, tmp_path: Path) -> None:
    review = Review(twelve_tiles)
    review.reject(TileIndex(1, 2), "liver")
    out = tmp_path / "review.csv"
    write_decisions(out, twelve_tiles.decisions, twelve_tiles.manifest.grid)
    (row,) = csv.DictReader(io.StringIO(out.read_text(encoding="utf-8")))
    assert (row["x"], row["y"], row["width"]) == ("448.0", "224.0", "224.0")
    assert (row["verdict"], row["correct"]) == ("rejected", "liver")
