"""Opening a file as a slide, whichever format reads it."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path

from napari_liverdx._registry import PluginWarning
from napari_liverdx.core.errors import (
    LiverDxError,
    NotASlideError,
    SlideReadError,
    existing_path,
)
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.slides.backend import SlideBackend
from napari_liverdx.slides.cache import TileCache
from napari_liverdx.slides.formats import FORMATS, SlideFormat, slide_titles
from napari_liverdx.slides.slide import Slide

__all__ = ["open_slide"]


def open_slide(
    path: str | Path, *, mpp: Mpp | None = None, cache: TileCache | None = None
) -> Slide:
    """Open an image as a slide.

    Parameters
    ----------
    path : str or Path
        A file in one of the `FORMATS`: a tiled or pyramidal TIFF (Aperio SVS, generic, OME-TIFF),
        a PNG, JPEG or plain TIFF, which becomes a slide of one level, or what other packages add.
    mpp : Mpp, optional
        Overrides what the file says.
    cache : TileCache, optional
        Memory for decoded tiles, 256 MiB by default.

    Returns
    -------
    Slide

    Raises
    ------
    SlideReadError
        If the file is missing, unreadable or truncated.
    NotASlideError
        If it is not a histology image in a format listed above.
    """
    found = existing_path(path, SlideReadError)
    if found is None:
        raise SlideReadError(f"{path}: no such file; check the path")
    path = found
    if path.is_dir():
        raise NotASlideError(f"{path}: this is a folder; give the slide file itself")
    if path.stat().st_size == 0:
        raise SlideReadError(f"{path}: the file is empty; copy it again from its source")
    try:
        for name, kind in FORMATS.items():
            backend = kind.open(path) if FORMATS.is_own(name) else _try_foreign(kind, path)
            if backend is not None:
                return Slide(path, backend, mpp=mpp, cache=cache, open_again=open_slide)
    except (OSError, ValueError, OverflowError, struct.error) as error:
        if isinstance(error, LiverDxError):
            raise
        raise SlideReadError(
            f"{path}: the file is damaged or cannot be read ({error}); copy it again from its "
            "source"
        ) from error
    raise NotASlideError(f"{path}: not an image this plugin reads; use {slide_titles()}")


def _try_foreign(kind: SlideFormat, path: Path) -> SlideBackend | None:
    """Return what another package's opener does; None, with a warning, where it breaks."""
    try:
        return kind.open(path)
    except (LiverDxError, OSError):
        raise
    except Exception as error:  # noqa: BLE001 - other people's code may raise anything
        warnings.warn(
            f"{path}: the slide format {kind.title!r} failed ({type(error).__name__}: {error}) and "
            "is passed over",
            PluginWarning,
            stacklevel=3,
        )
        return None
