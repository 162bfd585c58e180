"""The page that explains a tile, in a real window: clicks, keys, places, pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_liverdx.core.grid import TileIndex
from napari_liverdx.viewer.layers.camera import camera_of, canvas_size
from napari_liverdx.widgets.analyze_dock import LiverDxDock
from napari_liverdx.widgets.pages.explain_page import ExplainPage
from tests.support.slides import write_pyramid
from tests.support.window import canvas, click, open_in, wait, wait_paint

pytestmark = pytest.mark.gui


OUTLINE = "Explained tile · small"


def page_of(dock: LiverDxDock) -> ExplainPage:
    (page,) = (p for p in dock.pages if isinstance(p, ExplainPage))
    return page


def screen_place(viewer: ViewerModel, x: float, y: float) -> QPoint:
    """Where a place in level-0 pixels of a 0.5 µm/px slide stands on the canvas."""
    camera = camera_of(viewer)
    world = np.array([y - 0.5, x - 0.5]) * 0.5
    at = (world - camera.center[-2:]) * camera.zoom + np.array(canvas_size(viewer)) / 2
    return QPoint(round(at[1]), round(at[0]))


def point_at(viewer: ViewerModel, x: float, y: float) -> None:
    QTest.mouseMove(native(viewer), screen_place(viewer, x, y))
    wait_paint()


def native(viewer: ViewerModel) -> object:
    return viewer.window._qt_viewer.canvas.native


def click_at(viewer: ViewerModel, x: float, y: float) -> None:
    QTest.mouseClick(native(viewer), Qt.MouseButton.LeftButton, pos=screen_place(viewer, x, y))


def answered(page: ExplainPage, row: int, col: int) -> None:
    def there() -> bool:
        explanation = page.control.explanation
        return explanation is not None and explanation.tile == TileIndex(row, col)

    wait(there)
    wait(lambda: not page.controller.is_busy)


def test_a_click_explains_the_tile_under_it(
    viewer: ViewerModel, dock: LiverDxDock, small_slide: Path
) -> None:
    open_in(dock, small_slide)
    viewer.reset_view()
    wait_paint()
    page = page_of(dock)
    click_at(viewer, 500, 300)
    assert page.control.explanation is None
    assert OUTLINE not in viewer.layers
    click(page.pick)
    click_at(viewer, 500, 300)
    answered(page, 1, 2)
    assert dock.tabs.currentWidget() is page
    assert page.answer.isVisibleTo(page)
    assert "Tile 1, 2 is predicted as" in page.status.text()
    assert page.meaning.text().startswith("The neighboring map pixels ")
    explanation = page.control.explanation
    assert explanation is not None
    assert page.table.columnCount() == 3
    for row in range(3):
        assert page.table.item(row, 1).text() == f"{explanation.probabilities[row]:.3f}"
        assert page.table.item(row, 2).text() == f"{explanation.alone.probabilities[row]:.3f}"
    assert str(viewer.layers.selection.active) == "small"
    # The shown pixels are those of the images.
    view = page.view
    shown = view.grab().toImage()
    place = view.place(2).center().toPoint() * shown.devicePixelRatio()
    color = shown.pixelColor(place)
    from napari_liverdx.inference.explain_sheet import explanation_pictures

    middle = explanation_pictures(explanation)[2].pixels[112, 112]
    assert np.abs(np.array(color.getRgb()[:3]) - middle).max() <= 3

    start, end = screen_place(viewer, 100, 100), screen_place(viewer, 300, 300)
    QTest.mousePress(native(viewer), Qt.MouseButton.LeftButton, pos=start)
    QTest.mouseMove(native(viewer), (start + end) / 2)
    QTest.mouseMove(native(viewer), end)
    QTest.mouseRelease(native(viewer), Qt.MouseButton.LeftButton, pos=end)
    wait_paint()
    assert not dock.controller.is_busy
    assert explanation is page.control.explanation


def test_key_explains_the_tile_under_the_pointer_and_the_last_request_wins(
    viewer: ViewerModel, dock: LiverDxDock, small_slide: Path
) -> None:
    open_in(dock, small_slide)
    viewer.reset_view()
    wait_paint()
    page = page_of(dock)
    answers: list[int] = []
    page.control.answered.connect(
        lambda a: answers.append(-1 if a is None else a.explanation.tile.col)
    )
    for col in (0, 1, 2, 3):
        point_at(viewer, col * 224 + 100, 300)
        QTest.keyClick(native(viewer), "e")
    answered(page, 1, 3)
    assert answers[-1] == 3
    answers.clear()
    for col in (0, 1, 2):
        page.explain_at((168.0, (col * 224 + 100) * 0.5))
    answered(page, 1, 2)
    assert answers == [2]
    page.explain_at((168.0, (3 * 224 + 100) * 0.5))
    answered(page, 1, 3)
    outline = viewer.layers[OUTLINE]
    world = outline.data[:, 0] + outline.data[:, 1] / 2
    assert np.allclose(world.mean(axis=0), (np.array([336, 784]) - 0.5) * 0.5)

    page.choice.setCurrentIndex(2)
    page.choice.activated.emit(2)
    wait(lambda: page.control.explanation.class_index == 1)
    assert page.control.explanation.tile == TileIndex(1, 3)
    point_at(viewer, 50, 850)
    QTest.keyClick(native(viewer), "e")
    answered(page, 3, 0)
    assert page.control.explanation.class_index == 1
    page.explain_at((-10.0, -10.0))
    assert "outside the slide" in page.status.text()


def test_maps_lie_exactly_over_the_tile(
    viewer: ViewerModel, dock: LiverDxDock, tmp_path: Path
) -> None:
    """A black tile is painted into the slide; outline and maps must cover it and nothing else."""
    pixels = np.full((896, 1120, 3), (205, 140, 180), np.uint8)
    pixels[224:448, 448:672] = 0
    path = tmp_path / "marked.tif"
    write_pyramid(path, pixels)
    open_in(dock, path)
    page = page_of(dock)
    page.explain_at(((336 - 0.5) * 0.5, (560 - 0.5) * 0.5))
    answered(page, 1, 2)
    outline = viewer.layers["Explained tile · marked"]
    page.on_slide.setChecked(True)
    maps = page.control.layers.maps
    assert len(maps) == 2
    for layer in viewer.layers[1:]:
        layer.visible = False
    # New layers may widen napari's own docks, so the image is taken after them.
    wait_paint()
    viewer.reset_view()
    plain = canvas(viewer)
    tile = _tile_box((plain < 40).all(axis=2))
    for layer, shape in zip(maps, [(224, 224), (7, 7)], strict=True):
        assert layer.data.shape == shape
        for other in maps:
            other.visible = other is layer
        layer.data = np.ones(shape, np.float32)
        layer.opacity = 1.0
        covered = np.argwhere((np.abs(canvas(viewer) - plain) > 30).any(axis=2))
        found = [*covered.min(axis=0), *covered.max(axis=0)]
        assert np.abs(np.subtract(found, tile)).max() <= 1
    for layer in maps:
        layer.visible = False
    outline.visible = True
    drawn = np.argwhere((np.abs(canvas(viewer) - plain) > 30).any(axis=2))
    found = [*drawn.min(axis=0), *drawn.max(axis=0)]
    assert np.abs(np.subtract(found, tile)).max() <= 3
    page.on_slide.setChecked(False)
    assert not any(layer in viewer.layers for layer in maps)
    assert outline in viewer.layers


def _tile_box(black: np.ndarray) -> list[int]:
    """Box of the black square: the largest black part that does not touch the canvas' edge."""
    from scipy.ndimage import find_objects, label

    parts, _ = label(black)
    inner = [
        s
        for s in find_objects(parts)
        if s[0].start > 0 and s[1].start > 0 and s[0].stop < black.shape[0]
    ]
    rows, cols = max(inner, key=lambda s: (s[0].stop - s[0].start) * (s[1].stop - s[1].start))
    return [rows.start, cols.start, rows.stop - 1, cols.stop - 1]


def test_all_goes_with_the_dock(viewer: ViewerModel, dock: LiverDxDock, small_slide: Path) -> None:
    page = page_of(dock)
    open_in(dock, small_slide)
    before = list(viewer.mouse_drag_callbacks)
    click(page.pick)
    assert list(viewer.mouse_drag_callbacks) != before
    page.explain_at((100.0, 100.0))
    assert dock.controller.is_busy
    dock.release()
    wait(lambda: not dock.controller.is_busy)
    assert page.control.explanation is None
    assert OUTLINE not in viewer.layers
    assert list(viewer.mouse_drag_callbacks) == before
    QTest.keyClick(native(viewer), "e")
    assert not dock.controller.is_busy
