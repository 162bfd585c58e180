"""At home in napari: menus, preferences, keys, dropped files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QMimeData, QPoint, Qt, QUrl
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QLabel, QScrollArea

from napari_liverdx.slides.slide import Slide
from napari_liverdx.viewer.preferences import Preferences, preferences
from napari_liverdx.widgets.analyze_dock import LiverDxDock
from napari_liverdx.widgets.parts.keys_dialog import KeysDialog
from tests.support.slides import write_pyramid
from tests.support.window import analyze, click, notes, open_in, wait, wait_paint

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
    viewer.add_image(np.zeros((20, 20)), name="grey")
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


def test_preferences_decide_how_a_dock_begins(
    viewer: ViewerModel, qtbot: object, own_preferences: Any, tiny_file: Path, tmp_path: Path
) -> None:
    settings = own_preferences
    settings.analysis.model = str(tiny_file)
    settings.analysis.threshold = 0.7
    settings.analysis.device = "cpu"
    settings.analysis.results_folder = str(tmp_path / "all")
    settings.display.opacity = 0.25
    settings.display.colormap = "cividis"
    settings.sharing.hide_names = True
    _, dock = viewer.window.add_plugin_dock_widget("napari-liverdx", "Analyze slide")
    assert dock.state.card.name == "tiny"
    assert dock.state.device.reason == "asked for"
    assert dock.findings_panel.sliders["fat"].value() == pytest.approx(0.7)
    assert dock.findings_panel.look.opacity.value() == 25
    assert dock.findings_panel.look.colormap.currentText() == "Cividis"
    assert dock.state.out_folder == tmp_path / "all"
    hidden = [p.hide_name.isChecked() for p in dock.pages if hasattr(p, "hide_name")]
    assert hidden == [True]
    dock.release()


def test_a_preferred_model_that_is_gone_is_told(
    viewer: ViewerModel, qtbot: object, own_preferences: Any
) -> None:
    own_preferences.analysis.model = "no-such-model"
    with notes() as told:
        _, dock = viewer.window.add_plugin_dock_widget("napari-liverdx", "Analyze slide")
    assert any("no-such-model" in text for text in told)
    assert dock.state.card.name == "liver-steatosis"
    dock.release()


def test_the_preferences_page_shows_the_settings(viewer: ViewerModel) -> None:
    from napari._qt.dialogs.preferences_dialog import PreferencesDialog

    dialog = PreferencesDialog(parent=viewer.window._qt_window)
    (row,) = [i for i in range(dialog._list.count()) if dialog._list.item(i).text() == "Liver Dx"]
    labels = {label.text() for label in dialog._stack.widget(row).findChildren(QLabel)}
    assert {"Model", "Device", "Threshold", "Colours", "Code instead of the slide's name"} <= labels
    dialog.close()
    dialog.deleteLater()


def test_keys_are_listed_and_given_back(viewer: ViewerModel, dock: LiverDxDock) -> None:
    listed = {k.key for k in dock.controller.keys.listed}
    assert {"H", "A", "R", "N", "P", "Control-Z"} <= listed
    click(dock.keys_button)
    (dialog,) = dock.findChildren(KeysDialog)
    shown = [dialog.table.item(r, 0).text() for r in range(dialog.table.rowCount())]
    assert "Ctrl+Z" in shown
    assert len(shown) == len(dock.controller.keys.listed)
    dialog.reject()
    bound = {str(k) for k in viewer.keymap}
    assert "H" in bound
    dock.release()
    assert not {str(k) for k in viewer.keymap} & {"H", "A", "R", "N", "P"}


def drop(dock: LiverDxDock, *paths: Path) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(p)) for p in paths])
    actions, buttons = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton
    event = QDropEvent(QPoint(20, 20), actions, data, buttons, Qt.KeyboardModifier.NoModifier)
    dock.dropEvent(event)


def test_slides_and_results_dropped_on_the_dock(
    viewer: ViewerModel, dock: LiverDxDock, small_slide: Path
) -> None:
    open_in(dock, small_slide)
    analyze(dock)
    assert dock.controller.results is not None
    path = dock.controller.results.store.path
    viewer.layers.clear()
    wait_paint()
    drop(dock, small_slide)
    wait(lambda: not dock.controller.is_busy)
    assert [layer.name for layer in viewer.layers] == ["small"]
    assert dock.controller.results is None
    drop(dock, path)
    wait(lambda: not dock.controller.is_busy)
    assert dock.controller.results is not None
    assert len(viewer.layers) == 3


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
