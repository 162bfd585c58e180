"""Tables of measurements hold all regions."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from napari_liverdx.core.measure import ClassMeasure, measure, measure_regions
from napari_liverdx.reports.measurements import (
    COLUMNS,
    WHOLE,
    measurement_table,
    measurement_text,
    write_measurements,
)
from napari_liverdx.results.measurement_map import MapKind, MeasurementMap, measurement_map
from tests.support.models import SCHEME
from tests.support.results import patchy_result


def measured(on: MeasurementMap) -> tuple[ClassMeasure, ...]:
    return measure(
        on.probabilities,
        on.tissue,
        SCHEME,
        subtile_area_um2=on.subtile_area_um2,
        subtile_um=on.subtile_um,
    )


def test_tables_hold_all_regions(tmp_path: Path) -> None:
    on = measurement_map(patchy_result(tmp_path, overlap=0, k=3, seed=4), MapKind.TILES)
    everywhere = np.ones(on.tissue.shape, bool)
    regions = measure_regions(
        on.probabilities, on.tissue, SCHEME, [("left, upper", everywhere), ("none", ~everywhere)],
        subtile_area_um2=on.subtile_area_um2, subtile_um=on.subtile_um,
    )  # fmt: skip
    whole = measured(on)
    rows = measurement_table(whole, regions, map_kind=MapKind.TILES)
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
        write_measurements(tmp_path / name, whole, regions, map_kind=MapKind.TILES)
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert list(csv.reader(text.splitlines(), delimiter=separator)) == [list(COLUMNS), *rows]
    assert measurement_text(rows).splitlines()[0] == "\t".join(COLUMNS)
