"""Whether memory grows over many slides and over many runs that are cancelled.

Usage: python -m benchmarks.soak [--slides 200] [--cycles 100]
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tifffile
from napari.components import ViewerModel

from napari_liverdx.inference.device import choose_device
from napari_liverdx.session.batch import BatchRequest, SlideChanged, run_batch
from napari_liverdx.session.batch_slide import SlideState
from napari_liverdx.session.state import RunState, SessionState
from napari_liverdx.slides.listing import find_slides
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.sample import sample_path
from napari_liverdx.widgets.main.controller import DockController
from tests.support.host import StepHost

__all__ = ["LIMIT", "Memory", "cancel_many", "many_slides", "write_slides"]

LIMIT = 0.05
"""Share by which memory may grow after the tenth slide or run."""

_TENTH = 10
_MODEL = "liver-steatosis"


@dataclass
class Memory:
    """What the process holds after each round.

    Attributes
    ----------
    megabytes : list of float
        One for each round.
    """

    megabytes: list[float] = field(default_factory=list)

    def note(self) -> None:
        """Take down what is held now; garbage does not count."""
        gc.collect()
        self.megabytes.append(_resident())

    @property
    def growth(self) -> float:
        """Share by which the end stands above the tenth round, as medians of five."""
        ends = self.megabytes[-5:], self.megabytes[_TENTH - 1 : _TENTH + 4]
        last, tenth = (float(np.median(values)) for values in ends)
        return last / tenth - 1


def _resident() -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("this system does not tell how much memory a process holds")


def write_slides(folder: Path, number: int) -> None:
    """Write small slides of real liver, each another part of it."""
    with open_slide(sample_path()) as slide:
        for i in range(number):
            x, y = 1900 + 20 * (i % 20), 700 + 20 * (i // 20)
            tifffile.imwrite(
                folder / f"slide-{i:03}.tif",
                slide.read_region(0, x, y, 448, 224),
                tile=(128, 128),
                photometric="rgb",
                resolution=(2e4, 2e4),
                resolutionunit="CENTIMETER",
            )


def many_slides(folder: Path, memory: Memory, model: str = _MODEL) -> None:
    """Run a batch over the slides of a folder."""
    request = BatchRequest(
        find_slides(folder), model, folder / "results", device=choose_device("cpu")
    )
    for event in run_batch(request, threading.Event()):
        if isinstance(event, SlideChanged) and event.step.state is SlideState.DONE:
            memory.note()


@contextmanager
def _dock(model: str) -> Iterator[tuple[DockController, StepHost]]:
    viewer, host = ViewerModel(), StepHost()
    state = SessionState(run=RunState(device=choose_device("cpu")))
    control = DockController(viewer, state, host)
    control.choose_model(model)
    try:
        yield control, host
    finally:
        control.close()
        host.quit()
        viewer.layers.clear()


def cancel_many(slide: Path, cycles: int, memory: Memory, model: str = _MODEL) -> None:
    """Open, analyze, cancel after some tiles, and remove a slide in one dock, again and again."""
    with _dock(model) as (control, host):
        for cycle in range(cycles):
            control.choose_folder(slide.parent / f"results-{cycle}")
            control.open_path(slide)
            host.settle()
            control.analyze()
            host.run_until(lambda: (p := control.state.run.progress) is not None and p.done > 0)
            control.cancel()
            host.settle()
            control.viewer.layers.clear()
            host.settle()
            memory.note()


def _main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slides", type=int, default=200)
    parser.add_argument("--cycles", type=int, default=100)
    chosen = parser.parse_args()
    works: dict[str, Callable[[Path, Memory], None]] = {
        f"batch of {chosen.slides} slides": many_slides,
        f"{chosen.cycles} runs cancelled": lambda folder, memory: cancel_many(
            folder / "slide-000.tif", chosen.cycles, memory
        ),
    }
    worst = 0.0
    with tempfile.TemporaryDirectory() as place:
        write_slides(Path(place), chosen.slides)
        for what, work in works.items():
            memory = Memory()
            work(Path(place), memory)
            worst = max(worst, memory.growth)
            sys.stdout.write(
                f"{what}: {memory.megabytes[0]:.0f} MB after the first, "
                f"{memory.megabytes[_TENTH - 1]:.0f} after the tenth, "
                f"{memory.megabytes[-1]:.0f} at the end, {100 * memory.growth:+.1f} %\n"
            )
            sys.stdout.flush()
    return int(worst > LIMIT)


if __name__ == "__main__":
    raise SystemExit(_main())
