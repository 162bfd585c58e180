"""The npe2 reader."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_liverdx.core.errors import NotASlideError, SlideReadError
from napari_liverdx.slides.open import open_slide
from napari_liverdx.viewer.layers.base import slide_layer_data

if TYPE_CHECKING:
    from napari.types import LayerData

__all__ = ["get_reader"]

Reader = Callable[[str | Sequence[str]], "list[LayerData]"]


def get_reader(path: str | Sequence[str]) -> Reader | None:
    """Return a reader for one slide or a list of them; None if a file is no slide.

    A slide that is damaged still gets a reader, so that the user is told what is wrong with it.
    """
    for one in _each(path):
        try:
            open_slide(one).close()
        except NotASlideError:
            return None
        except SlideReadError:
            continue
    return read_slides


def read_slides(path: str | Sequence[str]) -> list[LayerData]:
    """Read the layers of one slide or of several.

    Raises
    ------
    SlideReadError
        If one is damaged.
    """
    return [slide_layer_data(open_slide(one)) for one in _each(path)]


def _each(path: str | Sequence[str]) -> list[Path]:
    return [Path(path)] if isinstance(path, str) else [Path(p) for p in path]
