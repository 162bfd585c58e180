"""Results opened again, several runs and slides side by side, without a napari window."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from napari.components import ViewerModel

from napari_liverdx.models.architectures.cnn_rnn import CnnRnnClassifier
from napari_liverdx.models.file import load_model_file, save_model_file
from napari_liverdx.results.find_slide import find_slide
from napari_liverdx.results.measurement_map import MapKind
from napari_liverdx.results.store import ResultStore
from napari_liverdx.results.view_state import ViewState
from napari_liverdx.slides.slide import Slide
from napari_liverdx.widgets.analyze_dock import LiverDxDock
from napari_liverdx.widgets.pages.compare_controller import Mode
from napari_liverdx.widgets.pages.compare_page import ComparePage
from tests.support.models import make_card
from tests.support.paths import CMU
from tests.support.slides import write_pyramid
from tests.support.window import analyze, click, notes, open_in, wait, wait_paint

FAT = "Liver with fat · small"


def result_of(dock: LiverDxDock) -> Path:
    assert dock.controller.results is not None
    return dock.controller.results.store.path


@pytest.mark.slow
def test_a_result_opens_as_it_was_left(
    viewer: ViewerModel, dock: LiverDxDock, small_slide: Path, tiny_file: Path
) -> None:
    open_in(dock, small_slide)
    analyze(dock)
    path = result_of(dock)
    dock.findings_panel.sliders["fat"].setValue(0.33)
    dock.findings_panel.look.opacity.setValue(80)
    dock.findings_panel.look.colormap.setCurrentIndex(2)
    dock.findings_panel.look.colormap.activated.emit(2)
    wait_paint()
    area = dock.findings_panel.table.item(2, 1).text()
    dock.controller.findings.save_view()
    viewer.layers.clear()
    wait_paint()
    assert dock.controller.results is None

    viewer.open(str(path), plugin="napari-liverdx")
    wait(lambda: dock.controller.results is not None and not dock.controller.is_busy)
    assert [layer.name for layer in viewer.layers] == ["small", "Tiles · small", FAT]
    layer = viewer.layers[FAT]
    assert layer.contrast_limits[0] == pytest.approx(0.33)
    assert layer.opacity == pytest.approx(0.8)
    assert layer.colormap.name == "liverdx cividis"
    assert dock.findings_panel.sliders["fat"].value() == pytest.approx(0.33)
    assert dock.findings_panel.look.colormap.currentText() == "Cividis"
    wait(lambda: dock.findings_panel.table.rowCount() == 3)
    assert dock.findings_panel.table.item(2, 1).text() == area


@pytest.mark.slow
def test_a_dropped_result_does_not_open_its_slide_twice(
    viewer: ViewerModel, dock: LiverDxDock, small_slide: Path
) -> None:
    open_in(dock, small_slide)
    analyze(dock)
    path = result_of(dock)
    for layer in list(viewer.layers)[1:]:
        viewer.layers.remove(layer)
    viewer.open(str(path), plugin="napari-liverdx")
    wait(lambda: dock.controller.results is not None and not dock.controller.is_busy)
    wait_paint()
    assert [layer.name for layer in viewer.layers] == ["small", "Tiles · small", FAT]
    assert dock.controller.layer is viewer.layers["small"]


@pytest.mark.slow
def test_a_result_without_its_slide_is_shown_and_told(
    viewer: ViewerModel, dock: LiverDxDock, small_slide: Path, tmp_path: Path
) -> None:
    open_in(dock, small_slide)
    analyze(dock)
    place = viewer.layers[FAT].translate.copy()
    moved = tmp_path / "elsewhere" / "one" / "two" / result_of(dock).name
    shutil.copytree(result_of(dock), moved)
    (moved / "view.json").unlink(missing_ok=True)
    viewer.layers.clear()
    wait_paint()
    with notes() as told:
        assert dock.controller.open_result(moved)
    assert any("was not found beside the result" in text for text in told)
    assert [layer.name for layer in viewer.layers] == ["Tiles · small", FAT]
    assert np.allclose(viewer.layers[FAT].translate, place)
    # No other slide stands in for it, now or when one is open.
    assert dock.controller.slide is None
    wait_paint()
    viewer.layers.clear()
    wait_paint()
    open_in(dock, CMU)
    with notes():
        assert dock.controller.open_result(moved)
    assert dock.controller.results is not None
    assert dock.controller.slide is None
    assert dock.controller.layer is None


@pytest.mark.slow
def test_another_model_does_not_speak_for_a_result(
    viewer: ViewerModel, dock: LiverDxDock, small_slide: Path, tiny_file: Path, tmp_path: Path
) -> None:
    open_in(dock, small_slide)
    analyze(dock)
    path = result_of(dock)
    assert dock.state.model.card is not None
    # A model of the same name and version with other weights.
    torch.manual_seed(5)
    card = make_card()
    other = tmp_path / "other.safetensors"
    save_model_file(other, CnnRnnClassifier(3, **card.arguments), card, half=False)
    assert dock.controller.choose_model(str(other))
    assert dock.controller.open_result(path)
    assert dock.state.model.card is None
    dock.controller.findings.save_report(dock.controller.slide)
    assert "needs the model" in dock.state.run.message
    assert dock.controller.choose_model(str(tiny_file))
    assert dock.controller.open_result(path)
    assert dock.state.model.card is not None
    wait(lambda: not dock.controller.is_busy)


@pytest.mark.slow
def test_each_result_keeps_its_own_error_rate(
    viewer: ViewerModel, dock: LiverDxDock, small_slide: Path, tiny_file: Path
) -> None:
    open_in(dock, small_slide)
    analyze(dock)
    first = dock.controller.results
    assert first is not None
    first.settings = replace(first.settings, error_rate=0.1)
    dock.state.run.overlap = 2 / 7
    analyze(dock)
    assert len(dock.controller.findings.open_results) == 2
    assert ViewState.load(first.store.path).error_rate == 0.1
    dock.controller.findings.save_view()
    assert ViewState.load(first.store.path).error_rate == 0.1


def test_a_damaged_result_is_told(viewer: ViewerModel, dock: LiverDxDock, tmp_path: Path) -> None:
    broken = tmp_path / "broken.liverdx.zarr"
    broken.mkdir()
    with notes() as told:
        assert not dock.controller.open_result(broken)
    assert any("not a result of this program, or damaged" in text for text in told)
    assert len(viewer.layers) == 0


def test_the_slide_is_found_only_if_it_is_the_same_file(
    dock: LiverDxDock, small_slide: Path, sample: Slide
) -> None:
    open_in(dock, small_slide)
    analyze(dock)
    path = result_of(dock)
    store = ResultStore.open(path)
    slide = find_slide(store)
    assert slide is not None
    assert slide.path.name == "small.tif"
    slide.close()
    dock.controller.viewer.layers.clear()
    wait_paint()
    write_pyramid(small_slide, np.full((896, 1120, 3), 200, np.uint8))
    assert find_slide(store) is None


@pytest.mark.slow
def test_two_models_side_by_side_on_one_slide(
    viewer: ViewerModel, dock: LiverDxDock, small_slide: Path, tiny_file: Path, tmp_path: Path
) -> None:
    open_in(dock, small_slide)
    analyze(dock)
    first = dock.controller.results
    dock.findings_panel.sliders["fat"].setValue(0.2)
    network = load_model_file(tiny_file).network
    other = tmp_path / "other.safetensors"
    save_model_file(other, network, make_card(name="other", title="Other"), half=False)
    assert dock.controller.choose_model(str(other))
    analyze(dock)
    assert len(dock.controller.findings.open_results) == 2
    assert dock.findings_panel.result.count() == 2
    assert dock.findings_panel.sliders["fat"].value() == pytest.approx(0.5)
    # Both stand in the comparison; these two have the same weights.
    dock.show_page("compare")
    (page,) = [p for p in dock.pages if isinstance(p, ComparePage)]
    assert [box.result.currentText() for box in page.boxes] == ["tiny", "other"]
    for box in page.boxes:
        box.threshold.setValue(0.2)
    click(page.buttons[Mode.SWIPE])
    assert page.figures["dice"].text() == "1.000"
    assert page.figures["tiles"].text().startswith("0 of ")
    click(page.buttons[Mode.OFF])
    dock.findings_panel.result.setCurrentIndex(0)
    dock.findings_panel.result.activated.emit(0)
    assert dock.controller.results is first
    assert dock.findings_panel.sliders["fat"].value() == pytest.approx(0.2)


@pytest.mark.slow
def test_a_result_dropped_twice_is_shown_once(
    viewer: ViewerModel, dock: LiverDxDock, small_slide: Path
) -> None:
    open_in(dock, small_slide)
    analyze(dock)
    first = dock.controller.results
    dock.findings_panel.sliders["fat"].setValue(0.8)
    for _ in range(2):
        viewer.open(str(result_of(dock)), plugin="napari-liverdx")
        wait_paint()
        wait(lambda: not dock.controller.is_busy)
        assert dock.controller.results is first
        assert [layer.name for layer in viewer.layers] == ["small", "Tiles · small", FAT]
    assert dock.findings_panel.sliders["fat"].value() == pytest.approx(0.8)


@pytest.mark.slow
def test_results_go_with_their_slide(
    viewer: ViewerModel, dock: LiverDxDock, small_slide: Path
) -> None:
    open_in(dock, small_slide)
    analyze(dock)
    path = result_of(dock)
    viewer.layers.remove("small")
    wait_paint()
    wait(lambda: len(viewer.layers) == 0)
    viewer.open(str(path), plugin="napari-liverdx")
    wait(lambda: dock.controller.results is not None and not dock.controller.is_busy)
    assert [layer.name for layer in viewer.layers] == ["small", "Tiles · small", FAT]


@pytest.mark.slow
def test_going_back_to_a_slide_brings_its_result_back(
    viewer: ViewerModel, dock: LiverDxDock, small_slide: Path, sample: Slide, tmp_path: Path
) -> None:
    open_in(dock, small_slide)
    analyze(dock)
    first = dock.controller.results
    other = tmp_path / "other.tif"
    write_pyramid(other, sample.read_region(0, 2200, 700, 448, 448))
    open_in(dock, other)
    assert dock.controller.results is None
    assert dock.findings_panel.table.rowCount() == 0
    # Both lie at the origin: only the chosen one is in sight, with its layers.
    assert {layer.name for layer in viewer.layers if layer.visible} == {"other"}
    with notes() as told:
        analyze(dock)
        dock.slide_panel.layer_chosen.emit("small")
        dock.slide_panel.layer_chosen.emit("other")
    assert not told
    assert {layer.name for layer in viewer.layers if layer.visible} == {
        "other",
        "Liver with fat · other",
    }
    dock.slide_panel.layer_chosen.emit("small")
    assert dock.controller.results is first
    assert {layer.name for layer in viewer.layers if layer.visible} == {"small", FAT}
    assert viewer.layers.selection.active is viewer.layers["small"]
    wait(lambda: dock.findings_panel.table.rowCount() == 3)
    wait(lambda: not dock.controller.is_busy)


def test_an_unknown_value_of_a_view_costs_only_itself(dock: LiverDxDock, golden: Path) -> None:
    """A result of 0.1.0 with a color map that this version does not have."""
    path = golden / "results" / "slide.tiny.liverdx.zarr"
    view = json.loads((path / "view.json").read_text(encoding="utf-8"))
    (path / "view.json").write_text(json.dumps({**view, "colormap": "turbo"}), encoding="utf-8")
    with notes() as told:
        assert dock.controller.open_result(path)
    assert [text for text in told if "colormap" in text and path.name in text]
    assert dock.state.view.colormap == ""
    assert dock.state.settings.thresholds == {"fat": 0.35}
    assert dock.state.view.opacity == pytest.approx(0.45)
    assert dock.state.settings.map_kind is MapKind.TILES_AVERAGED
    assert dock.controller.layer is not None, "its slide is found"
