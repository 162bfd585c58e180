"""Reviewing tiles in a real window: gallery, keys, overview."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QWidget

from napari_liverdx.results.review_log import Verdict
from napari_liverdx.viewer.layers.camera import camera_of
from napari_liverdx.widgets.analyze_dock import LiverDxDock
from napari_liverdx.widgets.pages.review_page import ReviewPage
from tests.support.window import analyze, canvas, click, open_in, wait, wait_paint

pytestmark = pytest.mark.gui


def review_page(dock: LiverDxDock) -> ReviewPage:
    (index,) = [i for i in range(dock.tabs.count()) if dock.tabs.tabText(i) == "Review"]
    dock.tabs.setCurrentIndex(index)
    page = dock.tabs.widget(index)
    wait(lambda: page.gallery.count() > 0)
    tiles = page.gallery.tiles
    wait(lambda: page.gallery.has_picture(tiles[-1]))
    return page


def test_review_by_mouse_and_keys(
    viewer: ViewerModel, dock: LiverDxDock, small_slide: Path, tmp_path: Path
) -> None:
    open_in(dock, small_slide)
    analyze(dock)
    results = dock.controller.results
    assert results is not None
    page = review_page(dock)
    gallery = page.gallery
    assert gallery.count() == results.store.count(1)
    assert "Review · small" not in viewer.layers

    # A click flies there: the tile's middle is the canvas' middle.
    second = gallery.visualItemRect(gallery.item(1)).center()
    QTest.mouseClick(gallery.viewport(), Qt.MouseButton.LeftButton, pos=second)
    tile = gallery.tiles[1]
    rect = results.rect(tile)
    middle = np.array([rect.y + rect.height / 2 - 0.5, rect.x + rect.width / 2 - 0.5]) * 0.5
    assert np.allclose(camera_of(viewer).center[-2:], middle)
    assert page.control.current == tile

    # Keys in the gallery decide and go on.
    QTest.keyClick(gallery, Qt.Key.Key_A)
    assert results.store.decisions[tile].verdict is Verdict.ACCEPTED
    assert page.control.current == gallery.tiles[2]
    # So do keys over the canvas.
    native = viewer.window._qt_viewer.canvas.native
    QTest.keyClick(native, "r")
    assert results.store.decisions[gallery.tiles[2]].verdict is Verdict.REJECTED
    assert page.counts.text() == "1 accepted, 1 rejected"

    # Decisions stand on the slide, with features.
    layer = viewer.layers["Review · small"]
    assert list(layer.features["verdict"])[:2] != ["", ""]
    assert len(layer.data) == 3
    assert viewer.layers.selection.active is not layer

    # Undo takes them back one by one, redo makes them again.
    QTest.keyClick(native, "z", Qt.KeyboardModifier.ControlModifier)
    assert gallery.tiles[2] not in results.store.decisions
    assert page.control.current == gallery.tiles[2]
    click(page.undo)
    assert len(results.store.decisions) == 0
    click(page.redo)
    assert list(results.store.decisions) == [tile]

    # The layer with the frames answers the review's keys, and none that draw or delete.
    viewer.layers.selection.active = layer
    gallery.setCurrentRow(3)
    QTest.keyClick(native, "r")
    assert results.store.decisions[gallery.tiles[3]].verdict is Verdict.REJECTED
    frames = len(layer.data)
    QTest.keyClick(native, Qt.Key.Key_Delete)
    assert len(layer.data) == frames
    QTest.keyClick(native, "z", Qt.KeyboardModifier.ControlModifier)
    assert len(results.store.decisions) == 1
    viewer.layers.selection.active = viewer.layers["small"]

    # On another page the keys decide nothing.
    dock.show_page("measure")
    QTest.keyClick(native, "r")
    assert len(results.store.decisions) == 1
    dock.show_page("review")
    wait_paint()

    # Saying what it is.
    names = page.correct
    gallery.choose(gallery.tiles[0])
    names.setCurrentIndex(names.findData("liver"))
    names.activated.emit(names.currentIndex())
    assert results.store.decisions[gallery.tiles[0]].correct == "liver"
    assert page.control.save(tmp_path / "d.csv")
    assert len((tmp_path / "d.csv").read_text().splitlines()) == 3

    # Another slide and back: the decisions can still be undone.
    dock.controller.choose_layer(None)
    dock.controller.choose_layer(viewer.layers["small"])
    wait(lambda: page.control.review is not None)
    assert page.undo.isEnabled()
    assert [x.name for x in viewer.layers].count("Review · small") == 1
    dock.release()
    assert "Review · small" not in viewer.layers


def test_gallery_frames_and_overview_in_pixels(
    viewer: ViewerModel, dock: LiverDxDock, small_slide: Path
) -> None:
    open_in(dock, small_slide)
    analyze(dock)
    results = dock.controller.results
    assert results is not None
    page = review_page(dock)
    gallery = page.gallery
    # Tissue is pink, a missing image is gray.
    shown = _pixels(gallery.viewport())
    item = gallery.visualItemRect(gallery.item(0))
    part = shown[item.top() + 10 : item.top() + 90, item.left() + 10 : item.left() + 90]
    assert part[..., 0].mean() > part[..., 1].mean() + 15

    # The frame of an accepted tile is green on the canvas.
    gallery.setCurrentRow(0)
    click(page.accept)
    dock.controller.findings.set_view(visible=False)
    gallery.setCurrentRow(0)
    # The current tile's frame has a color of its own.
    page.control.choose(gallery.tiles[-1], fly=False)
    picture = canvas(viewer)
    green = (picture[..., 1] > picture[..., 0] + 60) & (picture[..., 1] > 120)
    assert green.sum() > 300

    # The overview shows where the canvas looks, and leads it.
    overview = page.overview.map
    wait(lambda: not overview.is_empty)
    rect = results.rect(gallery.tiles[0])
    assert overview.view_rect is not None
    assert overview.view_rect.intersection(rect).area == pytest.approx(rect.area)
    place = overview.point_of(224, 672)
    QTest.mouseClick(
        overview, Qt.MouseButton.LeftButton, pos=QPoint(round(place.x()), round(place.y()))
    )
    y, x = camera_of(viewer).center[-2:]
    assert (x, y) == (pytest.approx(112, abs=5), pytest.approx(336, abs=5))
    wait_paint()


def _pixels(widget: QWidget) -> np.ndarray:
    image = widget.grab().toImage()
    image = image.convertToFormat(image.Format.Format_RGB888)
    width, height, line = image.width(), image.height(), image.bytesPerLine()
    raw = np.frombuffer(image.constBits(), np.uint8)[: line * height].reshape(height, line)
    return raw[:, : 3 * width].reshape(height, width, 3).astype(int)


def test_clicking_on_the_slide_picks_a_tile(
    viewer: ViewerModel, dock: LiverDxDock, small_slide: Path
) -> None:
    open_in(dock, small_slide)
    analyze(dock)
    page = review_page(dock)
    before = list(viewer.mouse_drag_callbacks)
    click(page.pick)
    viewer.reset_view()
    native = viewer.window._qt_viewer.canvas.native
    middle = QPoint(native.width() // 2, native.height() // 2)
    QTest.mouseClick(native, Qt.MouseButton.LeftButton, pos=middle)
    tile = page.control.current
    results = dock.controller.results
    assert results is not None
    rect = results.rect(tile)
    # The slide's middle, (560, 448), lies in it or on its edge.
    assert rect.x - 2 <= 560 <= rect.right + 2
    assert rect.y - 2 <= 448 <= rect.bottom + 2
    click(page.pick)
    assert list(viewer.mouse_drag_callbacks) == before
