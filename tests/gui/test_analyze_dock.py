"""The dock in a real window: what it shows, what it says, what it refuses."""

from __future__ import annotations

import pytest
from napari.components import ViewerModel

from napari_liverdx.widgets.analyze_dock import LiverDxDock
from tests.support.window import wait_paint

pytestmark = pytest.mark.gui


def test_nothing_is_cut_off_on_a_small_screen(viewer: ViewerModel, dock: LiverDxDock) -> None:
    viewer.window.resize(1366, 768)
    wait_paint()
    for panel in (dock.slide_panel, dock.model_panel, dock.run_panel, dock.findings_panel):
        assert panel.minimumSizeHint().width() <= dock.width()
