"""What is left of slides and runs that are over: nothing, however many there were."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from pathlib import Path

import pytest
from napari.layers import Layer

from benchmarks.soak import LIMIT, Memory, cancel_many, many_slides, write_slides
from napari_liverdx.results.store import ResultStore
from napari_liverdx.slides.slide import Slide

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux tells what a process holds"
)


class Alive(Memory):
    """Notes how many things of each kind are left."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: list[Counter[str]] = []

    def note(self) -> None:
        super().note()
        kinds = (Slide, ResultStore, Layer)
        # Some objects of other libraries fail when they are asked what they are.
        alive = [type(x) for x in gc.get_objects() if issubclass(type(x), kinds)]
        self.counts.append(Counter(kind.__name__ for kind in alive))


def test_growth_is_seen() -> None:
    assert Memory([300.0] * 9 + [400.0] * 30).growth == 0
    assert Memory([100.0 + i for i in range(60)]).growth > LIMIT


@pytest.mark.slow
def test_cancelled_runs_leave_nothing_behind(tmp_path: Path, tiny_file: Path) -> None:
    write_slides(tmp_path, 1)
    memory = Alive()
    cancel_many(tmp_path / "slide-000.tif", 6, memory, str(tiny_file))
    assert memory.counts[-1] == memory.counts[1]
    assert sum(memory.counts[-1].values()) < 20


@pytest.mark.slow
def test_slides_of_a_batch_leave_nothing_behind(tmp_path: Path, tiny_file: Path) -> None:
    write_slides(tmp_path, 5)
    memory = Alive()
    many_slides(tmp_path, memory, str(tiny_file))
    assert len(memory.counts) == 5
    assert memory.counts[-1] == memory.counts[1]
