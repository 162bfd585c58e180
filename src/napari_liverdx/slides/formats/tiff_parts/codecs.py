"""Stored tiles and strips, decoded by imagecodecs; what they claim is checked first."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from napari_liverdx.slides.formats.tiff_parts.layout import SEGMENT_BYTES, Layout

__all__ = [
    "CODECS",
    "JPEG_CODECS",
    "decode_segment",
    "is_subsampled",
    "unpack_rows",
]

JPEG_CODECS = (6, 7, 33007, 34892)
# By name, as imagecodecs loads each when it is first asked for.
_FAX = {2: "ccittrle", 3: "ccittfax3", 4: "ccittfax4"}
_IMAGES = dict.fromkeys((33003, 33004, 33005, 34712), "jpeg2k")
_IMAGES |= dict.fromkeys((34927, 50001), "webp") | dict.fromkeys((50002, 52546), "jpegxl")
_IMAGES |= dict.fromkeys((22610, 34934), "jpegxr") | {34933: "png", 34887: "lerc"}
_BYTES = {5: "lzw", 32773: "packbits", 34925: "lzma"}
_BYTES |= dict.fromkeys((8, 32946, 50013), "zlib") | dict.fromkeys((34926, 50000), "zstd")
CODECS = frozenset({1, *JPEG_CODECS, *_FAX, *_IMAGES, *_BYTES})
"""TIFF's numbers of the compressions that are read."""


def _codec(name: str) -> Callable[..., Any]:
    found: Callable[..., Any] = getattr(imagecodecs, f"{name}_decode")
    return found


class _Damaged(ValueError):
    """What is stored is not what the directory says."""


def decode_segment(layout: Layout, data: bytes, segment: int) -> NDArray[Any]:
    """Decode one tile or strip.

    Returns
    -------
    ndarray of uint8 or uint16, shape (h, w, samples)
        In this machine's byte order; at the picture's edge cut or not.

    Raises
    ------
    Exception
        Of the codec's own kind, if it cannot.
    """
    rows, cols = layout.rows_of(segment), layout.segment_width
    if layout.compression in JPEG_CODECS:
        return _fitted(_jpeg(layout, data, (rows, cols)), layout, rows)
    if layout.compression in _FAX:
        if layout.fill_order == 2:
            data = bytes(imagecodecs.bitorder_decode(data))
        options = {"t4options": layout.directory.number(292, 0)} if layout.compression == 3 else {}
        bits = _codec(_FAX[layout.compression])(data, rows, cols, **options)
        return _fitted(np.asarray(bits, np.uint8), layout, rows)
    if layout.compression in _IMAGES:
        return _image(layout, data, rows)
    if is_subsampled(layout):
        return _subsampled(layout, data, rows)
    return unpack_rows(layout, _inflated(layout, data, layout.row_bytes * rows))


def is_subsampled(layout: Layout) -> bool:
    """Return whether chroma is stored for blocks of pixels, beside their luma, without JPEG."""
    if layout.photometric != 6 or layout.planar or layout.samples != 3:
        return False
    if layout.compression != 1 and layout.compression not in _BYTES:
        return False
    if 530 not in layout.directory and layout.compression == 1:
        # The tag's default is 2 × 2, yet who leaves it out may mean none.
        return int(layout.counts[0]) < layout.row_bytes * layout.rows_of(0)
    return layout.subsampling != (1, 1)


def _subsampled(layout: Layout, data: bytes, rows: int) -> NDArray[Any]:
    """Decode blocks of luma that are each followed by one Cb and one Cr."""
    across, down = layout.subsampling
    if across not in (1, 2, 4) or down not in (1, 2, 4) or max(layout.bits) != 8:
        raise _Damaged(f"chroma of {across} × {down} px and {max(layout.bits)} bits")
    wide, high = -(-layout.segment_width // across), -(-rows // down)
    size = wide * high * (across * down + 2)
    blocks = np.frombuffer(_inflated(layout, data, size), np.uint8).reshape(high, wide, -1)
    luma = blocks[..., :-2].reshape(high, wide, down, across).transpose(0, 2, 1, 3)
    chroma = blocks[..., -2:].repeat(down, axis=0).repeat(across, axis=1)
    found = np.dstack([luma.reshape(high * down, wide * across), chroma])
    return found[:rows, : layout.segment_width]


def _inflated(layout: Layout, data: bytes, size: int) -> bytes:
    """Undo a compression of bytes, up to ``size`` bytes."""
    if layout.fill_order == 2:
        data = bytes(imagecodecs.bitorder_decode(data))
    if layout.compression != 1:
        name = _BYTES[layout.compression]
        try:
            data = _codec(name)(data, out=size)
        except RuntimeError:
            if name != "zlib":
                raise
            data = _without_checksum(data, size)
    if len(data) < size:
        raise _Damaged(f"{len(data)} bytes where {size} are needed")
    return data[:size]


def _without_checksum(data: bytes, size: int) -> bytes:
    """Return what a zlib stream holds that ends before its checksum, as some writers leave it."""
    stream = zlib.decompressobj()
    found = stream.decompress(data, size)
    more = stream.decompress(stream.unconsumed_tail, 1)
    if stream.eof or more:
        raise _Damaged("its checksum is wrong, or it is too long")
    return found


def unpack_rows(layout: Layout, data: bytes) -> NDArray[Any]:
    """Return the pixels of uncompressed whole rows.

    Returns
    -------
    ndarray of uint8 or uint16, shape (rows, segment_width, samples)
    """
    cols, samples, bits = layout.segment_width, layout.segment_samples, layout.bits[0]
    if bits in (8, 16):
        stored = np.frombuffer(data, np.dtype(f"{layout.directory.order}u{bits // 8}"))
        found = stored.reshape(-1, cols, samples).astype(layout.dtype, copy=False)
        if layout.predictor == 2:
            found = imagecodecs.delta_decode(np.ascontiguousarray(found), axis=-2)
        return np.asarray(found)
    if layout.predictor != 1:
        raise _Damaged(f"a predictor with samples of {bits} bits")
    packed = imagecodecs.packints_decode(data, layout.dtype.name, bits, runlen=cols * samples)
    return np.asarray(packed).reshape(-1, cols, samples)


def _fitted(array: NDArray[Any], layout: Layout, rows: int) -> NDArray[Any]:
    """Return (h, w, samples); the codec may give fewer or more rows, or no axis of samples."""
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] != layout.segment_samples:
        raise _Damaged(f"pixels of shape {array.shape}")
    if array.shape[0] > layout.segment_height or array.shape[1] > layout.segment_width:
        raise _Damaged(f"an image of {array.shape[1]} × {array.shape[0]} px")
    return array[:rows]


