"""Files that experiments write, as they tell of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Written"]


@dataclass(frozen=True, slots=True)
class Written:
    """Files that hold a result.

    Attributes
    ----------
    paths : tuple of Path
        All in one folder, the one to look at first.
    """

    paths: tuple[Path, ...]
