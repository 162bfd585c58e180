"""Tissue shown and edited in a real window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels

from napari_liverdx.core.tissue import TissueLabel
from napari_liverdx.viewer.layers.slide_source import is_slide_layer
from napari_liverdx.viewer.layers.tissue import TISSUE_COLORS, find_tissue_layer
from napari_liverdx.widgets.analyze_dock import LiverDxDock
from tests.support.artifacts import INKS, inked, written
from tests.support.window import canvas, click, open_in, wait, wait_paint

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


def test_ink_is_seen_on_the_slide(viewer: ViewerModel, dock: LiverDxDock, marked: Path) -> None:
    open_in(dock, marked)
    wait(lambda: dock.state.slide.tissue is not None)
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
    assert dock.state.slide.tissue.kept == {TissueLabel.PEN}


def test_undo_and_reset_bring_the_found_tissue_back(
    viewer: ViewerModel, dock: LiverDxDock, marked: Path, qtbot: object
) -> None:
    from qtpy.QtCore import Qt

    open_in(dock, marked)
    wait(lambda: dock.state.slide.tissue is not None)
    panel, before = dock.tissue_panel, dock.state.slide.tissue.labels.copy()
    assert not panel.reset_button.isEnabled()
    click(panel.edit_button)
    layer = tissue_of(dock)
    assert panel.edit_button.isChecked()
    drag(viewer, layer, [(60, 110), (60, 120), (70, 120)])
    wait(lambda: dock.state.slide.tissue.edited)
    assert dock.state.slide.tissue.labels[60, 115] == TissueLabel.TISSUE
    assert "Edited" in panel.note.text()
    canvas_widget = viewer.window._qt_viewer.canvas.native
    qtbot.keyClick(canvas_widget, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    wait(lambda: not dock.state.slide.tissue.edited)
    assert (dock.state.slide.tissue.labels == before).all()
    layer.paint((60, 110), 1)
    wait(lambda: dock.state.slide.tissue.edited)
    click(panel.reset_button)
    assert (layer.data == before).all()
    assert not dock.state.slide.tissue.edited
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
