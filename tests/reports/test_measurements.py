"""Tables of measurements hold all regions."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from napari_liverdx.reports.measurements import (
    COLUMNS,
    WHOLE,
    measurement_table,
    measurement_text,
    write_measurements,
)
from napari_liverdx.results.findings import measure_result
from napari_liverdx.results.measure_settings import MeasureSettings
from napari_liverdx.results.measurement_map import MapKind
from tests.support.results import patchy_result


def test_tables_hold_all_regions(tmp_path: Path) -> None:
    store = patchy_result(tmp_path, overlap=0, k=3, seed=4)
    everywhere = np.array([[-1e6, -1e6], [1e6, -1e6], [1e6, 1e6], [-1e6, 1e6]])
    regions = [("left, upper", everywhere), ("none", everywhere - 9e6)]
    found = measure_result(store, MeasureSettings(map_kind=MapKind.TILES), regions=regions)
    rows, whole = measurement_table(found), found.measures
    assert len(rows) == 9
    assert {row[0] for row in rows} == {WHOLE, "left, upper", "none"}
    assert [row[1:] for row in rows[:3]] == [row[1:] for row in rows[3:6]]
    fat = dict(zip(COLUMNS, rows[2], strict=True))
    assert float(fat["area_mm2"]) == pytest.approx(whole[2].area_mm2, abs=1e-6)
    assert (fat["class"], fat["threshold"], fat["basis"]) == ("fat", "0.5", "tiles")
    assert int(fat["foci"]) == whole[2].foci > 0
    nothing = dict(zip(COLUMNS, rows[8], strict=True))
    assert nothing["percent_of_tissue"] == nothing["mean_probability"] == ""
    for name, separator in (("t.csv", ","), ("t.tsv", "\t")):
        write_measurements(tmp_path / name, found)
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert list(csv.reader(text.splitlines(), delimiter=separator)) == [list(COLUMNS), *rows]
    assert measurement_text(rows).splitlines()[0] == "\t".join(COLUMNS)
