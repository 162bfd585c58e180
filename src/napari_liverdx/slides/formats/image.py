"""Ordinary images (PNG, JPEG, plain TIFF) and arrays as slides of one level."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from napari_liverdx.core.errors import NotASlideError, SlideReadError
from napari_liverdx.core.resolution import Level, Mpp
from napari_liverdx.slides.backend import SlideInfo, SlideRequest
from napari_liverdx.slides.formats.tiff import TIFF_MAGIC, tiff_mpp
from napari_liverdx.slides.pixels import to_rgb8

__all__ = ["ArrayBackend", "open_image"]

_TILE = 512
# Beyond it Pillow refuses to open an image.
_MAX_PIXELS = 178_956_970
_KINDS = {"PNG": "PNG image", "JPEG": "JPEG image", "BMP": "BMP image"}


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
    """

    def __init__(
        self, array: NDArray[np.uint8], kind: str, mpp: Mpp | None, note: str = ""
    ) -> None:
        self._array = array
        height, width = array.shape[:2]
        self._info = SlideInfo(kind, (Level(width, height, 1.0, 1.0, _TILE, _TILE),), mpp, note)

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
    with path.open("rb") as file:
        if file.read(4) in TIFF_MAGIC:
            return _read_tiff(path)
    with warnings.catch_warnings():
        # The size check below says what to do; Pillow's warning does not.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(path) as image:
                return _read_whole(path, image)
        except UnidentifiedImageError:
            return None
        except Image.DecompressionBombError as error:
            raise _too_large(path) from error
        except (OSError, SyntaxError, ValueError) as error:
            if isinstance(error, NotASlideError):
                raise
            raise SlideReadError(
                f"{path}: the image is damaged or cut off ({error}); copy it again from its source"
            ) from error


def _read_whole(path: Path, image: Image.Image) -> ArrayBackend | None:
    kind = _KINDS.get(image.format or "")
    if kind is None:
        return None
    if image.width * image.height > _MAX_PIXELS:
        raise _too_large(path)
    if image.mode in {"P", "CMYK", "LA", "PA"}:
        image = image.convert("RGBA" if "A" in image.mode or image.mode == "P" else "RGB")
    array = np.asarray(image)
    if array.dtype == np.int32:
        array = array.astype(np.uint16)
    note = "ordinary images state no reliable resolution"
    return ArrayBackend(to_rgb8(array, str(path)), kind, None, note)


def _read_tiff(path: Path) -> ArrayBackend:
    """Read a TIFF that is not stored in tiles, whole."""
    try:
        with tifffile.TiffFile(path) as tif:
            page = tif.pages.first
            if page.imagewidth * page.imagelength > _MAX_PIXELS:
                raise _too_large(path)
            array = page.asarray()
            if page.planarconfig == 2 and array.ndim == 3:
                array = np.moveaxis(array, 0, -1)
            if page.colormap is not None:
                array = (np.moveaxis(page.colormap, 0, -1) >> 8).astype(np.uint8)[array]
            mpp, note = tiff_mpp(tif)
    except (tifffile.TiffFileError, RuntimeError, IndexError, TypeError) as error:
        raise SlideReadError(
            f"{path}: the image is damaged or cut off ({error}); copy it again from its source"
        ) from error
    return ArrayBackend(to_rgb8(array, str(path)), "TIFF image", mpp, note)


def _too_large(path: Path) -> NotASlideError:
    return NotASlideError(
        f"{path}: too large to read whole; convert it to a tiled pyramidal TIFF, for example with "
        "'vips tiffsave IN OUT --tile --pyramid'"
    )
