"""Slide formats, one file each: what is in `FORMATS` can be opened, listed and chosen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from napari_liverdx.slides.backend import SlideBackend
from napari_liverdx.slides.formats.image import open_image
from napari_liverdx.slides.formats.tiff import open_tiff

__all__ = ["FORMATS", "SlideFormat", "slide_suffixes"]


@dataclass(frozen=True, slots=True)
class SlideFormat:
    """A format.

    Attributes
    ----------
    name : str
        For people.
    suffixes : tuple of str
        Endings of such files, with their dot, in lower case.
    open : callable
        Takes a path; returns a backend, or None if the file is not of this kind.
    """

    name: str
    suffixes: tuple[str, ...]
    open: Callable[[Path], SlideBackend | None]


FORMATS: list[SlideFormat] = [
    SlideFormat("Tiled TIFF", (".svs", ".tif", ".tiff"), open_tiff),
    SlideFormat("Image", (".png", ".jpg", ".jpeg", ".bmp"), open_image),
]
"""The formats, in the order in which they are tried."""


def slide_suffixes() -> tuple[str, ...]:
    """Return the endings of all formats, each once."""
    return tuple(dict.fromkeys(s for kind in FORMATS for s in kind.suffixes))
