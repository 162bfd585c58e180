"""At home in napari: menus, preferences, keys, dropped files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtWidgets import QLabel, QScrollArea

from napari_liverdx.slides.slide import Slide
from napari_liverdx.viewer.preferences import Preferences, preferences
from napari_liverdx.widgets.analyze_dock import LiverDxDock
from tests.support.slides import write_pyramid
from tests.support.window import analyze, open_in, wait, wait_paint

pytestmark = pytest.mark.gui


def run_command(name: str) -> None:
    """What a click on a menu entry does."""
    from napari._app_model import get_app_model

    get_app_model().commands.execute_command(f"napari-liverdx.{name}").result()


def menu_commands(menu: str) -> set[str]:
    from napari._app_model import get_app_model

    return {
        item.command.id
        for item in get_app_model().menus.get_menu(menu)
        if hasattr(item, "command") and item.command.id.startswith("napari-liverdx")
    }


def test_layers_menu_opens_the_dock_on_the_selected_layer(
    viewer: ViewerModel, qtbot: object, sample: Slide
) -> None:
    assert menu_commands("napari/layers/classify") == {"napari-liverdx.classify"}
    assert menu_commands("napari/layers/measure") == {"napari-liverdx.measure"}
    pixels = sample.read_region(0, 1900, 500, 448, 448)
    viewer.add_image(np.zeros((20, 20)), name="gray")
    # A layer that somebody else made.
    viewer.add_image(pixels, rgb=True, name="theirs", scale=(0.5, 0.5), units=("um", "um"))
    viewer.add_image(pixels[::2], rgb=True, name="other")
    viewer.layers.selection.active = viewer.layers["theirs"]
    run_command("classify")
    (dock,) = viewer.window.dock_widgets.values()
    assert isinstance(dock, LiverDxDock)
    assert dock.controller.layer is viewer.layers["theirs"]
    run_command("measure")
    assert dock.tabs.tabText(dock.tabs.currentIndex()) == "Measure"
    assert len(viewer.window.dock_widgets) == 1
    wait(lambda: not dock.controller.is_busy)
    dock.release()


def test_preferences_start_as_the_manifest_says(viewer: ViewerModel) -> None:
    assert preferences() == Preferences()


def test_the_preferences_page_shows_the_settings(viewer: ViewerModel) -> None:
    from napari._qt.dialogs.preferences_dialog import PreferencesDialog

    dialog = PreferencesDialog(parent=viewer.window._qt_window)
    (row,) = [i for i in range(dialog._list.count()) if dialog._list.item(i).text() == "Liver Dx"]
    labels = {label.text() for label in dialog._stack.widget(row).findChildren(QLabel)}
    assert {"Model", "Device", "Threshold", "Colors", "Pseudonymize slide name"} <= labels
    dialog.close()
    dialog.deleteLater()


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_every_page_fits_a_small_screen(
    viewer: ViewerModel, dock: LiverDxDock, tmp_path: Path, theme: str, sample: Slide
) -> None:
    """On 1366×768 nothing of a page is wider than the dock, in either theme."""
    path = tmp_path / "a-slide-with-quite-a-long-name-as-scanners-give-them-2026-11-25.tif"
    write_pyramid(path, sample.read_region(0, 1900, 500, 448, 448))
    viewer.theme = theme
    viewer.window.resize(1366, 768)
    open_in(dock, path)
    analyze(dock)
    for index in range(dock.tabs.count()):
        dock.tabs.setCurrentIndex(index)
        wait_paint()
        page = dock.tabs.widget(index)
        areas = page.findChildren(QScrollArea)
        assert areas
        for area in areas:
            assert area.widget().minimumSizeHint().width() <= area.viewport().width(), (
                dock.tabs.tabText(index)
            )
    wait(lambda: not dock.controller.is_busy)
    assert dock.width() <= 0.36 * 1366
