"""Parts of a report."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_liverdx.core.measure import ClassMeasure
from napari_liverdx.reports.parts import HistogramPart, findings_table
from napari_liverdx.results.store import ResultStore


def test_bars_are_cut_at_the_threshold() -> None:
    part = HistogramPart("Fat", "#0a84ff", np.array([0.5, 0.0, 1.0, 0.25]), 0.625)
    assert part.bars() == [
        (0, 0.25, 0.5, False),
        (0.5, 0.625, 1, False),
        (0.625, 0.75, 1, True),
        (0.75, 1, 0.25, True),
    ]


def test_where_no_foci_were_counted_there_is_no_column_for_them(store: ResultStore) -> None:
    fat = ClassMeasure("fat", "Liver with fat", 0.5, 1.25, 10.0, 0.3)
    none = findings_table([fat], store.manifest, None)
    assert "Foci" not in none.columns
    assert none.rows[0].cells == ("Liver with fat", "0.50", "1.250", "10.0", "0.300")
    counted = findings_table(
        [fat, replace(fat, foci=0, largest_focus_mm=0.0)], store.manifest, None
    )
    assert counted.columns[-2:] == ("Foci", "Largest, mm")
    assert counted.rows[0].cells[-2:] == ("", "")
    assert counted.rows[1].cells[-2] == "0"
