"""Reports as a page and as a PDF say the same, and no more than they may."""

from __future__ import annotations

import csv
import html
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_liverdx.core.errors import PlanError, StorageFullError
from napari_liverdx.core.grid import TileIndex
from napari_liverdx.core.prediction_sets import UNCERTAIN_ID
from napari_liverdx.inference.plan import plan_run
from napari_liverdx.inference.run import analyze, make_manifest
from napari_liverdx.models.card import Interval
from napari_liverdx.models.conformal import conformal_quantiles
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.reports.measurements import COLUMNS
from napari_liverdx.reports.write import ReportOptions, report_paths, save_report, top_tiles
from napari_liverdx.results.findings import measure_result
from napari_liverdx.results.measure_settings import MeasureSettings
from napari_liverdx.results.measurement_map import MapKind
from napari_liverdx.results.review_log import Decision, write_decisions
from napari_liverdx.results.store import ResultStore, TileState
from napari_liverdx.slides.slide import Slide
from napari_liverdx.slides.tissue import slide_tissue
from tests.support.models import make_card
from tests.support.reports import findings, pdf_text, text_of
from tests.support.results import PERSON


@pytest.mark.slow
def test_page_and_pdf_say_the_same(store: ResultStore, slide: Slide, tiny: LoadedModel) -> None:
    found = findings(store)
    ranked, _ = top_tiles(store, 2, 0.5, 3)
    store.decisions.put(ranked[0], Decision.accept("fat"))
    store.decisions.put(ranked[1], Decision.reject("fat", "liver"))
    page = save_report(found, store, slide, tiny.card, ReportOptions(("html", "csv", "pdf"), 3))
    fat = found.measures[2]
    assert fat.foci
    said = (
        PERSON,
        "For research use, not for diagnosis.",
        "Liver with fat",
        f"{fat.area_mm2:.3f}",
        f"{fat.percent:.1f}",
        f"{fat.largest_focus_mm:.2f}",
        "Field <A> & B",
        f"{found.regions[0].area_mm2:.3f}",
        "probability ≥ 0.50",
        "mm²",
        "µm/px",
        "accepted in review",
        "rejected in review: Liver without fat",
        f"{store.tile_probabilities[2, ranked[0].row, ranked[0].col]:.3f}",
        "Calibration not reported in the model card",
        "The model card holds no calibration scores",
        "This model has no reference statistics",
        store.manifest.slide_fingerprint,
    )
    for text in (text_of(page), pdf_text(page.with_suffix(".pdf"), "-raw")):
        flat = " ".join(text.split())
        for words in said:
            assert words in flat, words
    content = page.read_text(encoding="utf-8")
    assert content.count("data:image/png;base64,") == 2
    assert content.count("data:image/jpeg;base64,") == 3
    assert content.count("<svg") == 1
    rows = list(csv.reader(page.with_suffix(".csv").read_text().splitlines()))
    assert rows[0] == list(COLUMNS)
    assert {row[0] for row in rows[1:]} == {"all analyzed tissue", "Field <A> & B"}


@pytest.mark.slow
@pytest.mark.parametrize("hide", [False, True])
def test_what_a_report_must_not_name(
    tmp_path: Path, store: ResultStore, slide: Slide, tiny: LoadedModel, hide: bool
) -> None:
    warnings = (f"{PERSON} is coarse", "level 2 of Doe_John_1950 is damaged", "doe_john_1950_2.xml")
    warned = store.manifest.model_copy(update={"warnings": warnings})
    store.manifest = warned
    options = ReportOptions(("html", "csv", "pdf"), hide_name=hide)
    page = save_report(findings(store), store, slide, tiny.card, options)
    code = store.manifest.slide_fingerprint[:8]
    hidden = f"{code}.tiny-{store.manifest.model_sha256[:6]}.html"
    assert page.name == (hidden if hide else "Doe_John_1950.tiny.html")
    pdf = page.with_suffix(".pdf")
    facts = pdf_text(pdf, "-raw")
    content = re.sub(r"data:image/[^\"]*", "", page.read_text(encoding="utf-8"))
    texts = [content, page.with_suffix(".csv").read_text(), facts]
    for text in texts:
        assert str(tmp_path) not in text
        assert tmp_path.name not in text
        assert not (hide and "doe_john" in text.lower())
    assert (code if hide else PERSON) in facts
    raw = pdf.read_bytes()
    assert tmp_path.name.encode() not in raw
    assert not (hide and b"Doe_John" in raw)
    assert b"anonymous" not in raw
    # Nothing is fetched from elsewhere, and nothing runs.
    assert not re.search(r"https?://|<script|<link|url\(|@import", content)
    manifest = json.loads(html.unescape(content.split("<pre>")[1].split("</pre>")[0]))
    assert manifest["slide_name"] == (code if hide else PERSON)
    assert manifest["model_sha256"] == store.manifest.model_sha256


