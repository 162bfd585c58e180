"""Ordinary images (PNG, JPEG, BMP, WebP, JPEG 2000, AVIF) and arrays as slides of one level."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from napari_liverdx.core.errors import NotASlideError, SlideReadError
from napari_liverdx.core.resolution import Level, Mpp
from napari_liverdx.slides.backend import SlideInfo, SlideRequest
from napari_liverdx.slides.pixels import to_rgb8

__all__ = ["ArrayBackend", "open_image"]

_TILE = 512
# Pillow holds four bytes of a pixel and the slide three: one gigabyte.
_MAX_PIXELS = 150_000_000
_BAND = 1024
_KINDS = {"PNG": "PNG image", "JPEG": "JPEG image", "MPO": "JPEG image", "BMP": "BMP image"}
_KINDS |= {"WEBP": "WebP image", "JPEG2000": "JPEG 2000 image", "AVIF": "AVIF image"}
_DIRECT = {"1", "L", "I;16", "I;16L", "RGB", "RGBA"}


class ArrayBackend:
    """`SlideBackend` over one RGB array in memory.

    Parameters
    ----------
    array : ndarray of uint8, shape (h, w, 3)
        The stored pixels.
    kind : str
        Format name for people.
    mpp : Mpp, optional
        Resolution, if known.
    note : str
        Why there is no mpp.
    icc_profile : bytes, optional
        Color profile of the pixels.
    """

    def __init__(
        self,
        array: NDArray[np.uint8],
        kind: str,
        mpp: Mpp | None,
        note: str = "",
        icc_profile: bytes | None = None,
    ) -> None:
        self._array = array
        height, width = array.shape[:2]
        level = Level(width, height, 1.0, 1.0, _TILE, _TILE)
        self._info = SlideInfo(kind, (level,), mpp, note, icc_profile=icc_profile)

    @property
    def info(self) -> SlideInfo:
        """What the image says of itself."""
        return self._info

    def read_tile(self, level: int, row: int, col: int) -> NDArray[np.uint8]:
        """Return a view of the array, shape (h, w, 3), cut at the edge."""
        return self._array[row * _TILE : (row + 1) * _TILE, col * _TILE : (col + 1) * _TILE]

    def close(self) -> None:
        """Do nothing, as there is nothing to release."""


def open_image(request: SlideRequest) -> ArrayBackend | None:
    """Read an ordinary image whole, or return None if it is none.

    Raises
    ------
    SlideReadError
        If it is an image but damaged.
    NotASlideError
        If it is too large to hold whole.
    """
    path = request.path
    with warnings.catch_warnings():
        # The size check below says what to do; Pillow's warning does not.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(path, formats=_formats()) as image:
                return _read_whole(path, image)
        except UnidentifiedImageError:
            return None
        except Image.DecompressionBombError as error:
            raise _too_large(path) from error
        except (OSError, SyntaxError, ValueError, EOFError, struct.error, IndexError) as error:
            if isinstance(error, NotASlideError | SlideReadError):
                raise
            raise SlideReadError(
                f"{path}: the image is damaged or cut off ({error}); copy it again from its source"
            ) from error


def _formats() -> list[str]:
    """Return the formats that this Pillow has; others, which run programs, are never tried."""
    Image.init()
    return [name for name in _KINDS if name in Image.OPEN]


def _read_whole(path: Path, image: Image.Image) -> ArrayBackend:
    if image.width * image.height > _MAX_PIXELS:
        raise _too_large(path)
    profile = image.info.get("icc_profile")
    is_rgb = isinstance(profile, bytes) and profile[16:20] == b"RGB "
    image.load()
    rgb = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, _BAND):
        bottom = min(top + _BAND, image.height)
        band = image.crop((0, top, image.width, bottom))
        rgb[top:bottom] = to_rgb8(_array(band), str(path))
    note = "ordinary images state no reliable resolution"
    kind = _KINDS[image.format or ""]
    return ArrayBackend(rgb, kind, None, note, profile if is_rgb else None)


def _array(band: Image.Image) -> NDArray[np.generic]:
    """Return pixels in one of the kinds that `to_rgb8` takes."""
    if band.mode in ("I", "I;16B"):
        return np.asarray(band).astype(np.uint16)
    if band.mode in _DIRECT or band.mode == "F":
        return np.asarray(band)
    has_alpha = "A" in band.mode or "a" in band.mode or band.mode == "P"
    return np.asarray(band.convert("RGBA" if has_alpha and band.mode != "LAB" else "RGB"))


def _too_large(path: Path) -> NotASlideError:
    return NotASlideError(
        f"{path}: too large to read whole; convert it to a tiled pyramidal TIFF, for example with "
        "'vips tiffsave IN OUT --tile --pyramid'"
    )
