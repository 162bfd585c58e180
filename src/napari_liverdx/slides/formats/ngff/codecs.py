"""Decompressing the chunks of zarr arrays within limits."""

from __future__ import annotations

import asyncio
import bz2
import lzma
import zlib
from dataclasses import dataclass
from typing import Any, Self, cast

import imagecodecs
import numcodecs
from numcodecs.abc import Codec
from zarr.abc.codec import BytesBytesCodec
from zarr.core.buffer import Buffer
from zarr.registry import register_codec

__all__ = ["CHECKED", "KNOWN_CODECS", "MOST_CHUNK_BYTES", "decompress"]

MOST_CHUNK_BYTES = 128 << 20
"""Largest chunk, decompressed."""

CHECKED = "napari_liverdx.checked"
"""Name under which zarr knows decompression within limits."""

KNOWN_CODECS = ("blosc", "zstd", "gzip", "zlib", "lz4", "bz2", "lzma")
"""Ways of compression that `decompress` knows."""


def decompress(codec: str, data: bytes, limit: int) -> bytes:
    """Decompress a chunk that must not be longer than ``limit`` bytes.

    Raises
    ------
    ValueError
        If it is longer, or damaged.
    """
    match codec:
        case "blosc":
            _check_claim(data[4:8], limit)
            return bytes(numcodecs.Blosc().decode(data))
        case "lz4":
            _check_claim(data[:4], limit)
            return bytes(numcodecs.LZ4().decode(data))
        case "zstd":
            return bytes(imagecodecs.zstd_decode(data, out=limit))
    new: Any = {
        "gzip": lambda: zlib.decompressobj(zlib.MAX_WBITS | 32),
        "zlib": lambda: zlib.decompressobj(zlib.MAX_WBITS | 32),
        "bz2": bz2.BZ2Decompressor,
        "lzma": lambda: lzma.LZMADecompressor(memlimit=MOST_CHUNK_BYTES),
    }[codec]
    found = b""
    while data:
        step = new()
        found += step.decompress(data, limit + 1 - len(found))
        if len(found) > limit:
            raise ValueError(f"longer than the {limit:,} bytes that a chunk takes")
        if not step.eof:
            raise ValueError("cut off")
        data = step.unused_data
    return found


def _check_claim(size: bytes, limit: int) -> None:
    claimed = int.from_bytes(size, "little")
    if len(size) < 4 or claimed > limit:
        raise ValueError(f"claims {claimed:,} bytes, a chunk takes {limit:,}")


@dataclass(frozen=True)
class _CheckedCodec(BytesBytesCodec):
    """Decompression within limits, as a codec of zarr version 3."""

    codec: str
    limit: int
    is_fixed_size = False

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        return cls(**data["configuration"])

    def to_dict(self) -> Any:
        return {"name": CHECKED, "configuration": {"codec": self.codec, "limit": self.limit}}

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: Any) -> Buffer:
        data = await asyncio.to_thread(decompress, self.codec, chunk_data.to_bytes(), self.limit)
        return cast("Buffer", chunk_spec.prototype.buffer.from_bytes(data))

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: Any) -> int:
        raise NotImplementedError


class _CheckedNumcodec(Codec):  # type: ignore[misc]
    """The same as a codec of zarr version 2."""

    codec_id = CHECKED

    def __init__(self, codec: str, limit: int) -> None:
        self.codec = codec
        self.limit = limit

    def encode(self, buf: Any) -> Any:
        raise NotImplementedError

    def decode(self, buf: Any, out: Any = None) -> Any:
        return decompress(self.codec, bytes(buf), self.limit)


register_codec(CHECKED, _CheckedCodec)
numcodecs.register_codec(_CheckedNumcodec)
