"""Frames of a DICOM file: where they lie, and their pixels as RGB."""

from __future__ import annotations

import logging
import os
import struct
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_liverdx.core.errors import LiverDxError, NotASlideError
from napari_liverdx.slides.formats.dicom_parts.header import (
    BoundedFile,
    DicomHeader,
    damaged_dicom,
    quiet,
    uid_name,
)

__all__ = ["FrameFile", "check_syntax", "decode_frame"]

_ROOT = "1.2.840.10008.1.2"
_NATIVE = (_ROOT, f"{_ROOT}.1")
_RLE = f"{_ROOT}.5"
_JPEG = tuple(f"{_ROOT}.4.{n}" for n in (50, 51, 57, 70))
_JPEG_LS = tuple(f"{_ROOT}.4.{n}" for n in (80, 81))
_JPEG_2000 = tuple(f"{_ROOT}.4.{n}" for n in (90, 91, 201, 202, 203))
_ITEM, _HEAD = b"\xfe\xff\x00\xe0", 8
_START_OF_SCAN, _CODING_STYLE = 0xDA, 0x52


def check_syntax(header: DicomHeader) -> None:
    """Refuse a file whose pixels are stored in a way that is not read.

    Raises
    ------
    NotASlideError
    """
    native = header.syntax in _NATIVE
    if not native and header.syntax not in (_RLE, *_JPEG, *_JPEG_LS, *_JPEG_2000):
        raise NotASlideError(
            f"{header.path}: its pixels are stored as {uid_name(header.syntax)}, which is not "
            "read; convert the slide to JPEG or JPEG 2000"
        )
    if native and header.color.startswith("YBR"):
        raise NotASlideError(
            f"{header.path}: its pixels are stored as {header.color} without compression, which is "
            "not read; convert the slide to RGB"
        )
    if header.planar and native:
        raise NotASlideError(
            f"{header.path}: its colors are stored in planes, which is not read; convert the slide "
            "to color by pixel"
        )


class FrameFile:
    """The frames of one file, open; reading is safe from several threads.

    Parameters
    ----------
    header : DicomHeader
        What the file says of itself.

    Attributes
    ----------
    columns, rows : ndarray of int64 or None
        Where the tile of each frame lies in the image, counted from 0; None where frames stand
        row by row.

    Raises
    ------
    SlideReadError
        If the frames cannot be found.
    """

    def __init__(self, header: DicomHeader) -> None:
        self._header = header
        self._lock = threading.Lock()
        self._file = BoundedFile(header.path)
        try:
            with quiet():
                self._find_frames()
        except (LiverDxError, OSError):
            self._file.close()
            raise
        # What wsidicom raises on damaged files has no common base but Exception.
        except Exception as error:
            self._file.close()
            raise damaged_dicom(header.path, _words(error)) from error
        except BaseException:
            self._file.close()
            raise

    def _find_frames(self) -> None:
        from wsidicom.file.io import WsiDicomReader
        from wsidicom.file.io.wsidicom_io import WsiDicomReadIO
        from wsidicom.paths import as_upath

        # Without a handler of its own, what it logs would be printed.
        logging.getLogger("wsidicom").addHandler(logging.NullHandler())
        header, size = self._header, self._file.size
        self._own = header.syntax in _NATIVE
        if header.frames > size:
            raise damaged_dicom(header.path, f"{header.frames} frames cannot be in it")
        if self._own and header.frames * self._frame_bytes > size:
            raise damaged_dicom(header.path, "its pixels reach beyond its end")
        reader = WsiDicomReader(WsiDicomReadIO(self._file, as_upath(header.path)))
        self.columns: NDArray[np.int64] | None = None
        self.rows: NDArray[np.int64] | None = None
        if header.sparse or (header.sparse is None and header.frames > 1):
            places = reader.dataset.frame_positions
            self.columns = (places.columns - 1) // header.tile_width
            self.rows = (places.rows - 1) // header.tile_height
        found = list(reader.frame_index)
        if len(found) != header.frames:
            raise damaged_dicom(header.path, f"{len(found)} of {header.frames} frames are in it")
        self._places = np.array(found, np.int64).reshape(-1, 2)
        if not self._own:
            self._complete_last()
        beyond = int(np.count_nonzero(self._places.sum(axis=1) > size))
        if beyond or self._places.min() < 0:
            raise damaged_dicom(
                header.path, f"{beyond} of {header.frames} tiles lie beyond its end"
            )

    def _complete_last(self) -> None:
        """Add to the last frame the fragments that follow its first; no table tells of them."""
        offset, size = (int(v) for v in self._places[-1])
        end = offset + size
        while (head := self._read_at(end, _HEAD))[:4] == _ITEM and len(head) == _HEAD:
            end += _HEAD + int(struct.unpack_from("<I", head, 4)[0])
        if offset == self._places[:, 0].max():
            self._places[-1, 1] = end - offset

    @property
    def _frame_bytes(self) -> int:
        return self._header.tile_width * self._header.tile_height * self._header.samples

    def read(self, frame: int) -> bytes:
        """Read a frame as it is stored; ``frame`` counts from the first in this file."""
        offset, size = (int(v) for v in self._places[frame])
        if self._own:
            return self._read_at(offset, size)
        return _joined(self._read_at(offset - _HEAD, size + _HEAD))

    def _read_at(self, offset: int, size: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._file.fileno(), size, offset)
        with self._lock:
            self._file.seek(offset)
            return self._file.read(size)

    def close(self) -> None:
        """Close the file; calling it again does nothing."""
        self._file.close()


