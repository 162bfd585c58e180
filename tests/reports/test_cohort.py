"""Any name survives the table of a batch."""

from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from napari_liverdx._text import original_cell
from napari_liverdx.reports.cohort import CohortRow, cohort_columns, cohort_text
from tests.support.models import make_card

text = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=20)


@given(text, text, text)
def test_any_name_survives_the_table(slide: str, folder: str, problem: str) -> None:
    scheme = make_card().scheme
    rows = [CohortRow(slide, folder, "failed", problem=problem)] * 2
    read = list(csv.DictReader(io.StringIO(cohort_text(rows, scheme), newline="")))
    assert len(read) == 2
    assert list(read[0]) == list(cohort_columns(scheme))
    found = tuple(original_cell(read[1][c]) for c in ("slide", "folder", "problem"))
    assert found == (slide, folder, problem)
