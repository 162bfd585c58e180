"""The dock without a napari window: what it shows, what it says, what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QMimeData, QPoint, Qt, QUrl
from qtpy.QtGui import QDropEvent

from napari_liverdx.models.file import load_model_file, save_model_file
from napari_liverdx.results.store import ResultStore, TileState
from napari_liverdx.session.state import RunStatus
from napari_liverdx.widgets.analyze_dock import LiverDxDock
from napari_liverdx.widgets.main.model_panel import CardDialog
from napari_liverdx.widgets.parts.keys_dialog import KeysDialog
from tests.support.models import make_card
from tests.support.paths import CMU, one
from tests.support.slides import write_pyramid
from tests.support.window import analyze, click, notes, open_in, show, wait, wait_paint


def test_analyze_fills_layers_and_table(
    viewer: ViewerModel, dock: LiverDxDock, small_slide: Path
) -> None:
    open_in(dock, small_slide)
    assert dock.run_panel.analyze_button.isEnabled()
    analyze(dock)
    assert dock.state.run.status is RunStatus.FINISHED
    assert dock.state.run.message.startswith("Finished")
    names = [layer.name for layer in viewer.layers]
    assert names == ["small", "Tiles · small", "Liver with fat · small"]
    assert dock.findings_panel.table.rowCount() == 3
    store = ResultStore.open(one(small_slide.parent / "results", "small.tiny-*.liverdx.zarr"))
    assert store.is_complete
    layer = viewer.layers["Liver with fat · small"]
    assert (layer.data == store.probabilities[2]).all()


@pytest.mark.slow
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
    cli = ResultStore.open(one(out, "small.tiny-*.liverdx.zarr"))
    assert dock.controller.results is not None
    shown = dock.controller.results.store
    assert np.array_equal(cli.state, shown.state)
    assert np.allclose(cli.probabilities, shown.probabilities, atol=1e-6)
    row = one(out, "small.tiny-*.csv").read_text().splitlines()[3].split(",")
    assert dock.findings_panel.table.item(2, 1).text() == f"{float(row[3]):.3f}"


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
    assert dock.state.run.status is RunStatus.FINISHED
    assert dock.controller.results is not None
    assert dock.controller.results.store.manifest.mpp_source == "given by user"


def test_bad_slides_are_told(dock: LiverDxDock, tmp_path: Path, told: list[str]) -> None:
    text = tmp_path / "text.svs"
    text.write_text("no image")
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
    assert dock.state.model.name == str(tiny_file)


def test_no_tissue_is_told(dock: LiverDxDock, tmp_path: Path, told: list[str]) -> None:
    path = tmp_path / "glass.tif"
    write_pyramid(path, np.full((600, 700, 3), 243, np.uint8))
    open_in(dock, path)
    assert dock.slide_panel.tissue.text() == "none found"
    analyze(dock)
    assert dock.state.run.status is RunStatus.FAILED
    assert "no tissue" in told[-1]
    assert "no tissue" in dock.run_panel.message.text()


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


@pytest.mark.slow
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
    assert dock.state.settings.thresholds["fat"] == pytest.approx(0.85)
    other = tmp_path / "other.safetensors"
    save_model_file(other, load_model_file(tiny_file).network, make_card(version="2"))
    dock.controller.choose_model(str(other))
    assert dock.state.settings.thresholds["fat"] == 0.5
    assert dock.findings_panel.sliders["fat"].value() == 0.5


@pytest.mark.slow
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
    assert dock.state.run.status is RunStatus.FINISHED
    assert len(list((small_slide.parent / "results").glob("*.zarr"))) == 2


@pytest.mark.slow
def test_domain_is_told_before_and_after_the_run(
    viewer: ViewerModel, dock: LiverDxDock, small_slide: Path
) -> None:
    notice = dock.model_panel.ood
    open_in(dock, small_slide)
    assert "This model has no reference statistics" in notice.text.text()
    assert not notice.is_alarming
    assert not dock.findings_panel.error_rate.isEnabled()
    assert dock.controller.choose_model("liver-steatosis")
    wait(lambda: not dock.controller.is_busy)
    reading = dock.state.slide.ood
    assert reading is not None
    assert 0 < reading.tiles <= 32
    assert reading.numbers in notice.text.text()
    analyze(dock)
    results = dock.controller.results
    assert results is not None
    assert dock.state.slide.ood is not None
    assert dock.state.slide.ood.tiles == results.store.count(TileState.DONE)
    assert notice.isVisible()
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
    notice = dock.model_panel.ood
    assert notice.is_alarming
    assert notice.isVisible()
    assert "training data" in notice.text.text() or "trained on" in notice.text.text()
    assert dock.run_panel.analyze_button.isEnabled(), "it warns, it does not forbid"


@pytest.mark.slow
def test_not_sure_is_counted_apart_on_demand(dock: LiverDxDock, small_slide: Path) -> None:
    open_in(dock, small_slide)
    assert dock.controller.choose_model("liver-steatosis")
    wait(lambda: not dock.controller.is_busy)
    analyze(dock)
    assert len(dock.state.measures) == 3
    dock.findings_panel.error_rate.setValue(0.05)
    assert dock.state.measures[-1].title == "Uncertain"
    assert sum(m.percent for m in dock.state.measures) == pytest.approx(100)
    table = dock.findings_panel.table
    assert table.item(3, 0).text() == "Uncertain"
    results = dock.controller.results
    assert results is not None
    dock.findings_panel.error_rate.setValue(0.01)
    assert dock.state.measures[-1].percent == pytest.approx(100), "so few groups promise nothing"
    assert set(results.tiles.features["tile"][1:]) == {"Uncertain"}
    dock.findings_panel.error_rate.setValue(0)
    assert len(dock.state.measures) == 3
    assert "Uncertain" not in set(results.tiles.features["tile"])


def test_preferences_decide_how_a_dock_begins(
    viewer: ViewerModel, qtbot: object, own_preferences: Any, tiny_file: Path, tmp_path: Path
) -> None:
    settings = own_preferences
    settings.analysis.model = str(tiny_file)
    settings.analysis.threshold = 0.7
    settings.analysis.device = "cpu"
    settings.analysis.results_folder = str(tmp_path / "all")
    settings.display.opacity = 0.25
    settings.display.colormap = "cividis"
    settings.sharing.hide_names = True
    dock = show(qtbot, LiverDxDock(viewer))
    assert dock.state.model.card.name == "tiny"
    assert dock.state.run.device.reason == "selected by user"
    assert dock.findings_panel.sliders["fat"].value() == pytest.approx(0.7)
    assert dock.findings_panel.look.opacity.value() == 25
    assert dock.findings_panel.look.colormap.currentText() == "Cividis"
    assert dock.state.run.out_folder == tmp_path / "all"
    hidden = [p.hide_name.isChecked() for p in dock.pages if hasattr(p, "hide_name")]
    assert hidden == [True]
    dock.release()


def test_a_preferred_model_that_is_gone_is_told(
    viewer: ViewerModel, qtbot: object, own_preferences: Any
) -> None:
    own_preferences.analysis.model = "no-such-model"
    with notes() as told:
        dock = show(qtbot, LiverDxDock(viewer))
    assert any("no-such-model" in text for text in told)
    assert dock.state.model.card.name == "liver-steatosis"
    dock.release()


def test_keys_are_listed_and_given_back(viewer: ViewerModel, dock: LiverDxDock) -> None:
    listed = {k.key for k in dock.controller.keys.listed}
    assert {"H", "A", "R", "N", "P", "Control-Z"} <= listed
    click(dock.keys_button)
    (dialog,) = dock.findChildren(KeysDialog)
    shown = [dialog.table.item(r, 0).text() for r in range(dialog.table.rowCount())]
    assert "Ctrl+Z" in shown
    assert len(shown) == len(dock.controller.keys.listed)
    dialog.reject()
    bound = {str(k) for k in viewer.keymap}
    assert "H" in bound
    dock.release()
    assert not {str(k) for k in viewer.keymap} & {"H", "A", "R", "N", "P"}


def drop(dock: LiverDxDock, *paths: Path) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(p)) for p in paths])
    actions, buttons = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton
    event = QDropEvent(QPoint(20, 20), actions, data, buttons, Qt.KeyboardModifier.NoModifier)
    dock.dropEvent(event)


@pytest.mark.slow
def test_slides_and_results_dropped_on_the_dock(
    viewer: ViewerModel, dock: LiverDxDock, small_slide: Path
) -> None:
    open_in(dock, small_slide)
    analyze(dock)
    assert dock.controller.results is not None
    path = dock.controller.results.store.path
    viewer.layers.clear()
    wait_paint()
    drop(dock, small_slide)
    wait(lambda: not dock.controller.is_busy)
    assert [layer.name for layer in viewer.layers] == ["small"]
    assert dock.controller.results is None
    drop(dock, path)
    wait(lambda: not dock.controller.is_busy)
    assert dock.controller.results is not None
    assert len(viewer.layers) == 3
