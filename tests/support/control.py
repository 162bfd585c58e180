"""Driving controllers without a window."""

from __future__ import annotations

from pathlib import Path

from napari_liverdx.widgets.main.controller import DockController
from tests.support.host import StepHost


def open_and_settle(control: DockController, host: StepHost, path: Path) -> None:
    """Open a slide; its results go into a folder beside it."""
    control.open_path(path)
    host.settle()
    control.state.run.out_folder = path.parent / "results"


def analyze_and_settle(control: DockController, host: StepHost) -> None:
    """Run to the end."""
    control.analyze()
    host.settle()
