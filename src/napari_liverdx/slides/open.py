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
from napari_liverdx.slides.address import local_path, remote_address
from napari_liverdx.slides.backend import SlideBackend, SlideRequest
from napari_liverdx.slides.cache import TileCache
from napari_liverdx.slides.formats import FORMATS, SlideFormat, slide_titles
from napari_liverdx.slides.formats.unsupported import unsupported_format
from napari_liverdx.slides.slide import Slide

__all__ = ["open_slide"]

_DESCRIPTIONS = ("zarr.json", ".zattrs", ".zgroup")


def open_slide(
    path: str | Path,
    *,
    mpp: Mpp | None = None,
    scene: int | None = None,
    color_managed: bool = False,
    cache: TileCache | None = None,
) -> Slide:
    """Open an image as a slide.

    Parameters
    ----------
    path : str or Path
        A file or folder in one of the `FORMATS`, or the http or S3 address of one that can be
        read from there.
    mpp : Mpp, optional
        Overrides what the file says.
    scene : int, optional
        Index of the scene, where the file holds several; the largest by default.
    color_managed : bool
        Whether colors are turned into sRGB by the file's ICC profile; as stored by default.
    cache : TileCache, optional
        Memory for decoded tiles, 256 MiB by default.

    Returns
    -------
    Slide

    Raises
    ------
    SlideReadError
        If the file is missing, unreadable or truncated, or has no such scene or color profile.
    NotASlideError
        If it is not a histology image in a format listed above.
    """
    request = SlideRequest(_place(path), scene)
    try:
        for name, kind in FORMATS.items():
            if not kind.can_be(request):
                continue
            own = FORMATS.is_own(name)
            backend = kind.open(request) if own else _try_foreign(kind, request)
            if backend is not None:
                return _slide(request, backend, mpp, color_managed, cache)
    except (OSError, ValueError, ArithmeticError, LookupError, struct.error) as error:
        if isinstance(error, LiverDxError):
            raise
        raise SlideReadError(
            f"{request.path}: the file is damaged or cannot be read ({error}); copy it again from "
            "its source"
        ) from error
    raise _refusal(request)


def _place(path: str | Path) -> Path:
    """Return where a slide lies; something must be there."""
    if remote_address(path) is not None:
        return _store_of(Path(path))
    found = existing_path(local_path(path), SlideReadError)
    if found is None:
        raise SlideReadError(f"{path}: no such file; check the path")
    if found.is_file() and found.stat().st_size == 0:
        raise SlideReadError(f"{found}: the file is empty; copy it again from its source")
    return _store_of(found)


def _store_of(path: Path) -> Path:
    """Return the folder of a zarr store whose description was chosen, as dialogs choose files."""
    return path.parent if path.name in _DESCRIPTIONS else path


def _refusal(request: SlideRequest) -> NotASlideError:
    if request.url is not None:
        kinds = ", ".join(kind.title for kind in FORMATS.values() if kind.remote)
        return NotASlideError(
            f"{request.url}: not a slide that can be read from an address ({kinds or 'none can'}), "
            "or nothing is there; check the address, or download the slide"
        )
    if request.path.is_dir():
        return NotASlideError(
            f"{request.path}: this is a folder and no slide; give the slide file itself"
        )
    if (known := unsupported_format(request.path)) is not None:
        return NotASlideError(
            f"{request.path}: this kind ({known.title}) is not read here; {known.advice}"
        )
    return NotASlideError(f"{request.path}: not an image this plugin reads; use {slide_titles()}")


def _slide(
    request: SlideRequest,
    backend: SlideBackend,
    mpp: Mpp | None,
    color_managed: bool,
    cache: TileCache | None,
) -> Slide:
    try:
        if not backend.info.scenes and request.scene:
            raise SlideReadError(
                f"{request.path}: there is no scene {request.scene}; the file holds one picture"
            )
        return Slide(
            request.path,
            backend,
            mpp=mpp,
            cache=cache,
            open_again=open_slide,
            scene=request.scene,
            color_managed=color_managed,
        )
    except BaseException:
        backend.close()
        raise


def _try_foreign(kind: SlideFormat, request: SlideRequest) -> SlideBackend | None:
    """Return what another package's opener does; None, with a warning, where it breaks."""
    try:
        return kind.open(request)
    except (LiverDxError, OSError):
        raise
    except Exception as error:  # noqa: BLE001 - other people's code may raise anything
        warnings.warn(
            f"{request.path}: the slide format {kind.title!r} failed ({type(error).__name__}: "
            f"{error}) and is passed over",
            PluginWarning,
            stacklevel=3,
        )
        return None
