"""A run in a real window: live layers, cancel, damage, closing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from napari.components import ViewerModel

from napari_liverdx.results.store import ResultStore, TileState
from napari_liverdx.session.state import RunStatus
from napari_liverdx.widgets.analyze_dock import LiverDxDock
from tests.support.paths import one
from tests.support.window import analyze, click, wait

pytestmark = pytest.mark.gui


def test_layers_fill_while_it_runs_and_cancel_keeps_them(
    viewer: ViewerModel, dock: LiverDxDock, tmp_path: Path
) -> None:
    dock.controller.choose_model("liver-steatosis")
    viewer.open_sample("napari-liverdx", "liver")
    wait(lambda: not dock.controller.is_busy)
    dock.state.run.out_folder = tmp_path / "results"
    click(dock.run_panel.analyze_button)
    assert dock.run_panel.cancel_button.isEnabled()
    assert not dock.run_panel.analyze_button.isEnabled()
    wait(lambda: (p := dock.state.run.progress) is not None and 0 < p.done < p.total)
    wait(lambda: len(dock.state.measures) == 3)
    layer = viewer.layers["Liver with fat · liver-sample"]
    assert layer.data.max() > 0
    assert "tiles/s" in dock.run_panel.message.text()
    assert "left" in dock.run_panel.message.text()
    click(dock.run_panel.cancel_button)
    wait(lambda: not dock.state.run.status.is_active)
    progress = dock.state.run.progress
    assert progress is not None
    assert dock.state.run.status is RunStatus.STOPPED
    assert 0 < progress.done < progress.total
    assert dock.controller.results is not None
    kept = ResultStore.open(dock.controller.results.store.path)
    assert kept.count(TileState.DONE) == progress.done
    analyze(dock)
    assert dock.state.run.status is RunStatus.FINISHED
    assert dock.state.run.progress.done == progress.total
    assert sum(layer.name.startswith("Liver with fat") for layer in viewer.layers) == 1


@pytest.mark.parametrize("how", ["window", "dock"])
def test_closing_during_a_run_stops_it_and_keeps_the_tiles(
    viewer: ViewerModel, dock: LiverDxDock, tmp_path: Path, how: str
) -> None:
    dock.controller.choose_model("liver-steatosis")
    viewer.open_sample("napari-liverdx", "liver")
    wait(lambda: not dock.controller.is_busy)
    dock.state.run.out_folder = tmp_path / "results"
    click(dock.run_panel.analyze_button)
    wait(lambda: (p := dock.state.run.progress) is not None and 0 < p.done < p.total)
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
dock.state.run.out_folder = Path(out)
# Room for the result's description, not for its maps.
resource.setrlimit(resource.RLIMIT_FSIZE, (7000, -1))
dock.run_panel.analyze_button.click()
wait(lambda: not dock.controller.is_busy)
resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
print(dock.state.run.status.value, dock.run_panel.message.text())
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
