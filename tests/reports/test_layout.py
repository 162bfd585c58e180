"""The layout of a report, shared by page and PDF."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_liverdx.reports.html import render_report
from napari_liverdx.reports.layout import chart_caption, sections
from napari_liverdx.reports.parts import (
    Facts,
    HistogramPart,
    Picture,
    Report,
    ReportTable,
    Row,
    TileGroup,
    TilePicture,
)
from napari_liverdx.reports.pdf import render_pdf


@pytest.fixture
def report() -> Report:
    """A report with all that one can hold."""
    rgb = np.full((40, 60, 3), 200, np.uint8)
    table = ReportTable(("Class", "Area, mm²"), (Row(("Fat", "0.5"), "#0a84ff"),))
    tile = TilePicture(0.9, "x 1 mm, y 2 mm", "accepted", rgb)
    return Report(
        title="slide",
        subtitle="Tiny · version 1",
        notice="For research use, not for diagnosis.",
        warnings=("The run is not finished.",),
        pictures=(Picture("The slide", rgb), Picture("With the findings", rgb)),
        findings=table,
        note="Measured on the fine map.",
        regions=ReportTable(("Region", "Class"), (Row(("left", "Fat"), starts=True),), (0, 1), 1),
        histograms=(HistogramPart("Fat", "#0a84ff", np.linspace(0, 1, 10), 0.45),),
        tiles=(TileGroup("Fat", "#0a84ff", "One of 1 tile.", (tile,)),),
        facts=(
            Facts("Tissue", (("Analyzed tissue", "1 mm²"),)),
            Facts("Model", (("Name", "tiny"),)),
        ),
        metrics=ReportTable(("Metric", "Value", "How"), (Row(("AUC", "0.9", "folds")),), (0, 2)),
        manifest_json="{}",
    )


def headings(report: Report) -> list[str]:
    return [section.heading for section in sections(report) if section.heading]


def test_page_and_pdf_have_the_same_sections_in_the_same_order(
    report: Report, tmp_path: Path
) -> None:
    page, pdf = tmp_path / "r.html", tmp_path / "r.pdf"
    render_report(page, report)
    render_pdf(pdf, report)
    shown = page.read_text(encoding="utf-8")
    text = subprocess.run(
        ["pdftotext", "-layout", str(pdf), "-"], capture_output=True, text=True, check=True
    ).stdout
    assert len(headings(report)) > 5
    for medium in (shown, text):
        places = [medium.index(heading) for heading in headings(report)]
        assert places == sorted(places)
    for part in report.histograms:
        assert chart_caption(part) in shown
        assert f'fill="{part.color}"' in shown
    assert all(f"background: {row.color}" in shown for row in report.findings.rows if row.color)


def test_what_a_report_lacks_has_no_section(report: Report) -> None:
    bare = replace(report, regions=None, histograms=(), tiles=(), metrics=None)
    assert {"Regions", "Probabilities"}.isdisjoint(headings(bare))
    assert headings(bare)[0] == "Findings"
    assert headings(bare)[-1] == "Manifest"
