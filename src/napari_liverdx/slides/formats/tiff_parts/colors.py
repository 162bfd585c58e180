"""What a picture's samples mean, and the same as 8-bit RGB."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.slides.formats.tiff_parts.codecs import CODECS, JPEG_CODECS
from napari_liverdx.slides.formats.tiff_parts.layout import Layout

__all__ = [
    "APERIO_YCBCR",
    "ColorRule",
    "color_rule",
    "icc_profile",
    "not_brightfield",
    "unread_compression",
]

_GRAY_INVERTED, _GRAY, _RGB, _PALETTE, _MASK, _CMYK, _YCBCR = range(7)
_CIELAB, _ICCLAB, _ITULAB = 8, 9, 10
_COLORS = {_GRAY_INVERTED: 1, _GRAY: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4, _YCBCR: 3}
_COLORS |= {_CIELAB: 3, _ICCLAB: 3, _ITULAB: 3}
_OTHER = {
    _MASK: "it is a transparency mask",
    32803: "it is the raw data of a camera's color filter",
    34892: "it is the raw data of a camera",
    32844: "its pixels are logarithmic luminance",
    32845: "its pixels are logarithmic luminance",
    51177: "it is a depth map",
}
_SAMPLE_FORMATS = {2: "signed", 3: "floating-point", 5: "complex", 6: "complex"}
# Codecs that know colors themselves, and give RGB whatever the tag says.
_GIVE_RGB = {34927, 50001, 50002, 52546, 22610, 34934, 33005}
APERIO_YCBCR = 33003
"""TIFF's number of JPEG 2000 as Aperio compresses YCbCr."""

_BLOCK_PIXELS = 1 << 22
# Of sRGB (IEC 61966-2-1), under the daylight D65.
_WHITE_XYZ = np.array([0.95047, 1.0, 1.08883], np.float32)
_XYZ_TO_RGB = np.array(
    [
        [3.2404542, -1.5371385, -0.4985314],
        [-0.969266, 1.8760108, 0.041556],
        [0.0556434, -0.2040259, 1.0572252],
    ],
    np.float32,
).T


