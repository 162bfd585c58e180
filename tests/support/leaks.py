"""What a process holds: open files and threads of ours."""

from __future__ import annotations

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
    return {name for name in open_files() if name.endswith((".svs", ".tif", ".tiff"))}


def own_threads() -> list[str]:
    """Return the names of our threads that run."""
    return [t.name for t in threading.enumerate() if t.name.startswith("liverdx")]
