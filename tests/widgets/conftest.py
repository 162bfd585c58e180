"""Controllers over a viewer that has no window."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from napari.components import ViewerModel

from napari_liverdx.inference.device import choose_device
from napari_liverdx.session.state import RunState, SessionState
from napari_liverdx.widgets.main.controller import DockController
from tests.support.host import StepHost


@pytest.fixture
def host() -> StepHost:
    """Time and work that pass in steps."""
    return StepHost()


@pytest.fixture
def control(viewer: ViewerModel, host: StepHost, tiny_file: Path) -> Iterator[DockController]:
    """The dock's logic with the quick model."""
    state = SessionState(run=RunState(device=choose_device("cpu")))
    controller = DockController(viewer, state, host)
    assert controller.choose_model(str(tiny_file))
    yield controller
    controller.close()
    host.quit()
