"""Scene, contradicting resolutions and the properties dialog as widgets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QInputDialog, QLabel, QPushButton

from napari_liverdx.widgets.analyze_dock import LiverDxDock
from napari_liverdx.widgets.slide.slide_properties import SlideProperties
from tests.support.scenes import LABEL, PATIENT, rich_format, swapped_profile, write_rich
from tests.support.window import click, open_in, wait


@pytest.fixture(autouse=True)
def rich() -> Iterator[None]:
    """The test's format."""
    with rich_format():
        yield


def test_scene_and_options_are_offered_where_there_are_some(
    dock: LiverDxDock, tmp_path: Path, small_slide: Path
) -> None:
    panel = dock.slide_panel
    open_in(dock, small_slide)
    assert not panel.scene.isVisible()
    open_in(dock, write_rich(tmp_path / "two.rich", mpp=(0.25, 0.5)))
    assert panel.scene.isVisible()
    assert panel.scene.currentText() == "Region 2, 420 × 350 px"
    texts = {b.text() for b in panel.question.findChildren(QPushButton)}
    assert texts >= {"Use 0.25 µm/px (Rich header)", "Use 0.5 µm/px (TIFF resolution tag)"}
    click(next(b for b in panel.question.findChildren(QPushButton) if "tag" in b.text()))
    wait(lambda: not dock.controller.is_busy)
    assert not panel.question.isVisible()
    panel.scene.setCurrentIndex(0)
    panel.scene.activated.emit(0)
    wait(lambda: not dock.controller.is_busy)
    assert panel.scene.currentText().startswith("Region 1")
    (tmp_path / "two.rich").unlink()
    dock.viewer.layers.remove("two · Region 2")
    panel.scene.setCurrentIndex(1)
    panel.scene.activated.emit(1)
    assert panel.scene.currentText().startswith("Region 1"), "what is open is shown"


def test_properties_show_all_and_convert_colors(
    dock: LiverDxDock, tmp_path: Path, qtbot: QtBot
) -> None:
    assert not dock.slide_panel.properties_button.isEnabled()
    open_in(dock, write_rich(tmp_path / "two.rich", profile=swapped_profile()))
    click(dock.slide_panel.properties_button)
    (dialog,) = dock.findChildren(SlideProperties)
    words = " ".join(label.text() for label in dialog.findChildren(QLabel))
    for part in ("Region 1", "open", "20x", "x 16, y 48", "ICC", "never exported", "0.5 µm/px"):
        assert part in words
    assert PATIENT not in words
    assert not dialog.colors.isChecked()
    dialog.colors.click()
    wait(lambda: not dock.controller.is_busy)
    assert dock.controller.slide is not None
    assert dock.controller.slide.color_managed
    assert dialog.colors.isChecked()
    assert dialog.picture.isHidden(), "no picture is shown before it is asked for"
    dialog.beside.setCurrentIndex(1)
    dialog.beside.activated.emit(1)
    wait(lambda: dialog.picture.isVisible())
    shown = dialog.picture.pixmap().toImage().pixelColor(5, 5)
    assert (shown.red(), shown.green(), shown.blue()) == tuple(LABEL[0, 0])
    dock.viewer.layers.clear()
    assert not dialog.isVisible(), "it closes with its slide"


@pytest.mark.slow
def test_an_address_is_asked_for(
    dock: LiverDxDock, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    address = "http://127.0.0.1:9/a.zarr"
    monkeypatch.setattr(QInputDialog, "getText", lambda *_: (f" {address} ", True))
    dock.slide_panel.open_menu.actions()[2].trigger()
    wait(lambda: not dock.controller.is_busy)
    assert told
    assert address in told[-1]