@dataclass(frozen=True, slots=True)
class ColorRule:
    """Turns samples into RGB.

    Attributes
    ----------
    blank : int
        Value of a sample that means nothing is there, for planes that lack a tile.
    """

    blank: int
    _convert: Callable[[NDArray[Any]], NDArray[np.uint8]]

    def rgb(self, raw: NDArray[Any]) -> NDArray[np.uint8]:
        """Convert samples, shape (h, w, samples), to RGB, uint8, shape (h, w, 3)."""
        rows = max(1, _BLOCK_PIXELS // max(1, raw.shape[1]))
        if raw.shape[0] <= rows:
            return self._convert(raw)
        # In parts, as some conversions need a multiple of the memory.
        out = np.empty((*raw.shape[:2], 3), np.uint8)
        for top in range(0, raw.shape[0], rows):
            out[top : top + rows] = self._convert(raw[top : top + rows])
        return out


def not_brightfield(layouts: Sequence[Layout]) -> str | None:
    """Return why stored images, of one directory or a plane each, are no brightfield color image.

    Returns
    -------
    str or None
        Half a sentence, or None if they can be one.
    """
    first, samples = layouts[0], len(layouts) if len(layouts) > 1 else layouts[0].samples
    bits = max(max(layout.bits) for layout in layouts)
    kind = _SAMPLE_FORMATS.get(first.sample_format)
    if kind:
        return f"its pixels are {bits}-bit {kind} numbers"
    if bits > 16:
        return f"its pixels are {bits}-bit numbers, as those of label images and measurements are"
    if len(set(first.bits)) > 1:
        return f"its samples differ in bits {first.bits}"
    if first.depth > 1:
        return f"it is a volume of {first.depth} planes"
    if len(layouts) > 1:
        return None if samples == 3 else f"it has {samples} channels"
    if first.photometric in _OTHER:
        return _OTHER[first.photometric]
    colors = _COLORS.get(first.photometric)
    if colors is None:
        return f"its colors are of an unknown kind (photometric interpretation {first.photometric})"
    if first.photometric == _CMYK and first.directory.number(332, 1) != 1:
        return f"it is printed in {samples} inks that are not cyan, magenta, yellow and black"
    if samples < colors and not (samples == 1 and first.photometric == _RGB):
        return f"it has {samples} channels"
    if colors == 1 and samples > 1 and not _is_gray_with_alpha(first) and samples != 3:
        return f"it has {samples} channels"
    return None


def unread_compression(layout: Layout) -> int | None:
    """Return TIFF's number of a compression that is not read; None if it is."""
    return layout.compression if layout.compression not in CODECS else None


def _is_gray_with_alpha(layout: Layout) -> bool:
    # Two planes of which none is said to be transparency are two channels.
    is_pair = layout.samples == 2 and not layout.planar
    return is_pair or any(kind in (1, 2) for kind in layout.extra)


def icc_profile(layout: Layout) -> bytes | None:
    """Return the color profile of the pixels, where it is one of RGB."""
    profile = layout.directory.raw(34675)
    return profile if profile[16:20] == b"RGB " and layout.photometric in (2, 6) else None


def color_rule(
    layouts: Sequence[Layout], significant: int | None = None, *, inverted: bool = False
) -> ColorRule:
    """Return what turns the samples of a picture into RGB.

    Parameters
    ----------
    layouts : sequence of Layout
        One, or one for each of red, green and blue.
    significant : int, optional
        Bits that carry values, where fewer than are stored.
    inverted : bool
        Whether CMYK is stored as its complement.
    """
    layout = layouts[0]
    stored = max(layout.bits)
    bits = significant if significant and 8 <= significant < stored else stored
    photometric = _meaning(layout, planes=len(layouts))
    colors = _COLORS[photometric]
    alpha, kind = _alpha(layout, colors) if len(layouts) == 1 else (None, 0)
    white_is_zero = [v.photometric == _GRAY_INVERTED for v in layouts]

    def convert(raw: NDArray[Any]) -> NDArray[np.uint8]:
        part = raw[..., :colors]
        is_index = photometric == _PALETTE
        rgb: NDArray[np.uint8]
        rgb = table[part[..., 0]] if is_index else to_colors(_eight_bits(part, bits))
        if alpha is None:
            return rgb
        return _on_white(rgb, _eight_bits(raw[..., alpha], bits), kind)

    dots = layout.directory.numbers(336)[:2]
    if photometric == _CMYK and len(dots) == 2 and dots[0] > dots[1]:
        # The value without ink is the larger one.
        inverted = not inverted
    table = _palette(layout) if photometric == _PALETTE else np.empty((0, 3), np.uint8)
    to_colors = _converter(layout, photometric, white_is_zero, inverted=inverted)
    top = (1 << bits) - 1
    is_ink = photometric == _GRAY_INVERTED or (photometric == _CMYK and not inverted)
    blank = 0 if is_ink else top
    return ColorRule(blank, convert)


def _meaning(layout: Layout, planes: int) -> int:
    """Return what the decoded samples are, after what the codec already did."""
    if planes > 1:
        return _RGB
    if layout.photometric == _RGB and layout.samples == 1:
        return _GRAY
    if layout.compression == APERIO_YCBCR:
        return _YCBCR
    if layout.compression in _GIVE_RGB and layout.photometric == _YCBCR:
        return _RGB
    if layout.photometric == _GRAY and layout.samples == 3 and not _is_gray_with_alpha(layout):
        return _RGB
    if layout.compression in JPEG_CODECS and not layout.extra and not layout.planar:
        return _RGB if layout.photometric == _YCBCR else layout.photometric
    return layout.photometric


def _alpha(layout: Layout, colors: int) -> tuple[int | None, int]:
    """Return which sample is transparency, and its kind: 1 if colors are multiplied by it."""
    kinds = layout.extra[-(layout.samples - colors) :] if layout.samples > colors else ()
    for k, kind in enumerate(kinds):
        if kind in (1, 2):
            return colors + k, kind
    return None, 0


def _eight_bits(values: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    if bits == 8 and values.dtype == np.uint8:
        return values
    if bits >= 8:
        return np.asarray(np.minimum(values >> (bits - 8), 255), np.uint8)
    scaled = values.astype(np.uint16) * 255 // ((1 << bits) - 1)
    return np.asarray(np.minimum(scaled, 255), np.uint8)


def _on_white(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8], kind: int) -> NDArray[np.uint8]:
    share = alpha[..., None].astype(np.uint16)
    if kind == 1:
        return np.asarray(np.minimum(rgb + (255 - share), 255), np.uint8)
    return np.asarray((rgb * share + 255 * (255 - share) + 127) // 255, np.uint8)


def _palette(layout: Layout) -> NDArray[np.uint8]:
    size = 1 << layout.bits[0]
    stored = layout.directory.numbers(320).astype(np.int64)
    entries = stored.size // 3
    table = np.zeros((max(size, 1), 3), np.uint8)
    # The values are of 16 bits; some writers put those of 8 bits there.
    colors = stored[: entries * 3].reshape(3, entries).T
    if entries and colors.max() > 255:
        colors = colors >> 8
    count = min(size, entries)
    table[:count] = np.clip(colors[:count], 0, 255)
    return table


def _converter(
    layout: Layout, photometric: int, white_is_zero: list[bool], *, inverted: bool
) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    """Return what turns 8-bit samples of one meaning into RGB."""
    if photometric in (_GRAY, _GRAY_INVERTED):
        flip = photometric == _GRAY_INVERTED
        return lambda part: np.repeat(255 - part if flip else part, 3, axis=2)
    if photometric == _RGB:
        flips = [k for k, flip in enumerate(white_is_zero) if flip]
        return (lambda part: _flipped(part, flips)) if flips else lambda part: part
    if photometric == _CMYK:
        return lambda part: _from_cmyk(255 - part if inverted else part)
    if photometric == _YCBCR:
        coefficients, reference = _ycbcr_tags(layout)
        return lambda part: _from_ycbcr(part, coefficients, reference)
    return lambda part: _from_lab(part, photometric)


def _flipped(part: NDArray[np.uint8], planes: list[int]) -> NDArray[np.uint8]:
    part = part.copy()
    part[..., planes] = 255 - part[..., planes]
    return part


def _from_cmyk(part: NDArray[np.uint8]) -> NDArray[np.uint8]:
    paper = (255 - part).astype(np.uint16)
    return np.asarray((paper[..., :3] * paper[..., 3:] + 127) // 255, np.uint8)


def _ycbcr_tags(layout: Layout) -> tuple[list[float], list[float]]:
    coefficients = layout.directory.fractions(529)[:3]
    if len(coefficients) < 3 or not all(0.01 < c < 1 for c in coefficients):
        coefficients = [0.299, 0.587, 0.114]
    reference = layout.directory.fractions(532)[:6]
    usable = len(reference) == 6 and all(0 <= v < 1 << 16 for v in reference)
    if not usable or any(reference[k + 1] - reference[k] < 16 for k in (0, 2, 4)):
        reference = [0, 255, 128, 255, 128, 255]
    if max(layout.bits) > 8 and max(reference) > 255:
        reference = [v / 2 ** (max(layout.bits) - 8) for v in reference]
    return coefficients, reference


def _from_ycbcr(
    part: NDArray[np.uint8], coefficients: list[float], reference: list[float]
) -> NDArray[np.uint8]:
    red, green, blue = coefficients
    low, high = np.array(reference[::2], np.float32), np.array(reference[1::2], np.float32)
    scaled = (part - low) * (np.array([255, 127, 127], np.float32) / (high - low))
    y, cb, cr = scaled[..., 0], scaled[..., 1], scaled[..., 2]
    r = y + cr * (2 - 2 * red)
    b = y + cb * (2 - 2 * blue)
    g = (y - blue * b - red * r) / green
    return np.asarray(np.clip(np.rint(np.stack([r, g, b], axis=-1)), 0, 255), np.uint8)


def _from_lab(part: NDArray[np.uint8], photometric: int) -> NDArray[np.uint8]:
    lab = part.astype(np.float32)
    lightness = lab[..., 0] * (100 / 255)
    if photometric == _CIELAB:
        lab[..., 1:] = part[..., 1:].astype(np.int8)
    elif photometric == _ICCLAB:
        lab[..., 1:] -= 128
    else:
        lab[..., 1] = lab[..., 1] * (170 / 255) - 85
        lab[..., 2] = lab[..., 2] * (200 / 255) - 75
    fy = (lightness + 16) / 116
    roots = np.stack([fy + lab[..., 1] / 500, fy, fy - lab[..., 2] / 200], axis=-1)
    edge = 6 / 29
    # Neutral stays neutral, whatever white the file means: colors relative to the paper's.
    xyz = np.where(roots > edge, roots**3, 3 * edge**2 * (roots - 4 / 29)) * _WHITE_XYZ
    linear = np.clip(xyz @ _XYZ_TO_RGB, 0, 1)
    srgb = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    return np.asarray(np.rint(np.clip(srgb, 0, 1) * 255), np.uint8)
