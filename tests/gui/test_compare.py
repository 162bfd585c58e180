"""Two results of one slide in a real window: swipe, differences, second canvas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_liverdx.viewer.layers.camera import camera_of
from napari_liverdx.widgets.analyze_dock import LiverDxDock
from napari_liverdx.widgets.pages.compare_controller import Mode
from tests.support.window import analyze, canvas, click, open_in, wait, wait_paint

pytestmark = pytest.mark.gui


def half(picture: np.ndarray, left: bool) -> np.ndarray:
    """The left or right third of the canvas' middle."""
    height, width = picture.shape[:2]
    columns = slice(int(0.15 * width), int(0.4 * width))
    if not left:
        columns = slice(int(0.6 * width), int(0.85 * width))
    return picture[int(0.4 * height) : int(0.6 * height), columns].mean(axis=(0, 1))


def test_compare_page_in_pixels(viewer: ViewerModel, dock: LiverDxDock, small_slide: Path) -> None:
    open_in(dock, small_slide)
    analyze(dock)
    results = dock.controller.results
    assert results is not None
    results.store.probabilities[2] = 0.8
    (index,) = [i for i in range(dock.tabs.count()) if dock.tabs.tabText(i) == "Compare"]
    dock.tabs.setCurrentIndex(index)
    page = dock.tabs.widget(index)
    viewer.reset_view()
    camera_of(viewer).zoom *= 1.4
    page.boxes[0].threshold.setValue(0.5)
    page.boxes[1].threshold.setValue(0.5)

    # Swipe: A's orange on the left, B's blue on the right.
    click(page.buttons[Mode.SWIPE])
    picture = canvas(viewer)
    left, right = half(picture, True), half(picture, False)
    assert left[0] > left[2] + 20
    assert right[2] > right[0] + 10
    assert not viewer.layers["Liver with fat · small"].visible
    # A threshold above all of B empties the right.
    page.boxes[1].threshold.setValue(0.95)
    assert np.abs(half(canvas(viewer), False) - right).mean() > 10
    # Dragging the line on the canvas moves it, and the slider with it.
    native = viewer.window._qt_viewer.canvas.native
    middle = QPoint(native.width() // 2, native.height() // 2)
    QTest.mousePress(native, Qt.MouseButton.LeftButton, pos=middle)
    for step in (20, 60, 100):
        QTest.mouseMove(native, middle + QPoint(step, 0))
        wait_paint()
    QTest.mouseRelease(native, Qt.MouseButton.LeftButton, pos=middle + QPoint(100, 0))
    assert page.position.value() > 520

    # Differences: all map pixels count in A only.
    click(page.buttons[Mode.DIFFERENCE])
    assert page.figures["only_b"].text().startswith("0.000")
    assert not page.figures["only_a"].text().startswith("0.000")
    shown = half(canvas(viewer), True)
    assert shown[0] > shown[2] + 20
    page.boxes[0].threshold.setValue(0.95)
    page.control.update()
    assert np.abs(half(canvas(viewer), True) - shown).mean() > 10

    # A second canvas looks where the first one looks, and back.
    click(page.buttons[Mode.SECOND])
    linked = page.control.linked
    second = camera_of(linked.model)
    camera_of(viewer).center = (0, 100, 150)
    camera_of(viewer).zoom = 3
    assert tuple(second.center[-2:]) == (100, 150)
    assert second.zoom == 3
    second.center = (0, 80, 90)
    assert tuple(camera_of(viewer).center[-2:]) == (80, 90)

    # A layer taken away by hand ends the comparison.
    click(page.buttons[Mode.OFF])
    wait_paint()
    click(page.buttons[Mode.SWIPE])
    viewer.layers.remove("A · small")
    wait(lambda: page.control.mode is Mode.OFF)
    assert page.buttons[Mode.OFF].isChecked()

    # Off: everything is as it was.
    names = [layer.name for layer in viewer.layers]
    assert names == ["small", "Tiles · small", "Liver with fat · small"]
    assert viewer.layers["Liver with fat · small"].visible


def test_closing_the_second_canvas_ends_the_comparison(
    viewer: ViewerModel, dock: LiverDxDock, small_slide: Path
) -> None:
    open_in(dock, small_slide)
    analyze(dock)
    (index,) = [i for i in range(dock.tabs.count()) if dock.tabs.tabText(i) == "Compare"]
    page = dock.tabs.widget(index)
    click(page.buttons[Mode.SECOND])
    page.control.linked.dock.destroyOnClose()
    wait(lambda: page.control.mode is Mode.OFF)
    assert page.buttons[Mode.OFF].isChecked()
    assert viewer.layers["Liver with fat · small"].visible
