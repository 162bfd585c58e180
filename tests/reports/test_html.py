"""What slides, classes, regions and cards are called is text on a page, and nothing more."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from napari_liverdx.reports.write import ReportOptions, save_report
from napari_liverdx.results.findings import measure_result
from napari_liverdx.results.measure_settings import MeasureSettings
from tests.support.models import make_card
from tests.support.reports import EVIL, Page, check_harmless, evil_report, pdf_text
from tests.support.results import square_result


def test_no_name_is_more_than_text_in_a_report(tmp_path: Path) -> None:
    path = evil_report(tmp_path)
    page = check_harmless(path.read_text(encoding="utf-8"))
    # Title, heading, tables, legend and the card's facts show it as it is.
    assert page.text.count(EVIL) >= 8
    rows = list(csv.reader(path.with_suffix(".csv").read_text(encoding="utf-8").splitlines()))
    assert {row[0] for row in rows[1:]} == {"all analyzed tissue", EVIL, "'=1+1"}
    assert "alert(1)" in pdf_text(path.with_suffix(".pdf"))


def test_a_name_whose_bytes_are_no_text_is_shown(tmp_path: Path) -> None:
    store = square_result(tmp_path / "a.liverdx.zarr", model_name="M\udcfcller")
    findings = measure_result(store, MeasureSettings({"fat": 0.5}))
    card = make_card(title="M\udcfcller")
    path = save_report(findings, store, None, card, ReportOptions(("html", "csv", "pdf")))
    assert "ller" in Page(path.read_text(encoding="utf-8")).text


@pytest.mark.parametrize("content", ["<p onclick=x>", "<script>", '<img src="http://a">', "<a>"])
def test_the_check_sees_what_runs(content: str) -> None:
    with pytest.raises(AssertionError):
        check_harmless(content)