@pytest.mark.slow
def test_a_full_disk_keeps_the_old_files(
    store: ResultStore, slide: Slide, tiny: LoadedModel, tmp_path: Path
) -> None:
    """The system refuses files beyond a size, as it refuses any file on a full disk."""
    resource = pytest.importorskip("resource")
    folder = tmp_path / "report"
    found = findings(store)
    options = ReportOptions(("html", "csv", "pdf"), folder=folder)
    save_report(found, store, slide, tiny.card, options)
    write_decisions(folder / "review.csv", store.decisions, store.manifest.grid)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    assert len(before) == 4
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))
    try:
        for name in ("csv", "html", "pdf"):
            with pytest.raises(StorageFullError):
                save_report(found, store, slide, tiny.card, replace(options, formats=(name,)))
        with pytest.raises(StorageFullError):
            write_decisions(folder / "review.csv", store.decisions, store.manifest.grid)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


@pytest.mark.slow
def test_a_chosen_error_rate_is_explained(store: ResultStore, slide: Slide) -> None:
    rates, quantiles = [0.05, 0.1], [None, 0.4]
    scores = {"groups": 9, "samples": 1234, "rates": rates, "quantiles": quantiles}
    card = make_card(
        conformal={"cell": scores, "tile": {**scores, "samples": 77}},
        temperature=1.5,
        metrics={"expected calibration error, all": Interval(value=0.02, low=0.01, high=0.03)},
    )
    settings = MeasureSettings(error_rate=0.1)
    found = measure_result(store, settings, conformal_quantiles(card, 0.1))
    page = save_report(found, store, slide, card)
    text = " ".join(text_of(page).split())
    assert "1,234 held-out map pixels of 9 groups" in text
    assert "with a probability of 0.9 or more" in text
    assert "expected calibration error, all 0.020 (0.010 to 0.030)" in text
    assert "1.5: logits were divided by it" in text
    assert "Uncertain" in text
    assert "error rate 0.1" in text
    uncertain = found.measures[-1]
    assert uncertain.name == UNCERTAIN_ID
    assert f"{uncertain.area_mm2:.3f}" in text


@pytest.mark.slow
def test_basis_is_named_and_measured(store: ResultStore, slide: Slide, tiny: LoadedModel) -> None:
    pages = {}
    for map_kind in MapKind:
        found = findings(store, map_kind)
        page = save_report(found, store, slide, tiny.card)
        pages[map_kind] = page.read_text(encoding="utf-8")
        rows = list(csv.DictReader(page.with_suffix(".csv").read_text().splitlines()))
        assert {row["basis"] for row in rows} == {map_kind.value}
        assert float(rows[2]["area_mm2"]) == pytest.approx(found.measures[2].area_mm2, abs=1e-6)
    assert "fine map" in pages[MapKind.SUBTILES]
    assert "cover the box" in pages[MapKind.TILES_AVERAGED]
    # The image is of what was measured, too.
    pictures = [re.findall(r'png;base64,([^"]*)"', page) for page in pages.values()]
    assert pictures[0][0] == pictures[1][0]
    assert pictures[0][1] != pictures[1][1]


def test_without_its_slide_a_report_has_no_tile_pictures(
    tmp_path: Path, store: ResultStore, tiny: LoadedModel
) -> None:
    options = ReportOptions(folder=tmp_path / "new" / "folder")
    page = save_report(findings(store), store, None, tiny.card, options)
    assert page.parent == tmp_path / "new" / "folder"
    content = page.read_text(encoding="utf-8")
    assert "data:image/jpeg" not in content
    assert "The slide was not at hand" in content


def test_suspicious_tiles_reach_the_threshold_and_lie_apart(store: ResultStore) -> None:
    rows, cols = store.state.shape
    store.state[...] = TileState.DONE
    store.state[0, 0] = TileState.FAILED
    store.tile_probabilities[2] = np.arange(rows * cols).reshape(rows, cols)[::-1, ::-1] / 100
    found, reached = top_tiles(store, 2, 0.05, 4)
    assert found[:2] == (TileIndex(0, 1), TileIndex(0, 2))
    assert (len(found), reached) == (4, rows * cols - 6)
    assert top_tiles(store, 2, 0.9, 4) == ((), 0)
    half = replace(
        store.manifest.grid, stride_x=112, stride_y=112, width=(cols + 1) * 112,
        height=(rows + 1) * 112,
    )  # fmt: skip
    store.manifest = store.manifest.model_copy(update={"grid": half})
    found, _ = top_tiles(store, 2, 0.05, 99)
    assert found[:2] == (TileIndex(0, 1), TileIndex(0, 3))
    for i, a in enumerate(found):
        assert all(max(abs(a.row - b.row), abs(a.col - b.col)) > 1 for b in found[:i])


def test_unknown_formats_are_refused(store: ResultStore) -> None:
    with pytest.raises(PlanError, match="no report as 'doc'"):
        report_paths(store, ("html", "doc"))


@pytest.mark.slow
def test_a_running_analysis_gives_a_report_that_says_so(
    tmp_path: Path, slide: Slide, tiny: LoadedModel
) -> None:
    plan = plan_run(slide.levels, slide.mpp, slide_tissue(slide), tiny.card, batch_size=4)
    store = ResultStore.create(
        tmp_path / "p.liverdx.zarr", make_manifest(plan, slide, tiny), plan.tissue, plan.tiles
    )
    steps = analyze(plan, slide, tiny, store)
    next(steps)
    steps.close()
    page = save_report(findings(store), store, slide, tiny.card)
    assert "This run is not finished" in text_of(page)
