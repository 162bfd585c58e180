"""Files and folders that belong to a slide whose file lies beside them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

__all__ = ["listed_values", "side_files"]

_LONGEST_LIST = 1 << 20
"""Bytes of a VMS or VMU file, which is a list of others."""


def side_files(paths: Iterable[Path]) -> frozenset[Path]:
    """Return those of a folder's entries that are parts of a slide among them.

    An MRXS file has a folder of its name, a Deep Zoom image one that ends in ``_files``; a VMS or
    VMU file names its pictures.

    Parameters
    ----------
    paths : iterable of Path
        All that lies in one folder.
    """
    inside = {path.name.lower(): path for path in paths}
    found: set[Path] = set()
    for name, path in inside.items():
        if name.endswith(".mrxs"):
            names = [name.removesuffix(".mrxs")]
        elif name.endswith(".dzi"):
            names = [f"{name.removesuffix('.dzi')}_files"]
        elif name.endswith((".vms", ".vmu")):
            names = [value.lower() for value in listed_values(path).values()]
        else:
            continue
        found.update(inside[n] for n in names if n in inside and n != name)
    return frozenset(found)


def listed_values(path: Path) -> dict[str, str]:
    """Return what a VMS or VMU file lists, names of files among it; empty if it is unreadable."""
    try:
        with path.open("rb") as file:
            text = file.read(_LONGEST_LIST).decode("utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}
