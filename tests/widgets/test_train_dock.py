"""The training dock without a napari window: curves, cancel, resume, leaks, bad data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from napari.components import ViewerModel
from PIL import Image
from qtpy.QtWidgets import QScrollArea

from napari_liverdx.models.file import read_card
from napari_liverdx.models.zoo import available_models
from napari_liverdx.widgets.train_dock import TrainDock
from tests.support.folders import RECIPE, write_folders
from tests.support.window import click, orange, show, wait, wait_paint


@pytest.fixture
def own_folders(tmp_path: Path, sample: object) -> Path:
    root = tmp_path / "data"
    root.mkdir()
    write_folders(sample, root)
    return root


@pytest.fixture
def dock(
    viewer: ViewerModel,
    qtbot: object,
    tmp_path: Path,
    own_folders: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[TrainDock]:
    """The dock, with a quick recipe and data that anything can learn."""
    monkeypatch.setenv("LIVERDX_MODELS", str(tmp_path / "models"))
    dock = show(qtbot, TrainDock(viewer))
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE)
    dock.use_recipe(str(recipe))
    dock.form["data"].value = own_folders
    yield dock
    dock.release()
    wait(lambda: not dock.is_busy)


def done(dock: TrainDock) -> Callable[[], bool]:
    return lambda: not dock.is_busy and dock.start_button.isEnabled()


def test_long_paths_do_not_widen_the_dock(dock: TrainDock) -> None:
    """Nothing is cut off: the settings are no wider than what is shown of them."""
    long = "/a/very/long/path/to/a/folder/of/labeled/tiles/of/many/patients/and/slides"
    dock.form["data"].value = long
    dock.form["out"].value = f"{long}/model.safetensors"
    wait_paint()
    area = dock.findChild(QScrollArea)
    assert area.widget().width() <= area.viewport().width()
    assert area.widget().minimumSizeHint().width() <= area.viewport().width()


def test_nothing_starts_without_data(dock: TrainDock) -> None:
    dock.form["data"].line_edit.value = " "
    assert not dock.start_button.isEnabled()
    assert "labeled data" in dock.start_button.toolTip()
    assert not dock.cancel_button.isEnabled()


@pytest.mark.slow
def test_training_shows_curves_and_saves_a_model(dock: TrainDock) -> None:
    dock.form["epochs"].value = 3
    legend = orange(dock.loss)
    click(dock.start_button)
    assert not dock.start_button.isEnabled()
    assert dock.cancel_button.isEnabled()
    wait(done(dock))
    assert dock.controller.saved is not None, dock.message.text()
    assert "Saved my-tiny.safetensors" in dock.message.text()
    assert "evaluate on an independent test set" in dock.message.text()
    assert [e.epoch for e in dock.controller.epochs] == [1, 2, 3]
    assert orange(dock.loss) > 2 * legend, "the validation curve is drawn"
    assert "epoch 3" in dock.loss.accessibleDescription()
    assert "my-tiny" in available_models(), "the model can be chosen in the other dock"
    assert read_card(dock.controller.saved.path).command.startswith("liverdx train")


@pytest.mark.slow
def test_cancel_keeps_whole_epochs_and_train_goes_on(dock: TrainDock) -> None:
    dock.form["epochs"].value = 4
    click(dock.start_button)
    wait(lambda: len(dock.controller.epochs) >= 1)
    click(dock.cancel_button)
    wait(done(dock))
    assert dock.controller.saved is None
    assert "Train goes on from there" in dock.message.text()
    kept = len(dock.controller.epochs)
    assert kept < 4
    click(dock.start_button)
    wait(done(dock))
    assert dock.controller.saved is not None
    assert [e.restored for e in dock.controller.epochs[:kept]] == [True] * kept
    assert [e.epoch for e in dock.controller.epochs] == [1, 2, 3, 4]


def test_leaky_data_are_refused_until_allowed(dock: TrainDock, own_folders: Path) -> None:
    """The same picture of two patients, turned: it may stand on both sides."""
    for path in sorted((own_folders / "normal").glob("*.png")):
        with Image.open(path) as image:
            image.rotate(90).save(path.with_name(f"q{path.stem[1:]}.png"))
    for path in sorted((own_folders / "cancer").glob("*.png")):
        with Image.open(path) as image:
            image.rotate(90).save(path.with_name(f"q{path.stem[1:]}.png"))
    recipe = Path(dock.chosen_recipe)
    recipe.write_text(recipe.read_text().replace("^(p", "^([pq]"))
    click(dock.start_button)
    wait(done(dock))
    assert dock.controller.saved is None
    assert "identical" in dock.message.text()
    assert dock.controller.epochs == []


def test_bad_data_are_said(dock: TrainDock, tmp_path: Path) -> None:
    dock.form["data"].value = tmp_path / "nowhere"
    click(dock.start_button)
    wait(done(dock))
    assert "no such folder" in dock.message.text()


def test_a_broken_recipe_is_not_taken(dock: TrainDock, tmp_path: Path) -> None:
    before = dock.chosen_recipe
    broken = tmp_path / "broken.toml"
    broken.write_text("[train\n")
    dock.use_recipe(str(broken))
    assert dock.recipe.findData(str(broken)) < 0
    assert dock.chosen_recipe == before
