"""Measuring and exporting, without a napari window."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtTest import QTest

from napari_liverdx.exports.registry import EXPORTS, Export
from napari_liverdx.results.measurement_map import MapKind
from napari_liverdx.widgets.analyze_dock import LiverDxDock
from napari_liverdx.widgets.pages.measure_page import MeasurePage
from tests.support.paths import CMU
from tests.support.window import analyze, choose, click, notes, open_in, wait, wait_paint


def measure_page(dock: LiverDxDock) -> MeasurePage:
    (index,) = [i for i in range(dock.tabs.count()) if dock.tabs.tabText(i) == "Measure"]
    dock.tabs.setCurrentIndex(index)
    wait_paint()
    return dock.tabs.widget(index)


def rows(page: MeasurePage) -> list[list[str]]:
    table = page.table
    subtiles = [[table.item(r, c) for c in range(5)] for r in range(table.rowCount())]
    return [["" if subtile is None else subtile.text() for subtile in row] for row in subtiles]


@pytest.mark.slow
def test_histogram_regions_and_table(
    viewer: ViewerModel, dock: LiverDxDock, small_slide: Path
) -> None:
    open_in(dock, small_slide)
    analyze(dock)
    results = dock.controller.results
    assert results is not None
    store = results.store
    store.probabilities[2] = 0.2
    store.probabilities[2, 2:6, 2:6] = 0.9
    store.probabilities[2, 20, 20] = 0.9
    dock.controller.findings.refresh(force=True)
    page = measure_page(dock)

    # Dragging the line on the histogram moves the threshold everywhere.
    plot = page.plot
    y = plot.height() // 2
    start, end = (QPoint(round(plot.x_of(v)), y) for v in (0.5, 0.7))
    QTest.mousePress(plot, Qt.MouseButton.LeftButton, pos=start)
    QTest.mouseMove(plot, (start + end) / 2)
    QTest.mouseMove(plot, end)
    QTest.mouseRelease(plot, Qt.MouseButton.LeftButton, pos=end)
    wait_paint()
    threshold = dock.state.settings.thresholds["fat"]
    assert threshold == pytest.approx(0.7, abs=0.01)
    assert dock.findings_panel.sliders["fat"].value() == pytest.approx(threshold)
    assert viewer.layers["Liver with fat · small"].contrast_limits[0] == pytest.approx(threshold)
    QTest.keyClick(plot, Qt.Key.Key_Left)
    assert dock.state.settings.thresholds["fat"] == pytest.approx(threshold - 0.01)
    wait_paint()

    # Two foci, the larger a square of four map pixels of 16 µm.
    fat = rows(page)[3]
    assert fat[0] == "Liver with fat"
    assert fat[3] == "2"
    assert fat[4] == f"{4 * 0.016 * 2**0.5:.2f}"
    subtiles = store.tissue_subtiles() & (store.probabilities[2] > 0.5)
    assert float(fat[1]) == pytest.approx(subtiles.sum() * 256e-6, abs=5e-4)

    # A drawn region is measured by itself, and again when it is changed.
    click(page.draw)
    layer = viewer.layers["Regions to measure · small"]
    corners = np.array([[0, 0], [0, 112], [112, 112], [112, 0]], float) - 0.25
    layer.add_rectangles([corners])
    wait(lambda: len(rows(page)) == 8)
    assert rows(page)[4][0].startswith("Region 1")
    assert rows(page)[7][3] == "1"
    before = rows(page)[7][1]
    layer.data = [corners / 2]
    wait(lambda: rows(page)[7][1] != before)

    # Tiles are another basis.
    map_kind = page.map_kind
    choose(map_kind, MapKind.TILES)
    assert rows(page)[3][1] != fat[1]
    choose(map_kind, MapKind.SUBTILES)
    assert rows(page)[3][1] == fat[1]

    # What is copied is what is shown.
    click(page.copy)
    clipboard = QGuiApplication.clipboard()
    assert clipboard is not None
    copied = list(csv.DictReader(io.StringIO(clipboard.text()), delimiter="\t"))
    assert [r["region"] for r in copied].count("Region 1") == 3
    assert copied[2]["foci"] == "2"
    assert f"{float(copied[2]['area_mm2']):.3f}" == fat[1]
    out = small_slide.parent / "table.csv"
    page.save_table(out)
    saved = list(csv.DictReader(io.StringIO(out.read_text(encoding="utf-8"))))
    assert [list(r.values()) for r in saved] == [list(r.values()) for r in copied]

    # Regions drawn on one slide are not measured on another.
    assert len(dock.controller.findings.regions) == 1
    other = small_slide.parent / "other.tif"
    shutil.copyfile(CMU, other)
    open_in(dock, other)
    assert dock.controller.findings.regions == ()
    assert page.regions.currentIndex() == 0
    dock.slide_panel.layer_chosen.emit("small")
    wait(lambda: len(rows(page)) == 4)
    page.regions.setCurrentIndex(page.regions.findData(layer.name))
    page.regions.activated.emit(page.regions.currentIndex())
    wait(lambda: len(rows(page)) == 8)

    # A removed layer is measured no more.
    viewer.layers.remove(layer)
    wait(lambda: len(rows(page)) == 4)


def test_exports_from_the_page(
    viewer: ViewerModel, dock: LiverDxDock, small_slide: Path, tmp_path: Path
) -> None:
    open_in(dock, small_slide)
    analyze(dock)
    page = measure_page(dock)
    dock.controller.findings.set_threshold("fat", 0.25)
    out = tmp_path / "out.geojson"
    page.export_to("geojson", out)
    wait(lambda: page.said.text().startswith("Saved"))
    features = json.loads(out.read_text())["features"]
    kinds = {f["properties"]["objectType"] for f in features}
    assert kinds >= {"annotation"}
    found = [f["properties"] for f in features if f["properties"]["objectType"] == "annotation"]
    areas = [p["measurements"] for p in found]
    total = sum(next(v for k, v in m.items() if "mm" in k) for m in areas)
    assert total == pytest.approx(dock.state.measures[2].area_mm2, rel=1e-3)

    with notes() as told:
        page.export_to("csv", out / "x.csv")
        wait(lambda: page.said.text() == "Nothing was written")
    assert any("x.csv" in text for text in told)


def test_the_page_offers_every_export(
    viewer: ViewerModel, qtbot: object, request: pytest.FixtureRequest
) -> None:
    mine = Export("mine", "My export", ".mine", lambda store, path, options: None)
    EXPORTS.register("mine", mine)
    request.addfinalizer(lambda: EXPORTS.unregister("mine"))
    dock: LiverDxDock = request.getfixturevalue("dock")
    page = measure_page(dock)
    assert list(page.exports) == list(EXPORTS)
    assert page.exports["mine"].text() == "My export…"
    assert "SVS" in dock.slide_panel.open_button.toolTip()


@pytest.mark.slow
def test_report_from_the_page(dock: LiverDxDock, small_slide: Path) -> None:
    open_in(dock, small_slide)
    analyze(dock)
    page = measure_page(dock)
    page.hide_name.click()
    assert page.hide_name.isChecked()
    # Both buttons keep the name out.
    dock.show_page("analyze")
    click(dock.findings_panel.report_button)
    wait(lambda: dock.state.run.message.startswith("Report saved"))
    measure_page(dock)
    click(page.report)
    wait(lambda: page.said.text().startswith("Report saved"))
    results = dock.controller.results
    assert results is not None
    folder = results.store.path.parent
    (report,), (pdf,) = folder.glob("*.html"), folder.glob("*.pdf")
    text = report.read_text(encoding="utf-8")
    assert "small.tif" not in text
    assert "small" not in report.name
    assert results.store.manifest.slide_fingerprint[:8] in text
    assert pdf.read_bytes().startswith(b"%PDF")
