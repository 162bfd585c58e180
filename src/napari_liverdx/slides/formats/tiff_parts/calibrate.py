"""What tags leave open of a slide's colors, taken from a few of its tiles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.slides.formats.tiff_parts.codecs import JPEG_CODECS
from napari_liverdx.slides.formats.tiff_parts.colors import color_rule
from napari_liverdx.slides.formats.tiff_parts.layout import Layout
from napari_liverdx.slides.formats.tiff_parts.picture import Picture

__all__ = ["settle_colors"]

_CMYK = 5
_PALETTE = 3
_SAMPLED = 6
_BIT_DEPTHS = (8, 10, 12, 14, 16)


def settle_colors(levels: list[Picture], significant: int | None) -> None:
    """Give all levels of a slide one color rule.

    Parameters
    ----------
    levels : list of Picture
        Finest first.
    significant : int or None
        Bits that carry values, where OME-XML says.
    """
    first = levels[0].layouts[0]
    bits = None
    if max(first.bits) == 16 and first.photometric != _PALETTE:
        # Who states all 16 bits states nothing.
        said = significant if significant and significant < 16 else _stated_bits(first)
        bits = said or _seen_bits(levels[-1])
    inverted = first.photometric == _CMYK and _is_inverted(levels[-1])
    for picture in levels:
        picture.rule = color_rule(picture.layouts, bits, inverted=inverted)


def _stated_bits(layout: Layout) -> int | None:
    """Return the bits of the largest sample value that the file states."""
    stated = [int(v) for v in layout.directory.numbers(281)[: layout.samples]]
    most = max(stated, default=0)
    return _depth(most) if 255 < most < 1 << 16 else None


def _seen_bits(picture: Picture) -> int | None:
    """Return the bits that are used: cameras of 12 bits often do not say so.

    In brightfield something is nearly white, so that unused bits are told by the largest value.
    """
    most = max((int(raw.max()) for raw in _sampled(picture) if raw.size), default=0)
    return _depth(most) if most else None


def _depth(most: int) -> int:
    return next(bits for bits in _BIT_DEPTHS if most < 1 << bits)


def _sampled(picture: Picture) -> Iterator[NDArray[Any]]:
    rows, cols = picture.grid
    places = np.unique(np.linspace(0, rows * cols - 1, _SAMPLED).astype(int))
    for place in places:
        try:
            raw = picture.raw_tile(*divmod(int(place), cols))
        except Exception:  # noqa: BLE001, S112 - a damaged tile says nothing, in any codec's words
            continue
        if raw is not None:
            yield raw


def _is_inverted(picture: Picture) -> bool:
    """Return whether CMYK in JPEG is stored as its complement, as Adobe's programs store it.

    TIFF says that zero is no ink; only one of the two gives a bright slide.
    """
    layout = picture.layouts[0]
    if layout.compression not in JPEG_CODECS:
        return False
    samples = list(_sampled(picture))
    if not samples:
        return False
    plain, inverted = (
        float(np.mean([color_rule([layout], inverted=flag).rgb(raw).mean() for raw in samples]))
        for flag in (False, True)
    )
    return plain < 96 and inverted > 128
