"""What a process holds: open files and threads of ours."""

from __future__ import annotations

import gc
import sys
import threading
from pathlib import Path

DESCRIPTORS = Path("/proc/self/fd")
"""Where Linux tells what is open; other systems have no such place."""


def open_files() -> set[str]:
    """Return the files that this process has open, as far as the system tells."""
    found = set()
    for link in DESCRIPTORS.glob("*") if DESCRIPTORS.exists() else ():
        try:
            found.add(str(link.readlink()))
        except OSError:
            continue
    return found


def open_slides() -> set[str]:
    """Return the slides among them, by their file names."""
    return {name for name in open_files() if name.endswith((".svs", ".tif", ".tiff", ".dcm"))}


def own_threads() -> list[str]:
    """Return the names of our threads that run."""
    return [t.name for t in threading.enumerate() if t.name.startswith("liverdx")]


class Imports:
    """Sets aside what was imported, so that a collection looks through what tests made alone.

    With torch and napari loaded a collection takes half a second, without what they hold a tenth.
    """

    _MANY = 150

    def __init__(self) -> None:
        self._modules = 0

    def set_aside(self) -> None:
        """Do so where many modules came since the last time; garbage is collected before."""
        if len(sys.modules) - self._modules >= self._MANY:
            self._modules = len(sys.modules)
            gc.collect()
            gc.freeze()
