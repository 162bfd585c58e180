"""A run in a real window: live layers, cancel, damage, closing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from napari.components import ViewerModel

from napari_liverdx.models.file import load_model_file, save_model_file
from napari_liverdx.results.store import ResultStore, TileState
from napari_liverdx.session.state import AnalysisRegion, RunStatus
from napari_liverdx.widgets.analyze_dock import LiverDxDock
from tests.support.models import make_card
from tests.support.paths import one
from tests.support.slides import corrupt_tile
from tests.support.window import analyze, choose, click, open_in, wait

pytestmark = pytest.mark.gui


def test_layers_fill_while_it_runs_and_cancel_keeps_them(
    viewer: ViewerModel, dock: LiverDxDock, tmp_path: Path
) -> None:
    dock.controller.choose_model("liver-steatosis")
    viewer.open_sample("napari-liverdx", "liver")
    wait(lambda: not dock.controller.is_busy)
    dock.state.out_folder = tmp_path / "results"
    click(dock.run_panel.analyze_button)
    assert dock.run_panel.cancel_button.isEnabled()
    assert not dock.run_panel.analyze_button.isEnabled()
    wait(lambda: (p := dock.state.progress) is not None and 0 < p.done < p.total)
    wait(lambda: len(dock.state.measures) == 3)
    layer = viewer.layers["Liver with fat · liver-sample"]
    assert layer.data.max() > 0
    assert "tiles/s" in dock.run_panel.message.text()
    assert "left" in dock.run_panel.message.text()
    click(dock.run_panel.cancel_button)
    wait(lambda: not dock.state.status.is_active)
    progress = dock.state.progress
    assert progress is not None
    assert dock.state.status is RunStatus.STOPPED
    assert 0 < progress.done < progress.total
    assert dock.controller.results is not None
    kept = ResultStore.open(dock.controller.results.store.path)
    assert kept.count(TileState.DONE) == progress.done
    analyze(dock)
    assert dock.state.status is RunStatus.FINISHED
    assert dock.state.progress.done == progress.total
    assert sum(layer.name.startswith("Liver with fat") for layer in viewer.layers) == 1


def test_current_view_and_drawn_shapes(
    viewer: ViewerModel, dock: LiverDxDock, small_slide: Path
) -> None:
    open_in(dock, small_slide)
    analyze(dock)
    whole = dock.state.progress.total
    choose(dock.run_panel.analysis_region, AnalysisRegion.VIEW)
    getattr(viewer, "scene", viewer).camera.zoom *= 4
    analyze(dock)
    assert 0 < dock.state.progress.total < whole
    click(dock.run_panel.draw_button)
    assert dock.state.analysis_region is AnalysisRegion.SHAPES
    shapes = viewer.layers["Regions to analyse"]
    analyze(dock)
    assert dock.state.status is RunStatus.FAILED
    assert "no closed shape" in dock.state.message
    shapes.add_rectangles([[[100, 100], [100, 200], [200, 200], [200, 100]]])
    analyze(dock)
    assert dock.state.status is RunStatus.FINISHED
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
    assert dock.state.status is RunStatus.FINISHED
    assert "could not be read" in dock.state.message
    assert dock.state.progress.failed >= 1


def test_result_of_another_model_is_left_alone(
    dock: LiverDxDock, small_slide: Path, told: list[str], tiny_file: Path, tmp_path: Path
) -> None:
    open_in(dock, small_slide)
    analyze(dock)
    other = tmp_path / "tiny2.safetensors"
    save_model_file(other, load_model_file(tiny_file).network, make_card(version="2"))
    dock.controller.choose_model(str(other))
    analyze(dock)
    assert dock.state.status is RunStatus.FAILED
    assert "another run" in told[-1]
    # A run of another extent has a place of its own.
    dock.controller.choose_model(str(tiny_file))
    dock.state.overlap = 2 / 7
    analyze(dock)
    assert dock.state.status is RunStatus.FINISHED


def test_unwritable_folder_is_told(
    dock: LiverDxDock, small_slide: Path, told: list[str], tmp_path: Path
) -> None:
    open_in(dock, small_slide)
    blocker = tmp_path / "file"
    blocker.write_text("in the way")
    dock.state.out_folder = blocker / "results"
    analyze(dock)
    assert dock.state.status is RunStatus.FAILED
    assert "cannot be written" in told[-1]


def test_removing_the_slide_during_a_run_is_safe(
    viewer: ViewerModel, dock: LiverDxDock, small_slide: Path
) -> None:
    open_in(dock, small_slide)
    click(dock.run_panel.analyze_button)
    viewer.layers.remove("small")
    wait(lambda: not dock.controller.is_busy)
    assert dock.state.slide is None
    assert dock.slide_panel.size.text() == "–"
    assert not dock.run_panel.analyze_button.isEnabled()
    assert dock.state.status is RunStatus.IDLE


def test_report_is_saved(dock: LiverDxDock, small_slide: Path) -> None:
    open_in(dock, small_slide)
    assert not dock.findings_panel.report_button.isEnabled()
    analyze(dock)
    click(dock.findings_panel.report_button)
    wait(lambda: not dock.controller.is_busy)
    page = one(small_slide.parent / "results", "small.tiny-*.html")
    assert "not for diagnosis" in page.read_text(encoding="utf-8")
    assert dock.state.message.endswith(str(page))


@pytest.mark.parametrize("how", ["window", "dock"])
def test_closing_during_a_run_stops_it_and_keeps_the_tiles(
    viewer: ViewerModel, dock: LiverDxDock, tmp_path: Path, how: str
) -> None:
    dock.controller.choose_model("liver-steatosis")
    viewer.open_sample("napari-liverdx", "liver")
    wait(lambda: not dock.controller.is_busy)
    dock.state.out_folder = tmp_path / "results"
    click(dock.run_panel.analyze_button)
    wait(lambda: (p := dock.state.progress) is not None and 0 < p.done < p.total)
    controller = dock.controller
    if how == "window":
        viewer.close()
    else:
        viewer.window.remove_dock_widget(dock)
    wait(lambda: not controller.is_busy)
    kept = ResultStore.open(
        one(tmp_path / "results", "liver-sample.liver-steatosis-*.liverdx.zarr")
    )
    assert kept.count(TileState.DONE) > 0
    assert not kept.is_complete


FULL_DISK = """
import resource, sys
from pathlib import Path
import napari
from qtpy.QtCore import QEventLoop, QTimer
from napari_liverdx.session.state import RunStatus