def _words(error: Exception) -> str:
    told = "".join(c for c in " ".join(str(error).split()) if c.isprintable())
    return told[:200] or type(error).__name__


def _joined(items: bytes) -> bytes:
    """Return a frame that is stored in one fragment or more, without their heads."""
    parts, at = [], 0
    while at < len(items):
        if items[at : at + 4] != _ITEM or len(items) < at + _HEAD:
            raise ValueError("a fragment does not begin as one")
        (size,) = struct.unpack_from("<I", items, at + 4)
        if size > len(items) - at - _HEAD:
            raise ValueError("a fragment is longer than its frame")
        parts.append(items[at + _HEAD : at + _HEAD + size])
        at += _HEAD + size
    return parts[0] if len(parts) == 1 else b"".join(parts)


def decode_frame(data: bytes, header: DicomHeader) -> NDArray[np.uint8]:
    """Decode a frame.

    Parameters
    ----------
    data : bytes
        As stored.
    header : DicomHeader
        Of its file.

    Returns
    -------
    ndarray of uint8, shape (tile height, tile width, 3)

    Raises
    ------
    Exception
        Whatever the codec raises if it cannot be decoded, or ValueError if it is of another size.
    """
    shape = header.tile_height, header.tile_width, header.samples
    color = header.color
    if header.syntax in _NATIVE:
        pixels = np.frombuffer(data, np.uint8).reshape(shape)
    elif header.syntax == _RLE:
        pixels = _decode_rle(data, shape)
    else:
        if _encoded_size(data) != shape[:2]:
            raise ValueError("its size is not that of the other tiles")
        pixels, color = _decode(data, header)
        if pixels.ndim == 2:
            pixels = pixels[..., None]
        if pixels.shape != shape or pixels.dtype != np.uint8:
            raise ValueError("its pixels are not those of the other tiles")
    if header.samples == 1:
        return np.repeat(pixels, 3, axis=2)
    if color.startswith("YBR_FULL"):
        return np.asarray(Image.frombytes("YCbCr", shape[1::-1], pixels.tobytes()).convert("RGB"))
    return pixels


def _decode(data: bytes, header: DicomHeader) -> tuple[NDArray[Any], str]:
    """Decode a compressed frame; return its pixels and the colors they are in now."""
    import imagecodecs

    if header.syntax in _JPEG:
        if header.samples == 1:
            return imagecodecs.jpeg8_decode(data), header.color
        # The header says whether it is RGB; how else its colors are stored, the stream does.
        # JFIF is never RGB: some converters keep its streams and say they were.
        stored = "RGB" if header.color == "RGB" and data[6:10] != b"JFIF" else None
        return imagecodecs.jpeg8_decode(data, colorspace=stored, outcolorspace="RGB"), "RGB"
    if header.syntax in _JPEG_LS:
        return imagecodecs.jpegls_decode(data), header.color
    # A color transform that the stream names is undone by its decoder, whatever the header says.
    color = "RGB" if _has_color_transform(data) else header.color
    return imagecodecs.jpeg2k_decode(data), color


def _has_color_transform(data: bytes) -> bool:
    """Return whether a JPEG 2000 stream holds its colors transformed."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        if data[at + 1] == _CODING_STYLE:
            return data[at + 8] != 0
        at += 2 + int(struct.unpack_from(">H", data, at + 2)[0])
    return False


def _decode_rle(data: bytes, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    import imagecodecs

    height, width, samples = shape
    # Never more than the size of a tile, whatever the stream unfolds to.
    out = imagecodecs.dicomrle_decode(data, np.uint8, out=bytearray(height * width * samples))
    found = np.frombuffer(out, np.uint8)
    return np.ascontiguousarray(np.moveaxis(found.reshape(samples, height, width), 0, -1))


def _encoded_size(data: bytes) -> tuple[int, int] | None:
    """Return height and width by the head of a JPEG, JPEG-LS or JPEG 2000 stream.

    They are compared before anything is decoded: a stream may claim any size.
    """
    if data[:4] == b"\xff\x4f\xff\x51" and len(data) >= 24:
        right, bottom, left, top = struct.unpack_from(">4I", data, 8)
        return bottom - top, right - left
    if data[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker == _START_OF_SCAN:
            return None
        # Start of frame: 0xC0 to 0xCF but for tables, and that of JPEG-LS.
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            height, width = struct.unpack_from(">2H", data, at + 5)
            return int(height), int(width)
        at += 2 + int(struct.unpack_from(">H", data, at + 2)[0])
    return None
