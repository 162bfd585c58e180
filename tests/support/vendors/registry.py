"""Every scanner whose files are written here, and what OpenSlide calls it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.support.slides import waves
from tests.support.vendors.czi import write_czi
from tests.support.vendors.hamamatsu import write_vms, write_vmu
from tests.support.vendors.mirax import write_mirax
from tests.support.vendors.ndpi import write_ndpi
from tests.support.vendors.sakura import write_sakura
from tests.support.vendors.tiffs import write_bif, write_philips, write_scn, write_trestle

PIXELS = waves(192, 256) & np.uint8(0xE0)
"""Few colors, so that what is stored without loss stays small."""

TWO_PLACES = [((64, 128), PIXELS[:128, :128]), ((512, 256), PIXELS)]


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
    Written("slide.scn", "leica", lambda p: write_scn(p, TWO_PLACES)),
    Written("slide.bif", "ventana", lambda p: write_bif(p, PIXELS)),
    Written("philips.tiff", "philips", lambda p: write_philips(p, PIXELS[:150, :200])),
    Written("slide.vms", "hamamatsu", lambda p: write_vms(p, PIXELS)),
    Written("trestle.tif", "trestle", lambda p: write_trestle(p, PIXELS)),
    Written("slide.vmu", "hamamatsu", lambda p: write_vmu(p, PIXELS)),
    Written("slide.czi", "zeiss", lambda p: write_czi(p, TWO_PLACES)),
    Written("slide.svslide", "sakura", lambda p: write_sakura(p, PIXELS)),
)
