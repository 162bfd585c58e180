"""What a slide format must be able to do, and what it tells of a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.core.resolution import Level, Mpp

__all__ = ["IN_MEMORY", "WHITE", "SlideBackend", "SlideInfo"]

WHITE = 255
IN_MEMORY = "image layer"
"""Format of a slide that is no file; its name is that of a layer, which may change."""


@dataclass(frozen=True, slots=True)
class SlideInfo:
    """What a file says of itself.

    Attributes
    ----------
    format : str
        For people, for example ``"Aperio SVS"``.
    levels : tuple of Level
        Finest first.
    mpp : Mpp or None
        None where the file gives none or an implausible one.
    mpp_note : str
        Why ``mpp`` is None, else empty.
    """

    format: str
    levels: tuple[Level, ...]
    mpp: Mpp | None
    mpp_note: str = ""


class SlideBackend(Protocol):
    """What a file format must be able to do."""

    @property
    def info(self) -> SlideInfo:
        """What the file says of itself."""
        ...

    def read_tile(self, level: int, row: int, col: int) -> NDArray[np.uint8]:
        """Read one stored tile, RGB, shape (h, w, 3); cut at the level's edge or not.

        Raises
        ------
        TileReadError
            If it cannot be decoded.
        """
        ...

    def close(self) -> None:
        """Release the file; calling it again does nothing."""
        ...