def _image(layout: Layout, data: bytes, rows: int) -> NDArray[Any]:
    """Decode with a codec that knows its own size, which must be that of the segment."""
    name, samples = _IMAGES[layout.compression], layout.segment_samples
    if name == "jpeg2k":
        _check_jpeg2000(layout, data)
    decode = _codec(name)
    options = {"hasalpha": True} if name == "webp" and samples == 4 else {}
    problem: Exception | None = None
    for shape in _shapes(layout, rows):
        # An array of the expected shape keeps a codec from making a larger one.
        out = np.empty(shape if samples == 1 else (*shape, samples), layout.dtype)
        try:
            return _fitted(np.asarray(decode(data, out=out, **options)), layout, rows)
        except ValueError as error:
            problem = problem or error
    raise problem or _Damaged("no size fits")


def _shapes(layout: Layout, rows: int) -> list[tuple[int, int]]:
    """Return sizes that a segment may have: whole, or cut at the right and lower edge."""
    whole = (rows, layout.segment_width)
    heights = (rows, layout.segment_height, layout.height % layout.segment_height or rows)
    widths = (layout.segment_width, layout.width % layout.segment_width or layout.segment_width)
    return list(dict.fromkeys([whole, *((h, w) for h in heights for w in widths)]))


def _check_jpeg2000(layout: Layout, data: bytes) -> None:
    at = data[:4096].find(b"\xff\x4f\xff\x51")
    if at < 0 or len(data) < at + 40:
        raise _Damaged("no JPEG 2000 codestream")
    numbers = [int.from_bytes(data[at + k : at + k + 4], "big") for k in range(8, 40, 4)]
    width, height = numbers[0] - numbers[2], numbers[1] - numbers[3]
    if not (0 < width <= layout.segment_width and 0 < height <= layout.segment_height):
        raise _Damaged(f"a JPEG 2000 image of {width} × {height} px")
    tiles = -(-width // max(1, numbers[4])) * -(-height // max(1, numbers[5]))
    if tiles > 65_535 or numbers[0] > 1 << 30 or numbers[1] > 1 << 30:
        raise _Damaged("a JPEG 2000 image of too many tiles")


def _jpeg_header(data: bytes) -> tuple[int, int, int, bool] | None:
    """Return what a JPEG stream says of itself, without decoding it.

    Returns
    -------
    tuple or None
        Width, height, components, and whether it is JFIF; None if there is no frame.
    """
    at, jfif = 2, False
    while at + 9 < len(data):
        if data[at] != 0xFF:
            at += 1
            continue
        marker = data[at + 1]
        if marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD8:
            at += 1 if marker == 0xFF else 2
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = data[at + 5] << 8 | data[at + 6], data[at + 7] << 8 | data[at + 8]
            return width, height, data[at + 9], jfif
        if marker in (0xDA, 0xD9):
            return None
        if marker == 0xE0 and data[at + 4 : at + 8] == b"JFIF":
            jfif = True
        at += 2 + (data[at + 2] << 8 | data[at + 3])
    return None


def _jpeg(layout: Layout, data: bytes, shape: tuple[int, int]) -> NDArray[Any]:
    header = _jpeg_header(data)
    if header is None:
        raise _Damaged("no JPEG frame")
    width, height, components, jfif = header
    if width > layout.segment_width or height > layout.segment_height:
        raise _Damaged(f"a JPEG image of {width} × {height} px")
    if components != layout.segment_samples or components * width * height > SEGMENT_BYTES:
        raise _Damaged(f"a JPEG image of {components} components")
    colorspace: int | None = None
    out: int | str | None = None
    if layout.planar:
        out = 1
    elif not layout.extra and layout.photometric == 6:
        out = 2
    elif not layout.extra and layout.photometric == 2:
        # Aperio stores RGB under no marker, where JPEG would take it for YCbCr.
        colorspace, out = (None if jfif else 2), 2
    elif not layout.extra and layout.photometric == 5:
        out = 4
    elif components > 1:
        colorspace = out = 0
    return np.asarray(
        imagecodecs.jpeg_decode(
            data,
            bitspersample=layout.bits[0],
            tables=layout.jpeg_tables,
            colorspace=colorspace,
            outcolorspace=out,
            shape=shape,
        )
    )
