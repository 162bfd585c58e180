"""A training without a window: what happens to its files meanwhile."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from napari_liverdx.session.train import TrainingRequest
from napari_liverdx.widgets.train_controller import TrainController
from tests.support.folders import RECIPE, write_folders
from tests.support.host import StepHost

Act = Callable[[TrainController, StepHost, Path], None]

EVENTS: dict[str, Act] = {
    "data deleted": lambda _, __, folder: shutil.rmtree(folder / "data"),
    "target deleted": lambda _, __, folder: shutil.rmtree(folder / "models"),
    "dock closed": lambda control, _, __: control.close(),
    "program ends": lambda _, host, __: host.quit(),
}


@pytest.mark.slow
@pytest.mark.parametrize("event", EVENTS)
def test_a_training_ends_in_words_whatever_happens_meanwhile(
    event: str, tmp_path: Path, sample: object
) -> None:
    (tmp_path / "data").mkdir()
    write_folders(sample, tmp_path / "data")
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE)
    host = StepHost()
    control = TrainController(host)
    said: list[str] = []
    control.said.connect(lambda text, _: said.append(text))
    assert control.choose_recipe(str(recipe)) is not None
    out = tmp_path / "models" / "mine.safetensors"
    out.parent.mkdir()
    control.start(TrainingRequest(str(recipe), tmp_path / "data", out))
    host.run_until(lambda: len(control.epochs) > 0)
    EVENTS[event](control, host, tmp_path)
    host.settle()
    assert not control.is_busy
    told = [*host.told, *said]
    assert not any("Unexpected" in words or "Traceback" in words for words in told)
    assert out.exists() or event != "data deleted" or host.told
    control.close()