slide, model, out = sys.argv[1:]
viewer = napari.Viewer(show=False)
_, dock = viewer.window.add_plugin_dock_widget("napari-liverdx", "Analyze slide")

def wait(condition):
    loop, timer = QEventLoop(), QTimer()
    timer.timeout.connect(lambda: condition() and loop.quit())
    timer.start(5)
    loop.exec()

dock.controller.choose_model(model)
dock.controller.open_path(Path(slide))
wait(lambda: not dock.controller.is_busy)
dock.state.out_folder = Path(out)
# Room for the result's description, not for its maps.
resource.setrlimit(resource.RLIMIT_FSIZE, (7000, -1))
dock.run_panel.analyze_button.click()
wait(lambda: not dock.controller.is_busy)
resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
print(dock.state.status.value, dock.run_panel.message.text())
viewer.close()
"""


def test_full_disk_is_told_in_the_dock(
    small_slide: Path, tiny_file: Path, tmp_path: Path, qapp: object
) -> None:
    script = tmp_path / "full.py"
    script.write_text(FULL_DISK)
    arguments = [str(small_slide), str(tiny_file), str(tmp_path / "results")]
    outcome = subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, text=True, check=False
    )
    last = outcome.stdout.splitlines()[-1]
    assert last.startswith("failed"), outcome.stderr[-2000:]
    assert "disk is full" in last
    assert "Traceback" not in outcome.stderr
