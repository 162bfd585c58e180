"""Tissue shown and edited in a real window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels

from napari_liverdx.core.tissue import TissueLabel
from napari_liverdx.results.store import TileState
from napari_liverdx.viewer.layers.slide_source import is_slide_layer
from napari_liverdx.viewer.layers.tissue import TISSUE_COLORS, find_tissue_layer
from napari_liverdx.widgets.analyze_dock import LiverDxDock
from tests.support.artifacts import INKS, inked, written
from tests.support.window import analyze, canvas, click, open_in, wait, wait_paint

pytestmark = pytest.mark.gui


@pytest.fixture
def marked(liver: np.ndarray, tmp_path: Path) -> Path:
    """A slide with a bar of green ink on tissue, and glass at its right."""
    rgb = np.concatenate([liver, np.full((1200, 600, 3), 243, np.uint8)], axis=1)
    return written(tmp_path / "marked.tif", inked(rgb, INKS["green"], np.s_[500:800, 100:1300]))


def tissue_of(dock: LiverDxDock) -> Labels:
    layer = find_tissue_layer(dock.viewer, dock.controller.layer)
    assert layer is not None
    return layer


def square(layer: Labels, rows: slice, cols: slice, label: int) -> None:
    """Paint a rectangle with napari's own brush, as one stroke."""
    layer.brush_size = 4
    with layer.block_history():
        for row in range(rows.start, rows.stop, 2):
            for col in range(cols.start, cols.stop, 2):
                layer.paint((row, col), label)


def test_ink_is_seen_on_the_slide(viewer: ViewerModel, dock: LiverDxDock, marked: Path) -> None:
    open_in(dock, marked)
    wait(lambda: dock.state.tissue is not None)
    layer = tissue_of(dock)
    assert layer.visible, "what is left out is shown without asking"
    assert not is_slide_layer(layer)
    assert dock.controller.layer is viewer.layers.selection.active
    assert dock.tissue_panel.show_box.isChecked()
    areas = {k: v.text() for k, v in dock.tissue_panel.areas.items()}
    assert areas[TissueLabel.PEN].endswith("mm²")
    assert areas[TissueLabel.FOLD] == areas[TissueLabel.BLUR] == "none"
    orange = [int(TISSUE_COLORS[TissueLabel.PEN][i : i + 2], 16) for i in (1, 3, 5)]
    layer.opacity = 1.0

    def share(rgb: list[int]) -> float:
        return float((np.abs(canvas(viewer) - rgb).max(axis=2) < 12).mean())

    viewer.reset_view()
    shown = share(orange)
    height, width = canvas(viewer).shape[:2]
    zoom = viewer.scene.camera.zoom
    expected = (np.isin(layer.data, TissueLabel.PEN).sum() * 64) * zoom**2 / (height * width)
    assert shown == pytest.approx(expected, rel=0.1)
    click(dock.tissue_panel.show_box)
    assert not layer.visible
    assert share(orange) == 0
    click(dock.tissue_panel.show_box)
    click(dock.tissue_panel.excluded[TissueLabel.PEN])
    assert share(orange) == 0, "what is kept looks like tissue"
    assert dock.state.tissue.kept == {TissueLabel.PEN}


def test_layer_lies_exactly_over_the_slide(dock: LiverDxDock, marked: Path) -> None:
    open_in(dock, marked)
    layer, slide = tissue_of(dock), dock.controller.layer
    found = dock.state.slide.tissue_map
    rows, cols = layer.data.shape
    for corner in ((0, 0), (rows, cols), (10, 40)):
        world = layer.data_to_world(np.subtract(corner, 0.5))
        place = np.asarray(slide.world_to_data(world)) + 0.5
        assert place == pytest.approx(np.multiply(corner, (found.scale_y, found.scale_x)))
    assert layer.units == slide.units


def test_the_edited_tissue_is_analysed(dock: LiverDxDock, marked: Path) -> None:
    open_in(dock, marked)
    analyze(dock)
    first = dock.controller.results.store
    layer = tissue_of(dock)
    click(dock.tissue_panel.erase_button)
    assert layer.mode == "erase"
    assert layer.unique_id == dock.viewer.layers.selection.active.unique_id
    square(layer, slice(0, 30), slice(0, 40), 0)
    click(dock.tissue_panel.brush_button)
    assert layer.mode == "paint"
    assert layer.selected_label == TissueLabel.TISSUE
    square(layer, slice(50, 74), slice(100, 124), layer.selected_label)
    # Read at the click, however soon it comes.
    analyze(dock)
    store = dock.controller.results.store
    assert store.path != first.path, "both results stand side by side"
    assert store.manifest.tissue["edited"]
    assert store.state[0, 1] == TileState.NO_TISSUE
    assert first.state[0, 1] == TileState.DONE
    assert store.state[4, 8] == TileState.DONE
    assert first.state[4, 8] == TileState.NO_TISSUE
    click(dock.tissue_panel.reset_button)
    analyze(dock)
    assert dock.controller.results.store.path == first.path, "the first result again"


