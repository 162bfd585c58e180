"""What slides, classes, regions and cards are called is text on a page, and nothing more."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from napari_liverdx.core.grid import TileIndex
from napari_liverdx.reports.write import ReportOptions, save_report
from napari_liverdx.results.findings import measure_result
from napari_liverdx.results.measure_settings import MeasureSettings
from napari_liverdx.results.review_log import Decision
from tests.support.models import CLASSES, make_card
from tests.support.reports import Page, check_harmless, pdf_text
from tests.support.results import SQUARE, square_result

EVIL = "\"><script>alert(1)</script><img src=x onerror=alert(1)>&lt;b&gt;{{ 7 * 7 }}'<!--"


def test_no_name_is_more_than_text_in_a_report(tmp_path: Path) -> None:
    classes = tuple(replace(c, title=f"{c.title} {EVIL}") for c in CLASSES)
    store = square_result(
        tmp_path / "a.liverdx.zarr", classes=classes, slide_name=f"{EVIL}.svs", model_name=EVIL,
        mpp_source=EVIL, slide_format=EVIL,
    )  # fmt: skip
    store.decisions.put(TileIndex(0, 0), Decision.reject("fat", "liver"))
    card = make_card(
        classes=classes, title=EVIL, summary=EVIL, training_data=EVIL, limitations=EVIL,
        intended_use=EVIL, version=EVIL, metrics={EVIL: {"value": 0.5, "how": EVIL}},
    )  # fmt: skip
    regions = [(EVIL, SQUARE), ("=1+1", SQUARE)]
    findings = measure_result(store, MeasureSettings({"fat": 0.5}), regions=regions)
    path = save_report(findings, store, None, card, ReportOptions(("html", "csv", "pdf"), 2))
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
