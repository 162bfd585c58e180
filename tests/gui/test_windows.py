"""Two windows at once, and napari's own way to open a file that several readers claim."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from napari.components import ViewerModel
from napari.plugins._npe2 import get_readers

from napari_liverdx.session.state import RunStatus
from napari_liverdx.slides.slide import Slide
from napari_liverdx.viewer.layers.base import SLIDE_KEY
from napari_liverdx.widgets.analyze_dock import LiverDxDock
from tests.support.paths import CMU, one
from tests.support.window import analyze, click, notes, open_in, wait, wait_paint

pytestmark = pytest.mark.gui


def test_two_windows_have_a_dock_each(
    viewer: ViewerModel,
    dock: LiverDxDock,
    make_napari_viewer: Callable[..., ViewerModel],
    small_slide: Path,
    tiny_file: Path,
    tmp_path: Path,
) -> None:
    second = make_napari_viewer(show=True)
    _, other = second.window.add_plugin_dock_widget("napari-liverdx", "Analyze slide")
    assert other is not dock
    assert other.controller.choose_model(str(tiny_file))
    open_in(dock, small_slide)
    open_in(other, CMU)
    other.state.run.out_folder = tmp_path / "other"
    for one_dock in (dock, other):
        click(one_dock.run_panel.analyze_button)
    wait(lambda: not other.controller.is_busy and not dock.controller.is_busy)
    assert dock.state.run.status is other.state.run.status is RunStatus.FINISHED
    assert viewer.layers[0].name == "small"
    assert second.layers[0].name == "CMU-1-Small-Region"
    one(tmp_path / "results", "small.tiny-*.liverdx.zarr")
    one(tmp_path / "other", "CMU-1-Small-Region.tiny-*.liverdx.zarr")
    dock.findings_panel.sliders["fat"].setValue(0.9)
    assert other.findings_panel.sliders["fat"].value() == 0.5
    other.release()
    wait(lambda: not other.controller.is_busy)
    analyze(dock)
    assert dock.state.run.status is RunStatus.FINISHED
    wait_paint()


def test_the_reader_of_this_plugin_is_chosen_in_napari(
    viewer: ViewerModel,
    dock: LiverDxDock,
    small_slide: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from napari._qt.dialogs.qt_reader_dialog import QtReaderDialog

    readers = get_readers(str(small_slide))
    assert len(readers) > 1, "several readers claim the ending"
    assert readers["napari-liverdx"] == "Liver Dx"
    (layer,) = viewer.open(str(small_slide), plugin="napari-liverdx")
    assert isinstance(layer.metadata[SLIDE_KEY], Slide)
    wait(lambda: not dock.controller.is_busy)
    assert dock.controller.layer is layer
    viewer.layers.clear()
    asked: list[object] = []

    def answer(dialog: QtReaderDialog) -> tuple[str, bool]:
        asked.append(dialog)
        return "Liver Dx", False

    monkeypatch.setattr(QtReaderDialog, "get_user_choices", answer)
    window = viewer.window._qt_viewer
    window._qt_open([str(small_slide)], stack=False, choose_plugin=True)
    assert asked
    assert isinstance(viewer.layers["small"].metadata[SLIDE_KEY], Slide)
    wait(lambda: not dock.controller.is_busy)
    cut = tmp_path / "cut.svs"
    cut.write_bytes(CMU.read_bytes()[:500_000])
    with notes() as told, pytest.raises(OSError, match="truncated"):
        viewer.open(str(cut), plugin="napari-liverdx")
    assert not [words for words in told if "Traceback" in words]
    assert len(viewer.layers) == 1