def test_undo_and_reset_bring_the_found_tissue_back(
    viewer: ViewerModel, dock: LiverDxDock, marked: Path, qtbot: object
) -> None:
    from qtpy.QtCore import Qt

    open_in(dock, marked)
    wait(lambda: dock.state.tissue is not None)
    panel, before = dock.tissue_panel, dock.state.tissue.labels.copy()
    assert not panel.reset_button.isEnabled()
    click(panel.edit_button)
    layer = tissue_of(dock)
    assert panel.edit_button.isChecked()
    drag(viewer, layer, [(60, 110), (60, 120), (70, 120)])
    wait(lambda: dock.state.tissue.edited)
    assert dock.state.tissue.labels[60, 115] == TissueLabel.TISSUE
    assert "Edited" in panel.note.text()
    canvas_widget = viewer.window._qt_viewer.canvas.native
    qtbot.keyClick(canvas_widget, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    wait(lambda: not dock.state.tissue.edited)
    assert (dock.state.tissue.labels == before).all()
    layer.paint((60, 110), 1)
    wait(lambda: dock.state.tissue.edited)
    click(panel.reset_button)
    assert (layer.data == before).all()
    assert not dock.state.tissue.edited
    click(panel.edit_button)
    assert layer.mode == "pan_zoom"
    assert not panel.edit_button.isChecked()


def drag(viewer: ViewerModel, layer: Labels, points: list[tuple[int, int]]) -> None:
    """Press, move and release the mouse over pixels of a layer."""
    from qtpy.QtCore import QPoint, Qt
    from qtpy.QtTest import QTest

    wait_paint()
    widget = viewer.window._qt_viewer.canvas.native
    camera = viewer.scene.camera
    middle = np.array([widget.height(), widget.width()]) / 2
    places = []
    for point in points:
        world = np.asarray(layer.data_to_world(point))
        row, col = (world - camera.center[-2:]) * camera.zoom + middle
        places.append(QPoint(round(col), round(row)))
    QTest.mouseMove(widget, places[0])
    QTest.mousePress(widget, Qt.MouseButton.LeftButton, pos=places[0])
    for place in places[1:]:
        QTest.mouseMove(widget, place)
        wait_paint()
    QTest.mouseRelease(widget, Qt.MouseButton.LeftButton, pos=places[-1])
    wait_paint()


def test_each_slide_keeps_its_tissue(
    viewer: ViewerModel, dock: LiverDxDock, marked: Path, small_slide: Path
) -> None:
    open_in(dock, marked)
    first, layer = dock.controller.layer, tissue_of(dock)
    layer.paint((60, 110), 1)
    wait(lambda: dock.state.tissue.edited)
    open_in(dock, small_slide)
    assert find_tissue_layer(viewer, dock.controller.layer) is None, "a clean slide gets no layer"
    assert not dock.state.tissue.edited
    assert dock.state.tissue.labels.shape != layer.data.shape
    dock.controller.choose_layer(first)
    wait(lambda: not dock.controller.is_busy)
    assert dock.state.tissue.edited
    assert (dock.state.tissue.labels == layer.data).all()


def test_the_layer_goes_with_its_slide(
    viewer: ViewerModel, dock: LiverDxDock, marked: Path
) -> None:
    open_in(dock, marked)
    first, layer = dock.controller.layer, tissue_of(dock)
    layer.paint((60, 110), 1)
    wait(lambda: dock.state.tissue.edited)
    viewer.layers.remove(layer)
    assert not dock.state.tissue.edited, "without the layer what was found counts"
    click(dock.tissue_panel.show_box)
    assert tissue_of(dock).visible
    viewer.layers.remove(first)
    assert not [v for v in viewer.layers if v.name.startswith("Tissue")]


def test_another_resolution_moves_the_layer_and_keeps_edits(
    dock: LiverDxDock, marked: Path
) -> None:
    open_in(dock, marked)
    layer = tissue_of(dock)
    layer.paint((60, 110), 1)
    wait(lambda: dock.state.tissue.edited)
    painted = layer.data.copy()
    dock.controller.set_mpp(0.25)
    wait(lambda: not dock.controller.is_busy)
    assert dock.state.tissue.edited
    assert (layer.data == painted).all()
    extent = layer.extent.world[1] - layer.extent.world[0]
    slide = dock.controller.layer.extent.world
    assert extent == pytest.approx(slide[1] - slide[0], rel=0.05)
    click(dock.tissue_panel.reset_button)
    assert layer.data.shape != painted.shape
    assert layer.data.shape == dock.state.slide.tissue_map.labels.shape
    assert not dock.state.tissue.edited
