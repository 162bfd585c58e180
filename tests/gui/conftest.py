"""Real windows and the docks in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from napari.components import ViewerModel

from napari_liverdx.widgets.analyze_dock import LiverDxDock
from napari_liverdx.widgets.pages.finetune_page import FinetunePage
from tests.support.window import open_in, wait


@pytest.fixture
def own_settings(tmp_path: Path) -> None:
    """Settings of this test alone."""
    from qtpy.QtCore import QSettings

    QSettings.setPath(
        QSettings.Format.NativeFormat, QSettings.Scope.UserScope, str(tmp_path / "settings")
    )


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


@pytest.fixture
def own_preferences() -> Iterator[object]:
    """The plugin's settings, put back afterwards."""
    from napari.settings import get_plugin_settings

    settings = get_plugin_settings("napari-liverdx")
    parts = {name: getattr(settings, name) for name in ("analysis", "display", "sharing")}
    before = {name: part.model_dump() for name, part in parts.items()}
    yield settings
    for name, fields in before.items():
        for key, value in fields.items():
            setattr(parts[name], key, value)


@pytest.fixture
def told(dock: LiverDxDock) -> Iterator[list[str]]:
    """Notifications the user was shown."""
    from napari.utils.notifications import notification_manager

    messages: list[str] = []

    def keep(notification: object) -> None:
        messages.append(str(notification.message))

    notification_manager.notification_ready.connect(keep)
    yield messages
    notification_manager.notification_ready.disconnect(keep)


@pytest.fixture
def finetune_page(
    dock: LiverDxDock, painted: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FinetunePage]:
    """The page, with a slide open."""
    (tab,) = (p for p in dock.pages if isinstance(p, FinetunePage))
    dock.tabs.setCurrentWidget(tab)
    open_in(dock, painted)
    tab.control.n_epochs = 2
    yield tab
    tab.control.stop.throw()
    wait(lambda: not tab.control.workers.are_busy)
