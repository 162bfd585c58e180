"""The training dock in a real window: curves, cancel, resume, leaks, bad data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from napari.components import ViewerModel

from napari_liverdx.widgets.train_dock import TrainDock
from tests.support.folders import RECIPE, write_folders
from tests.support.window import click, wait

pytestmark = pytest.mark.gui


@pytest.fixture
def own_folders(tmp_path: Path, sample: object) -> Path:
    root = tmp_path / "data"
    root.mkdir()
    write_folders(sample, root)
    return root


@pytest.fixture
def dock(
    make_napari_viewer: Callable[..., ViewerModel],
    qtbot: object,
    tmp_path: Path,
    own_folders: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[TrainDock]:
    """The dock, with a quick recipe and data that anything can learn."""
    monkeypatch.setenv("LIVERDX_MODELS", str(tmp_path / "models"))
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1300, 800)
    _, dock = viewer.window.add_plugin_dock_widget("napari-liverdx", "Train model")
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE)
    dock.use_recipe(str(recipe))
    dock.form["data"].value = own_folders
    yield dock
    dock.release()
    wait(lambda: not dock.is_busy)


@pytest.mark.slow
def test_closing_the_window_ends_the_training(dock: TrainDock) -> None:
    dock.form["epochs"].value = 50
    click(dock.start_button)
    wait(lambda: len(dock.controller.epochs) >= 1)
    dock.close()
    wait(lambda: not dock.is_busy)
