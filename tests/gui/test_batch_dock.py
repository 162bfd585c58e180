"""The dock for many slides in a real window: drops, clicks, keys, edits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QDockWidget

from napari_liverdx.results.store import ResultStore
from napari_liverdx.widgets.analyze_dock import LiverDxDock
from napari_liverdx.widgets.batch_dock import BatchDock
from napari_liverdx.widgets.batch_result import main_dock
from tests.support.cohort import result_of
from tests.support.paths import one
from tests.support.window import click, wait

pytestmark = pytest.mark.gui


@pytest.fixture
def many(
    viewer: ViewerModel, qtbot: object, tiny_file: Path, tmp_path: Path
) -> Iterator[BatchDock]:
    """The dock in its viewer, with the quick model and its own folder for results."""
    _, dock = viewer.window.add_plugin_dock_widget("napari-liverdx", "Analyze many slides")
    dock.choose_model(str(tiny_file))
    dock.settings.thresholds["fat"].setValue(0.3)
    yield dock
    dock.release()
    wait(lambda: not dock.is_busy)


def run(dock: BatchDock) -> None:
    click(dock.run_button)
    wait(lambda: not dock.is_busy and dock.run_button.isEnabled())


def test_result_opens_in_the_other_dock_if_that_is_there(
    many: BatchDock,
    viewer: ViewerModel,
    mixed_slides: Path,
    tmp_path: Path,
) -> None:
    many.add_paths([mixed_slides / "a" / "liver.tif"])
    many.settings.folder.setText(str(tmp_path / "out"))
    run(many)
    _, dock = viewer.window.add_plugin_dock_widget("napari-liverdx", "Analyze slide")
    assert isinstance(dock, LiverDxDock)
    assert main_dock(many) is dock
    many.table.choose(0)
    assert many.open_button.isEnabled()
    many.table.setFocus()
    QTest.keyClick(many.table, Qt.Key.Key_Return)
    wait(lambda: not dock.controller.is_busy)
    assert dock.controller.results is not None
    assert dock.controller.results.store.path == result_of(tmp_path / "out")
    assert dock.controller.slide is not None
    assert dock.controller.slide.path == mixed_slides / "a" / "liver.tif"
    dock.release()
    wait(lambda: not dock.controller.is_busy)
    viewer.layers.clear()


def test_both_docks_share_one_place(
    dock: LiverDxDock, viewer: ViewerModel, many: BatchDock
) -> None:
    """Above each other neither would have enough room."""
    window = many.window()
    held = {
        w: next(d for d in window.findChildren(QDockWidget) if d.isAncestorOf(w))
        for w in (dock, many)
    }
    wait(lambda: held[dock] in window.tabifiedDockWidgets(held[many]))


def test_closing_the_window_ends_the_batch(
    many: BatchDock,
    small_slide: Path,
    tmp_path: Path,
) -> None:
    many.add_paths([small_slide])
    many.settings.folder.setText(str(tmp_path / "out"))
    click(many.run_button)
    wait(lambda: many.model.items[0].step.progress > 0)
    many.close()
    wait(lambda: not many.is_busy)
    kept = ResultStore.open(one(tmp_path / "out", "small.tiny-*.liverdx.zarr"))
    assert 0 < (kept.state == 1).sum() < 20
