"""Drawing for fine-tuning in a real window: the mouse, undo, what comes back."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_liverdx.widgets.pages.finetune_page import FinetunePage
from tests.support.finetune_page import counted, draw
from tests.support.teaching import TILE
from tests.support.window import click, wait_paint

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
    layer = viewer.layers["Annotations · painted"]
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


def test_nothing_is_cut_off(finetune_page: FinetunePage) -> None:
    from qtpy.QtWidgets import QScrollArea

    draw(finetune_page)
    wait_paint()
    area = finetune_page.findChild(QScrollArea)
    assert area.widget().minimumSizeHint().width() <= area.viewport().width()
