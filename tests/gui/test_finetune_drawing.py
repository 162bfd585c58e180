"""Drawing for fine-tuning in a real window: the mouse, undo, what comes back."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_liverdx.results.review_log import Decision
from napari_liverdx.slides.open import open_slide
from napari_liverdx.training.interactive.annotation_record import rectangle
from napari_liverdx.widgets.analyze_dock import LiverDxDock
from napari_liverdx.widgets.pages.finetune_page import FinetunePage
from tests.support.finetune_page import counted, draw
from tests.support.slides import write_pyramid
from tests.support.teaching import REGIONS, TILE, drawn
from tests.support.window import analyze, click, notes, open_in, wait, wait_paint

pytestmark = pytest.mark.gui


def lasso(viewer: ViewerModel, corners: list[tuple[float, float]]) -> None:
    """Press, drag and release along places in world coordinates."""
    canvas = viewer.window._qt_viewer.canvas.native
    places = [_on_screen(viewer, canvas, c) for c in corners]
    QTest.mouseMove(canvas, places[0])
    wait_paint()
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=places[0])
    for place in places[1:]:
        QTest.mouseMove(canvas, place)
        wait_paint()
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=places[-1])
    wait_paint()


def _on_screen(viewer: ViewerModel, canvas: object, world: tuple[float, float]) -> QPoint:
    camera = viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera
    offset = (np.array(world) - np.array(camera.center[-2:])) * camera.zoom
    ratio = canvas.devicePixelRatio()
    x, y = offset[1] / ratio + canvas.width() / 2, offset[0] / ratio + canvas.height() / 2
    return QPoint(round(x), round(y))


def test_a_shape_is_drawn_with_the_mouse(viewer: ViewerModel, finetune_page: FinetunePage) -> None:
    click(finetune_page.class_buttons["fat"])
    layer = viewer.layers["Teach · painted"]
    assert viewer.layers.selection.active is layer
    assert layer.mode == "add_polygon_lasso"
    um = TILE / 2
    corners = [(4, 1), (4, 3), (5, 4), (6, 3), (6, 1), (5, 0.5)]
    along = [
        tuple(um * ((1 - t) * np.array(a) + t * np.array(b)))
        for a, b in pairwise(corners)
        for t in (0, 0.25, 0.5, 0.75)
    ]
    lasso(viewer, along)
    assert len(layer.data) == 1
    assert list(layer.features["class"]) == ["fat"]
    (region,) = finetune_page.control.material.current.regions()
    assert region.name == "fat"
    assert region.contains(np.array([2.0 * TILE]), np.array([5.0 * TILE])).all()
    assert abs(region.bounds.y - 4 * TILE) < 0.1 * TILE
    blue = np.array([0x0A, 0x84, 0xFF]) / 255
    assert np.allclose(layer.edge_color[0][:3], blue, atol=0.01)
    key_z = Qt.Key.Key_Z
    canvas = viewer.window._qt_viewer.canvas.native
    QTest.keyClick(canvas, key_z, Qt.KeyboardModifier.ControlModifier)
    wait_paint()
    assert len(layer.data) == 0
    both = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    QTest.keyClick(canvas, key_z, both)
    wait_paint()
    assert len(layer.data) == 1
    assert np.allclose(layer.edge_color[0][:3], blue, atol=0.01)
    QTest.keyClick(canvas, Qt.Key.Key_2)
    wait_paint()
    assert finetune_page.class_buttons["liver"].isChecked()
    assert list(layer.features["class"]) == ["fat"], "a finished shape keeps its class"
    counted(finetune_page)
    assert "Liver with fat" in finetune_page.taught.text()


def test_undo_takes_back_every_kind_of_change(finetune_page: FinetunePage) -> None:
    draw(finetune_page, REGIONS[:2])
    layer = finetune_page.control.material.current.layer
    assert finetune_page.undo_button.isEnabled()
    assert not finetune_page.redo_button.isEnabled()
    layer.mode = "select"
    layer.selected_data = {0}
    click(finetune_page.class_buttons["fat"])
    assert list(layer.features["class"]) == ["fat", "liver"]
    layer.selected_data = {1}
    layer.remove_selected()
    assert len(layer.data) == 1
    for left in (["fat", "liver"], ["liver", "liver"], ["liver"], []):
        click(finetune_page.undo_button)
        assert list(layer.features["class"]) == left
    assert not finetune_page.undo_button.isEnabled()
    for left in (["liver"], ["liver", "liver"], ["fat", "liver"], ["fat"]):
        click(finetune_page.redo_button)
        assert list(layer.features["class"]) == left
    assert not finetune_page.redo_button.isEnabled()


def test_what_is_missing_stands_on_the_page(finetune_page: FinetunePage) -> None:
    assert not finetune_page.tune_button.isEnabled()
    assert "two classes" in finetune_page.message.text()
    draw(finetune_page, REGIONS[:3])
    assert not finetune_page.tune_button.isEnabled()
    assert "separate regions" in finetune_page.message.text()
    draw(finetune_page, REGIONS[3:])
    assert finetune_page.tune_button.isEnabled()
    assert "4 regions and 0 tiles reviewed on 1 slide" in finetune_page.taught.text()
    assert "optimistic" in finetune_page.taught.text()


def test_shapes_come_back_with_the_slide(
    viewer: ViewerModel, dock: LiverDxDock, finetune_page: FinetunePage, painted: Path
) -> None:
    draw(finetune_page)
    # Deleting the layer loses nothing: drawing on brings back what was there.
    viewer.layers.remove("Teach · painted")
    wait_paint()
    click(finetune_page.class_buttons["fat"])
    assert len(viewer.layers["Teach · painted"].data) == 4
    viewer.layers.clear()
    wait_paint()
    assert finetune_page.control.material.current is None
    open_in(dock, painted)
    layer = viewer.layers["Teach · painted"]
    assert list(layer.features["class"]) == ["liver", "liver", "fat", "fat"]
    assert not finetune_page.undo_button.isEnabled()
    counted(finetune_page)
    assert finetune_page.tune_button.isEnabled()


def test_damaged_shapes_are_not_drawn_over(
    viewer: ViewerModel, finetune_page: FinetunePage
) -> None:
    """The slide's own damaged file stops drawing; another slide's is told and does no harm."""
    folder = finetune_page.control.material.folder
    folder.folder.mkdir(parents=True)
    own = folder.file(finetune_page.controller.slide)
    own.write_text("{")
    with notes() as told:
        click(finetune_page.class_buttons["fat"])
    assert own.name in told[0]
    assert "Teach · painted" not in viewer.layers
    finetune_page.control.material.save()
    assert own.read_text() == "{"
    own.rename(folder.folder / "12345678.geojson")
    draw(finetune_page)
    assert finetune_page.tune_button.isEnabled()
    assert "12345678.geojson" in finetune_page.taught.text()


def test_any_layer_that_is_drawn_on_is_saved(
    viewer: ViewerModel,
    dock: LiverDxDock,
    finetune_page: FinetunePage,
    painted: Path,
    tmp_path: Path,
) -> None:
    """Drawing on the layer of a slide that is not the chosen one is kept for that slide."""
    second = tmp_path / "second.tif"
    write_pyramid(second, np.full((4 * TILE, 4 * TILE, 3), 200, np.uint8))
    draw(finetune_page, REGIONS[:1])
    first = viewer.layers["Teach · painted"]
    dock.controller.open_path(second)
    wait(lambda: not dock.controller.is_busy)
    dock.controller.choose_layer(viewer.layers["second"])
    wait(lambda: not dock.controller.is_busy)
    assert finetune_page.control.material.current is None
    first.add_polygons([np.array([(0, 900), (0, 1200), (300, 1200), (300, 900)])])
    counted(finetune_page)
    folder = finetune_page.control.material.folder
    with open_slide(painted) as slide:
        found = folder.find(slide)
        assert found is not None
        assert len(found.shapes) == 2
    with open_slide(second) as slide:
        assert folder.find(slide) is None


def test_shapes_of_a_foreign_class_are_left_out_and_told(finetune_page: FinetunePage) -> None:
    folder, slide = finetune_page.control.material.folder, finetune_page.controller.slide
    foreign = rectangle("tumour", 0, 0, TILE, TILE)
    folder.keep(slide, (*drawn().shapes, foreign, foreign))
    counted(finetune_page)
    assert "4 regions and 0 tiles reviewed" in finetune_page.taught.text()
    assert "2 regions and tiles are of no class of this model" in finetune_page.taught.text()
    assert finetune_page.tune_button.isEnabled()


def test_tiles_of_the_review_count(dock: LiverDxDock, finetune_page: FinetunePage) -> None:
    analyze(dock)
    store = dock.controller.results.store
    done = [t for t in store.manifest.grid if store.state[t.row, t.col] == 1][:3]
    store.decisions.put(done[0], Decision.reject("fat", "liver"))
    store.decisions.put(done[1], Decision.accept("fat"))
    store.decisions.put(done[2], Decision.reject("fat"))
    counted(finetune_page)
    assert "0 regions and 2 tiles reviewed" in finetune_page.taught.text()
    store.decisions.put(done[0], None)
    counted(finetune_page)
    assert "1 tile reviewed" in finetune_page.taught.text()


def test_nothing_is_cut_off(finetune_page: FinetunePage) -> None:
    from qtpy.QtWidgets import QScrollArea

    draw(finetune_page)
    wait_paint()
    area = finetune_page.findChild(QScrollArea)
    assert area.widget().minimumSizeHint().width() <= area.viewport().width()
