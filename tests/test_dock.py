"""The dock in a real napari window: clicks, pixels, damage."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_liverdx.core.resolution import Mpp
from napari_liverdx.models.file import load_model_file, save_model_file
from napari_liverdx.results.store import ResultStore, TileState
from napari_liverdx.session.state import Extent, RunStatus
from napari_liverdx.slides.open import open_slide
from napari_liverdx.viewer.reader import get_reader
from napari_liverdx.widgets.analyze_dock import LiverDxDock
from napari_liverdx.widgets.main.model_panel import CardDialog

from .conftest import CMU, make_card, write_pyramid
from .test_slides import corrupt_tile
from .window import analyze, canvas, click, open_in, wait, wait_paint

pytestmark = pytest.mark.gui


# -- reading --


def test_reader_gives_a_lazy_layer_in_micrometres(viewer: ViewerModel) -> None:
    (layer,) = viewer.open(str(CMU), plugin="napari-liverdx")
    assert layer.rgb
    assert tuple(layer.scale) == (0.499, 0.499)
    assert [str(u) for u in layer.units] == ["micrometer", "micrometer"]
    viewer.layers.clear()


def test_reader_steps_aside_for_what_is_no_slide(tmp_path: Path) -> None:
    text = tmp_path / "a.tif"
    text.write_text("no picture")
    assert get_reader(str(text)) is None
    assert get_reader([str(CMU), str(text)]) is None
    assert get_reader(str(CMU)) is not None


def test_sample_opens_from_the_menu_entry(viewer: ViewerModel, dock: LiverDxDock) -> None:
    (layer,) = viewer.open_sample("napari-liverdx", "liver")
    assert layer.multiscale
    assert [a.shape[1] for a in layer.data] == [4224, 2112, 1056, 528]
    wait(lambda: not dock.controller.is_busy)
    assert dock.controller.layer is layer
    assert "2.11 × 1.41 mm" in dock.slide_panel.size.text()
    assert dock.slide_panel.tissue.text() == "0.87 mm²"
    assert "0.5 µm/px (OME PhysicalSize)" in dock.slide_panel.mpp.text()


# -- a whole run --


def test_analyze_fills_layers_and_table(
    viewer: ViewerModel, dock: LiverDxDock, small_slide: Path
) -> None:
    open_in(dock, small_slide)
    assert dock.run_panel.analyze_button.isEnabled()
    analyze(dock)
    assert dock.state.status is RunStatus.FINISHED
    assert dock.state.message.startswith("Finished")
    names = [layer.name for layer in viewer.layers]
    assert names == ["small", "Tiles · small", "Liver with fat · small"]
    assert dock.findings_panel.table.rowCount() == 3
    store = ResultStore.open(small_slide.parent / "results" / "small.tiny.liverdx.zarr")
    assert store.is_complete
    layer = viewer.layers["Liver with fat · small"]
    assert (layer.data == store.probabilities[2]).all()


def test_dock_equals_command_line(
    dock: LiverDxDock, small_slide: Path, tiny_file: Path, tmp_path: Path
) -> None:
    from typer.testing import CliRunner

    from napari_liverdx.cli.app import app

    open_in(dock, small_slide)
    analyze(dock)
    out = tmp_path / "cli"
    arguments = ["analyze", str(small_slide), "--out", str(out), "--model", str(tiny_file)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    cli = ResultStore.open(out / "small.tiny.liverdx.zarr")
    assert dock.controller.results is not None
    shown = dock.controller.results.store
    assert np.array_equal(cli.state, shown.state)
    assert np.allclose(cli.probabilities, shown.probabilities, atol=1e-6)
    row = (out / "small.tiny.csv").read_text().splitlines()[3].split(",")
    assert dock.findings_panel.table.item(2, 1).text() == f"{float(row[3]):.3f}"


def stamp(store: ResultStore, cells: list[tuple[int, int]]) -> None:
    """Probability 1 in some cells, 0 in all others."""
    store.probabilities[:] = 0
    for row, col in cells:
        store.probabilities[2, row, col] = 1


@pytest.mark.parametrize("overlap", [0.0, 4 / 7])
def test_layer_lies_exactly_over_the_tissue(
    viewer: ViewerModel, dock: LiverDxDock, tmp_path: Path, overlap: float
) -> None:
    """Black cells are painted into the slide; the map must cover these pixels and no others."""
    cell = 32
    pixels = np.full((896, 1120, 3), (205, 140, 180), np.uint8)
    cells = [(3, 5), (10, 20), (27, 34)]
    for row, col in cells:
        pixels[row * cell : (row + 1) * cell, col * cell : (col + 1) * cell] = 0
    path = tmp_path / "marked.tif"
    write_pyramid(path, pixels)
    open_in(dock, path)
    dock.state.overlap = overlap
    analyze(dock)
    assert dock.controller.results is not None
    stamp(dock.controller.results.store, cells)
    dock.controller.results.refresh(tiles=False)
    layer = viewer.layers["Liver with fat · marked"]
    layer.opacity = 1.0
    viewer.reset_view()
    shown = canvas(viewer)
    layer.visible = False
    plain = canvas(viewer)
    covered = (np.abs(shown - plain) > 30).any(axis=2)
    black = (plain < 40).all(axis=2) & _inside(viewer, plain)
    assert black.sum() > 100
    # One screen pixel at the edge of a cell may fall to either side.
    different = covered ^ black
    assert different.sum() <= 0.12 * black.sum()
    from scipy.ndimage import binary_erosion

    assert not binary_erosion(different, np.ones((3, 3))).any()


def _inside(viewer: ViewerModel, picture: np.ndarray) -> np.ndarray:
    """Screen pixels on the slide, which is pink where it is not black."""
    pink = (picture > 100).all(axis=2)
    rows, cols = np.flatnonzero(pink.any(1)), np.flatnonzero(pink.any(0))
    inside = np.zeros(pink.shape, bool)
    inside[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1] = True
    return inside


def test_threshold_acts_on_layer_and_table_without_a_run(
    viewer: ViewerModel, dock: LiverDxDock, small_slide: Path
) -> None:
    open_in(dock, small_slide)
    analyze(dock)
    results = dock.controller.results
    assert results is not None
    values = np.linspace(0, 1, results.store.probabilities[2].size)
    results.store.probabilities[2] = values.reshape(results.store.probabilities[2].shape)
    results.refresh(tiles=False)
    layer = viewer.layers["Liver with fat · small"]
    layer.opacity = 1.0
    layer.visible = False
    plain = canvas(viewer)
    layer.visible = True
    runs = dock.state.run_number
    shares, areas = [], []
    for threshold in (0.1, 0.5, 0.9):
        dock.findings_panel.sliders["fat"].setValue(threshold)
        wait_paint()
        assert tuple(layer.contrast_limits) == pytest.approx((threshold, 1.0))
        shares.append((np.abs(canvas(viewer) - plain) > 12).any(axis=2).sum())
        areas.append(float(dock.findings_panel.table.item(2, 1).text()))
    assert shares[0] > 1.5 * shares[1] > 1.5 * shares[2] > 0
    assert areas[0] > areas[1] > areas[2] > 0
    assert dock.state.run_number == runs
    assert tuple(layer.contrast_limits_range) == (0, 1)


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
    dock.run_panel.extent.setCurrentText(Extent.VIEW.value)
    dock.run_panel.extent.textActivated.emit(Extent.VIEW.value)
    getattr(viewer, "scene", viewer).camera.zoom *= 4
    analyze(dock)
    assert 0 < dock.state.progress.total < whole
    click(dock.run_panel.draw_button)
    assert dock.state.extent is Extent.SHAPES
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
    assert dock.controller.results.store.tissue_cells().sum() <= 7 * 7


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


# -- asking and refusing --


def test_missing_resolution_is_asked_once(
    viewer: ViewerModel, dock: LiverDxDock, tmp_path: Path, sample: object
) -> None:
    path = tmp_path / "no-mpp.tif"
    write_pyramid(path, sample.read_region(0, 1900, 500, 700, 600), mpp=None)
    open_in(dock, path)
    assert not dock.run_panel.analyze_button.isEnabled()
    assert "µm per pixel" in dock.run_panel.message.text()
    assert dock.slide_panel.question.isVisible()
    dock.slide_panel.mpp_box.setValue(0.5)
    click(dock.slide_panel.mpp_button)
    wait(lambda: not dock.controller.is_busy)
    assert not dock.slide_panel.question.isVisible()
    assert tuple(viewer.layers["no-mpp"].scale) == (0.5, 0.5)
    analyze(dock)
    assert dock.state.status is RunStatus.FINISHED
    assert dock.controller.results is not None
    assert dock.controller.results.store.manifest.mpp_source == "given by user"


def test_layer_of_another_reader(
    viewer: ViewerModel, dock: LiverDxDock, sample: object, tmp_path: Path
) -> None:
    pixels = sample.read_region(0, 1900, 500, 700, 600)
    layer = viewer.add_image(pixels, rgb=True, name="foreign", scale=(0.5, 0.5), units=("um", "um"))
    wait(lambda: not dock.controller.is_busy)
    assert dock.controller.layer is layer
    assert dock.state.slide.mpp == Mpp(0.5, 0.5, "layer scale")
    assert dock.slide_panel.tissue.text().endswith("mm²")
    viewer.add_image(np.zeros((30, 30)), name="grey")
    assert dock.slide_panel.choice.count() == 1
    dock.state.out_folder = tmp_path / "results"
    analyze(dock)
    assert dock.state.status is RunStatus.FINISHED
    assert (tmp_path / "results" / "foreign.tiny.liverdx.zarr").exists()


@pytest.fixture
def told(dock: LiverDxDock) -> Iterator[list[str]]:
    """Notifications the user was shown."""
    from napari.utils.notifications import notification_manager

    messages: list[str] = []

    def keep(notification: object) -> None:
        messages.append(str(notification.message))

    notification_manager.notification_ready.connect(keep)
    yield messages
    notification_manager.notification_ready.disconnect(keep)


def test_bad_slides_are_told(dock: LiverDxDock, tmp_path: Path, told: list[str]) -> None:
    text = tmp_path / "text.svs"
    text.write_text("no picture")
    cut = tmp_path / "cut.svs"
    cut.write_bytes(CMU.read_bytes()[:500_000])
    for path, words in ((text, "not an image"), (cut, "truncated"), (tmp_path / "no", "no such")):
        dock.controller.open_path(path)
        assert words in told[-1]
        assert str(path) in told[-1]
    assert len(dock.viewer.layers) == 0


def test_bad_model_keeps_the_good_one(
    dock: LiverDxDock, tmp_path: Path, told: list[str], tiny_file: Path
) -> None:
    bad = tmp_path / "bad.pt"
    bad.write_bytes(b"\x80\x04junk")
    assert not dock.controller.choose_model(str(bad))
    assert "pickle" in told[-1]
    assert dock.state.model == str(tiny_file)


def test_no_tissue_is_told(dock: LiverDxDock, tmp_path: Path, told: list[str]) -> None:
    path = tmp_path / "glass.tif"
    write_pyramid(path, np.full((600, 700, 3), 243, np.uint8))
    open_in(dock, path)
    assert dock.slide_panel.tissue.text() == "none found"
    analyze(dock)
    assert dock.state.status is RunStatus.FAILED
    assert "no tissue" in told[-1]
    assert "no tissue" in dock.run_panel.message.text()


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


def test_notice_is_shown_until_acknowledged(
    viewer: ViewerModel, dock: LiverDxDock, qtbot: object
) -> None:
    assert dock.notice.isVisible()
    click(dock.notice.accept_button)
    assert not dock.notice.isVisible()
    second = LiverDxDock(viewer)
    qtbot.addWidget(second)
    assert second.notice.isHidden()
    second.release()


def test_card_can_be_read(dock: LiverDxDock, qtbot: object) -> None:
    click(dock.model_panel.card_button)
    (dialog,) = dock.findChildren(CardDialog)
    assert dialog.isVisible()
    dialog.reject()


def test_report_is_saved(dock: LiverDxDock, small_slide: Path) -> None:
    open_in(dock, small_slide)
    assert not dock.findings_panel.report_button.isEnabled()
    analyze(dock)
    click(dock.findings_panel.report_button)
    wait(lambda: not dock.controller.is_busy)
    page = small_slide.parent / "results" / "small.tiny.html"
    assert "not for diagnosis" in page.read_text(encoding="utf-8")
    assert dock.state.message.endswith(str(page))


def test_nothing_is_cut_off_on_a_small_screen(viewer: ViewerModel, dock: LiverDxDock) -> None:
    viewer.window.resize(1366, 768)
    wait_paint()
    for panel in (dock.slide_panel, dock.model_panel, dock.run_panel, dock.findings_panel):
        assert panel.minimumSizeHint().width() <= dock.width()


def test_a_closed_slide_lets_go_of_its_file(viewer: ViewerModel, dock: LiverDxDock) -> None:
    with open_slide(CMU) as slide:
        assert slide.size == (2220, 2967)
    dock.controller.open_path(CMU)
    wait(lambda: not dock.controller.is_busy)
    viewer.layers.clear()
    assert dock.controller.layer is None


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
    kept = ResultStore.open(tmp_path / "results" / "liver-sample.liver-steatosis.liverdx.zarr")
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


def test_another_slide_starts_with_empty_findings(
    viewer: ViewerModel, dock: LiverDxDock, small_slide: Path
) -> None:
    open_in(dock, small_slide)
    analyze(dock)
    assert dock.findings_panel.table.rowCount() == 3
    dock.controller.open_path(CMU)
    wait(lambda: not dock.controller.is_busy)
    assert dock.findings_panel.table.rowCount() == 0
    assert not dock.findings_panel.report_button.isEnabled()


def test_sliders_show_the_thresholds_that_apply(
    dock: LiverDxDock, tiny_file: Path, tmp_path: Path
) -> None:
    dock.findings_panel.sliders["fat"].setValue(0.85)
    dock.controller.choose_model(str(tiny_file))
    assert dock.state.thresholds["fat"] == pytest.approx(0.85)
    other = tmp_path / "other.safetensors"
    save_model_file(other, load_model_file(tiny_file).network, make_card(version="2"))
    dock.controller.choose_model(str(other))
    assert dock.state.thresholds["fat"] == dock.findings_panel.sliders["fat"].value() == 0.5


def test_a_stated_resolution_can_be_corrected(
    viewer: ViewerModel, dock: LiverDxDock, small_slide: Path
) -> None:
    open_in(dock, small_slide)
    analyze(dock)
    click(dock.slide_panel.edit_button)
    assert dock.slide_panel.question.isVisible()
    dock.slide_panel.mpp_box.setValue(0.4)
    click(dock.slide_panel.mpp_button)
    wait(lambda: not dock.controller.is_busy)
    assert [layer.name for layer in viewer.layers] == ["small"]
    assert dock.findings_panel.table.rowCount() == 0
    analyze(dock)
    assert dock.state.status is RunStatus.FINISHED
    assert len(list((small_slide.parent / "results").glob("*.zarr"))) == 2


def test_maps_follow_a_turned_layer(
    viewer: ViewerModel, dock: LiverDxDock, sample: object, tmp_path: Path
) -> None:
    pixels = sample.read_region(0, 1900, 500, 700, 600)
    layer = viewer.add_image(
        pixels, rgb=True, name="turned", scale=(0.5, 0.5), rotate=30, units=("um", "um")
    )
    wait(lambda: not dock.controller.is_busy)
    dock.state.out_folder = tmp_path / "results"
    analyze(dock)
    overlay = viewer.layers["Liver with fat · turned"]
    # The first pixel of cell (3, 5) and the corner of that cell are the same place.
    corner = overlay.data_to_world((3 - 0.5 + 1 / 64, 5 - 0.5 + 1 / 64))
    assert corner == pytest.approx(layer.data_to_world((96, 160)), abs=1e-6)


# -- knowing what it does not know --


def test_domain_is_told_before_and_after_the_run(
    viewer: ViewerModel, dock: LiverDxDock, small_slide: Path
) -> None:
    notice = dock.model_panel.domain
    open_in(dock, small_slide)
    assert "No domain statistics" in notice.text.text()
    assert not notice.is_alarming
    assert not dock.findings_panel.error_rate.isEnabled()
    assert dock.controller.choose_model("liver-steatosis")
    wait(lambda: not dock.controller.is_busy)
    reading = dock.state.domain
    assert reading is not None
    assert 0 < reading.tiles <= 32
    assert reading.numbers in notice.text.text()
    analyze(dock)
    results = dock.controller.results
    assert results is not None
    assert dock.state.domain is not None
    assert dock.state.domain.tiles == results.store.count(TileState.DONE)
    assert notice.isVisible()
    viewer.window.resize(1366, 768)
    wait_paint()
    assert notice.minimumSizeHint().width() <= dock.width()


def test_foreign_slide_gets_a_calm_notice(dock: LiverDxDock, tmp_path: Path) -> None:
    path = tmp_path / "green.tif"
    pixels = np.random.default_rng(0).integers(0, 90, (600, 600, 3)).astype(np.uint8)
    pixels[..., 1] += 120
    write_pyramid(path, pixels)
    open_in(dock, path)
    assert dock.controller.choose_model("liver-steatosis")
    wait(lambda: not dock.controller.is_busy)
    notice = dock.model_panel.domain
    assert notice.is_alarming
    assert notice.isVisible()
    assert "training data" in notice.text.text() or "trained on" in notice.text.text()
    assert dock.run_panel.analyze_button.isEnabled(), "it warns, it does not forbid"


def test_not_sure_is_counted_apart_on_demand(dock: LiverDxDock, small_slide: Path) -> None:
    open_in(dock, small_slide)
    assert dock.controller.choose_model("liver-steatosis")
    wait(lambda: not dock.controller.is_busy)
    analyze(dock)
    assert len(dock.state.measures) == 3
    dock.findings_panel.error_rate.setValue(0.05)
    assert dock.state.measures[-1].title == "Not sure"
    assert sum(m.percent for m in dock.state.measures) == pytest.approx(100)
    table = dock.findings_panel.table
    assert table.item(3, 0).text() == "Not sure"
    results = dock.controller.results
    assert results is not None
    dock.findings_panel.error_rate.setValue(0.01)
    assert dock.state.measures[-1].percent == pytest.approx(100), "so few groups promise nothing"
    assert set(results.tiles.features["tile"][1:]) == {"Not sure"}
    dock.findings_panel.error_rate.setValue(0)
    assert len(dock.state.measures) == 3
    assert "Not sure" not in set(results.tiles.features["tile"])
