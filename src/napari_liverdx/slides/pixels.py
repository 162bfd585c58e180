"""Whatever a file stores, as 8-bit RGB."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.core.errors import NotASlideError

__all__ = ["to_rgb8"]


def to_rgb8(array: NDArray[Any], where: str) -> NDArray[np.uint8]:
    """Convert stored pixels to RGB.

    Gray is repeated, an alpha channel is composited on white, 16-bit values keep their upper
    byte.

    Parameters
    ----------
    array : ndarray, shape (h, w) or (h, w, 1 | 3 | 4)
        The stored pixels.
    where : str
        Named in the error.

    Returns
    -------
    ndarray of uint8, shape (h, w, 3)

    Raises
    ------
    NotASlideError
        If the array is not an 8- or 16-bit gray, RGB or RGBA image.
    """
    if array.ndim == 2:
        array = array[..., None]
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    elif array.dtype == np.uint16:
        array = (array >> 8).astype(np.uint8)
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or array.dtype != np.uint8:
        raise NotASlideError(
            f"{where}: pixels are {array.dtype} of shape {array.shape}; an 8- or 16-bit gray, "
            "RGB or RGBA image is needed"
        )
    if array.shape[2] == 1:
        return np.repeat(array, 3, axis=2)
    if array.shape[2] == 4:
        alpha = array[..., 3:].astype(np.uint16)
        mixed = array[..., :3].astype(np.uint16) * alpha + 255 * (255 - alpha) + 127
        return (mixed // 255).astype(np.uint8)
    return array
