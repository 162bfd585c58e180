"""The PDF is the same each time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from napari_liverdx.core.errors import ResultError
from napari_liverdx.models.card import Interval
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.reports.html import gather_report
from napari_liverdx.reports.pdf import render_pdf
from napari_liverdx.results.store import ResultStore
from napari_liverdx.slides.slide import Slide
from tests.support.models import make_card
from tests.support.reports import findings, pdf_text


def test_pdf_is_the_same_each_time_with_a_footer_on_each_page(
    tmp_path: Path, store: ResultStore, slide: Slide, tiny: LoadedModel
) -> None:
    metrics = {f"metric {i}": Interval(value=0.5, low=0.4, high=0.6, how="x") for i in range(90)}
    card = make_card(metrics=metrics)
    found = findings(store)
    report = gather_report(store, found, slide.overview(8), card.model_dump())
    one, two = tmp_path / "1.pdf", tmp_path / "2.pdf"
    render_pdf(one, report)
    render_pdf(two, report)
    assert one.read_bytes() == two.read_bytes()
    *pages, rest = pdf_text(one, "-raw").split("\f")
    assert not rest.strip()
    assert len(pages) >= 4
    for number, page in enumerate(pages, 1):
        assert "For research use, not for diagnosis." in page
        assert f"Page {number}" in page
    # Letters the font lacks do not stop it.
    render_pdf(one, replace(report, title="肝臓 Ж µm²"))
    assert "µm²" in pdf_text(one, "-raw")
    with pytest.raises(ResultError, match="cannot be written"):
        render_pdf(tmp_path / "none" / "r.pdf", report)
