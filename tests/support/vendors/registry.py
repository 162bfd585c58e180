"""Every scanner whose files are written here, and what OpenSlide calls it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support.slides import waves
from tests.support.vendors.mirax import write_mirax
from tests.support.vendors.ndpi import write_ndpi

PIXELS = waves(256, 384)


@dataclass(frozen=True)
class Written:
    """A slide as a scanner would leave it."""

    name: str
    vendor: str
    write: Callable[[Path], None]

    def into(self, folder: Path) -> Path:
        path = folder / self.name
        self.write(path)
        return path


WRITTEN = (
    Written("slide.ndpi", "hamamatsu", lambda p: write_ndpi(p, PIXELS)),
    Written("slide.mrxs", "mirax", lambda p: write_mirax(p, PIXELS, missing=((1, 1),))),
)
