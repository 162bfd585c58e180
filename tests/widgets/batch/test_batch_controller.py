"""A batch without a window: what happens to its files meanwhile."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from napari_liverdx.session.batch import SlideState
from napari_liverdx.widgets.batch.batch_controller import BatchChoices, BatchController
from tests.support.host import StepHost

Act = Callable[[BatchController, StepHost, Path], None]

EVENTS: dict[str, Act] = {
    "slides deleted": lambda _, __, slides: shutil.rmtree(slides),
    "results deleted": lambda _, __, slides: shutil.rmtree(slides.parent / "out"),
    "dock closed": lambda batch, _, __: batch.close(),
    "program ends": lambda _, host, __: host.quit(),
}


@pytest.mark.parametrize("event", EVENTS)
def test_a_batch_ends_in_words_whatever_happens_meanwhile(
    event: str, mixed_slides: Path, tiny_file: Path, tmp_path: Path
) -> None:
    host = StepHost()
    batch = BatchController(host, "cpu")
    said: list[str] = []
    batch.said.connect(lambda text, _: said.append(text))
    assert batch.choose_model(str(tiny_file))
    assert batch.add_paths([mixed_slides])
    choices = BatchChoices(tmp_path / "out")
    batch.run(choices)
    host.run_until(lambda: any(i.step.state is SlideState.DONE for i in batch.slides.items))
    EVENTS[event](batch, host, mixed_slides)
    host.settle()
    assert not batch.is_busy
    states = {i.step.state for i in batch.slides.items}
    assert not any(state.is_active for state in states) or event == "dock closed"
    told = [*host.told, *said, *(i.row.problem for i in batch.slides.items)]
    assert not any("Unexpected" in words or "Traceback" in words for words in told)
    if event == "slides deleted":
        assert any("no such file" in words for words in told)
    batch.close()
