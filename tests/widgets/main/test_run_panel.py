"""A run asked for in the dock, without a napari window."""

from __future__ import annotations

from pathlib import Path

import pytest
from napari.components import ViewerModel

from napari_liverdx.session.state import AnalysisRegion, RunStatus
from napari_liverdx.widgets.analyze_dock import LiverDxDock
from tests.support.paths import one
from tests.support.slides import corrupt_tile
from tests.support.window import analyze, choose, click, open_in, wait


@pytest.mark.slow
def test_current_view_and_drawn_shapes(
    viewer: ViewerModel, dock: LiverDxDock, small_slide: Path
) -> None:
    open_in(dock, small_slide)
    analyze(dock)
    whole = dock.state.run.progress.total
    choose(dock.run_panel.analysis_region, AnalysisRegion.VIEW)
    getattr(viewer, "scene", viewer).camera.zoom *= 4
    analyze(dock)
    assert 0 < dock.state.run.progress.total < whole
    click(dock.run_panel.draw_button)
    assert dock.state.run.analysis_region is AnalysisRegion.SHAPES
    shapes = viewer.layers["Regions to analyze"]
    analyze(dock)
    assert dock.state.run.status is RunStatus.FAILED
    assert "no closed shape" in dock.state.run.message
    shapes.add_rectangles([[[100, 100], [100, 200], [200, 200], [200, 100]]])
    analyze(dock)
    assert dock.state.run.status is RunStatus.FINISHED
    assert dock.controller.results is not None
    x, y = dock.controller.results.store.origin
    assert (x, y) == (200, 200)
    assert dock.controller.results.store.tissue_subtiles().sum() <= 7 * 7


def test_pointing_at_a_tile_tells_its_values(
    viewer: ViewerModel, dock: LiverDxDock, small_slide: Path
) -> None:
    open_in(dock, small_slide)
    analyze(dock)
    viewer.cursor.position = (300 * 0.5, 500 * 0.5)
    text = dock.findings_panel.hover.text()
    assert text.startswith("Tile 1, 2:")
    assert "Liver with fat 0." in text
    viewer.cursor.position = (-500.0, -500.0)
    assert "Point at" in dock.findings_panel.hover.text()
    tiles = viewer.layers["Tiles · small"]
    tiles.visible = True
    status = tiles.get_status((300 * 0.5, 500 * 0.5), world=True)
    assert "fat: 0." in status["value"] or "fat: 0." in status["coordinates"]


def test_corrupt_tile_is_counted(dock: LiverDxDock, small_slide: Path) -> None:
    corrupt_tile(small_slide, 3 * 9 + 4)
    open_in(dock, small_slide)
    analyze(dock)
    assert dock.state.run.status is RunStatus.FINISHED
    assert "could not be read" in dock.state.run.message
    assert dock.state.run.progress.failed >= 1


def test_unwritable_folder_is_told(
    dock: LiverDxDock, small_slide: Path, told: list[str], tmp_path: Path
) -> None:
    open_in(dock, small_slide)
    blocker = tmp_path / "file"
    blocker.write_text("in the way")
    dock.state.run.out_folder = blocker / "results"
    analyze(dock)
    assert dock.state.run.status is RunStatus.FAILED
    assert "cannot be written" in told[-1]


def test_removing_the_slide_during_a_run_is_safe(
    viewer: ViewerModel, dock: LiverDxDock, small_slide: Path
) -> None:
    open_in(dock, small_slide)
    click(dock.run_panel.analyze_button)
    viewer.layers.remove("small")
    wait(lambda: not dock.controller.is_busy)
    assert dock.state.slide.facts is None
    assert dock.slide_panel.dimensions.text() == "–"
    assert not dock.run_panel.analyze_button.isEnabled()
    assert dock.state.run.status is RunStatus.IDLE


@pytest.mark.slow
def test_report_is_saved(dock: LiverDxDock, small_slide: Path) -> None:
    open_in(dock, small_slide)
    assert not dock.findings_panel.report_button.isEnabled()
    analyze(dock)
    click(dock.findings_panel.report_button)
    wait(lambda: not dock.controller.is_busy)
    page = one(small_slide.parent / "results", "small.tiny-*.html")
    assert "not for diagnosis" in page.read_text(encoding="utf-8")
    assert dock.state.run.message.endswith(str(page))
