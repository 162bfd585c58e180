"""Which channel is which color; colors of a scanner as those of a screen, by its ICC profile."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from napari_liverdx.core.errors import SlideReadError

__all__ = ["color_order", "primary_of", "srgb_transform"]

_PRIMARY = re.compile(r"(r|g|b|red|green|blue|rot|gr\u00fcn|blau)\d?", re.IGNORECASE)


def primary_of(name: str) -> str:
    """Return r, g or b for a channel that is called red, green or blue; else nothing.

    >>> primary_of(" Green")
    'g'
    """
    name = name.strip()
    return name[0].lower() if _PRIMARY.fullmatch(name) else ""


def color_order(names: Sequence[str]) -> tuple[int, ...]:
    """Return the places of red, green and blue among three channels; as they stand if unnamed.

    >>> color_order(["Blue", "Green", "Red"])
    (2, 1, 0)
    """
    found = [primary_of(name) for name in names]
    return tuple(map(found.index, "rgb")) if sorted(found) == ["b", "g", "r"] else (0, 1, 2)


def srgb_transform(profile: bytes, where: str) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    """Return a function that turns RGB of an ICC profile into sRGB.

    Parameters
    ----------
    profile : bytes
        As embedded in the file.
    where : str
        Named in the error.

    Returns
    -------
    callable
        From and to an ndarray of uint8, shape (h, w, 3); safe to call from several threads.

    Raises
    ------
    SlideReadError
        If the profile cannot be used.
    """
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            "RGB",
            "RGB",
            ImageCms.Intent.PERCEPTUAL,
            # The cache of one transform must not be shared by threads.
            ImageCms.Flags.NOCACHE,
        )
    except (OSError, ImageCms.PyCMSError) as error:
        raise SlideReadError(
            f"{where}: its color profile cannot be used ({error}); open it without color management"
        ) from error

    def convert(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        changed = ImageCms.applyTransform(Image.fromarray(rgb), transform)
        return rgb if changed is None else np.asarray(changed)

    return convert
