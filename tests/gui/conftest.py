"""Real windows and the docks in them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from napari.components import ViewerModel

from napari_liverdx.widgets.analyze_dock import LiverDxDock
from tests.support.window import wait


@pytest.fixture(autouse=True, scope="session")
def screen() -> None:
    """Windows draw with OpenGL, for which a platform without a screen is not enough."""
    if os.environ.get("QT_QPA_PLATFORM") == "offscreen":
        pytest.fail("windows need a screen: install xvfb, or run -m 'not gui'")


@pytest.fixture
def viewer(make_napari_viewer: Callable[..., ViewerModel], own_settings: None) -> ViewerModel:
    """A shown viewer of fixed size."""
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1300, 800)
    return viewer


@pytest.fixture
def dock(viewer: ViewerModel, qtbot: object, tiny_file: Path) -> Iterator[LiverDxDock]:
    """The dock in its viewer, with the quick model."""
    _, dock = viewer.window.add_plugin_dock_widget("napari-liverdx", "Analyze slide")
    assert dock.controller.choose_model(str(tiny_file))
    yield dock
    dock.release()
    wait(lambda: not dock.controller.is_busy)
