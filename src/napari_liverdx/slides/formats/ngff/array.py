"""One array of a zarr store from anywhere, of which zarr itself sees only what was checked.

The description of an array is read, checked and written anew before zarr gets it: sizes, chunks
and ways of compression are those allowed here, and whatever else stands there is left out. So no
claimed size is allocated unchecked, no chunk grows beyond what it must be when it is decompressed,
and no codec runs that could do more than decompress.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)
from zarr.core.buffer import Buffer, BufferPrototype

from napari_liverdx.core.errors import NotASlideError, SlideReadError, TileReadError
from napari_liverdx.slides.formats.ngff.codecs import CHECKED, KNOWN_CODECS, MOST_CHUNK_BYTES
from napari_liverdx.slides.formats.ngff.source import ByteRange, ZarrSource

__all__ = ["ZarrArray", "read_json"]

_MOST_PIXELS = 1 << 21
_MOST_INNER = 1 << 20
_JSON_BYTES = 16 << 20
_CHECKSUMS = 64
_DTYPE = re.compile(r"[<>|]([uif])([1248])")
_ADVICE = "write the image again with zstd or blosc, for example with 'bioformats2raw'"


# -- what is read of a description --


@dataclass(frozen=True, slots=True)
class ZarrArray:
    """An array's size and chunks, and its pixels when they are asked for.

    Attributes
    ----------
    shape, chunks : tuple of int
        Chunks are the smallest that can be read alone: those within a shard.
    dtype : dtype
        With the byte order of this machine.
    fill : int
        Value of chunks that are not there, as the file says.
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    fill: int
    _where: str
    _source: ZarrSource = field(repr=False)
    _document: Mapping[str, Any] = field(repr=False)
    _opened: dict[int, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, source: ZarrSource, path: str) -> ZarrArray | None:
        """Return the array at a path of a store; None if there is none.

        Raises
        ------
        NotASlideError
            If it holds no numbers.
        SlideReadError
            If its description is damaged, or asks for what is not read here.
        """
        where = f"{source.address}/{path}"
        for read, name in ((_checked_v3, "zarr.json"), (_checked_v2, ".zarray")):
            found = read_json(source, f"{path}/{name}")
            if found is None or found.get("node_type", "array") != "array":
                continue
            try:
                document, chunks, dtype, fill = read(found, where)
            except (KeyError, TypeError, ValueError, IndexError) as error:
                if isinstance(error, NotASlideError):
                    raise
                raise SlideReadError(
                    f"{where}: the array's description is damaged ({error!r}); copy the slide "
                    "again from its source"
                ) from error
            return cls(
                tuple(document["shape"]), chunks, dtype, fill, where, source, {name: document}
            )
        return None

    def read(self, selection: tuple[int | slice, ...], fill: int) -> NDArray[Any]:
        """Read a part of the array.

        Parameters
        ----------
        selection : tuple of int or slice
            One for each axis.
        fill : int
            Value of chunks that are not there.

        Raises
        ------
        TileReadError
            If a chunk cannot be decoded.
        SlideReadError
            If the store cannot be read any more.
        """
        try:
            if fill not in self._opened:
                self._opened[fill] = self._zarr(fill)
            return np.asarray(self._opened[fill][selection])
        except SlideReadError:
            raise
        # Codecs raise errors of their own making, with no common base but Exception.
        except Exception as error:
            raise TileReadError(
                f"{self._where}: a chunk is damaged ({error}); the rest of the slide can still be "
                "read"
            ) from error

    def _zarr(self, fill: int) -> Any:
        ((name, document),) = self._document.items()
        store = _CheckedStore(self._source, self._where[len(self._source.address) + 1 :])
        store.described[name] = json.dumps({**document, "fill_value": fill}).encode()
        version = 3 if name == "zarr.json" else 2
        return zarr.open_array(store, mode="r", zarr_format=cast("Any", version))


def read_json(source: ZarrSource, key: str) -> dict[str, Any] | None:
    """Return a JSON object from a store; None if there is no such file.

    Raises
    ------
    SlideReadError
        If it is damaged or too long.
    """
    content = source.read(key)
    if content is None:
        return None
    try:
        if len(content) > _JSON_BYTES:
            raise ValueError(f"{len(content):,} bytes long")
        found = json.loads(content)
        if not isinstance(found, dict):
            raise TypeError("no object")
    except (ValueError, TypeError, RecursionError) as error:
        raise SlideReadError(
            f"{source.address}/{key}: damaged JSON ({error}); copy the slide again from its source"
        ) from error
    return found


_Checked = tuple[dict[str, Any], tuple[int, ...], np.dtype[Any], int]


def _checked_v3(found: Mapping[str, Any], where: str) -> _Checked:
    shape = _sizes(found["shape"], where)
    dtype = _dtype(np.dtype(str(found["data_type"])).str, found["data_type"], where)
    if found["chunk_grid"]["name"] != "regular":
        raise SlideReadError(f"{where}: chunks of irregular size are not read here; {_ADVICE}")
    outer = _chunks(found["chunk_grid"]["configuration"]["chunk_shape"], shape, where)
    codecs, inner = _codecs_v3(found["codecs"], outer, dtype.itemsize, where)
    _check_chunk(inner, dtype.itemsize, where)
    encoding = found.get("chunk_key_encoding", {"name": "default"})
    separator = encoding.get("configuration", {}).get("separator")
    default = "." if encoding["name"] == "v2" else "/"
    document = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": shape,
        "data_type": str(dtype),
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": outer}},
        "chunk_key_encoding": {
            "name": "v2" if encoding["name"] == "v2" else "default",
            "configuration": {"separator": default if separator is None else separator},
        },
        "codecs": codecs,
        "attributes": {},
    }
    return document, inner, dtype, _fill(found.get("fill_value"))


def _checked_v2(found: Mapping[str, Any], where: str) -> _Checked:
    shape = _sizes(found["shape"], where)
    dtype = _dtype(found["dtype"], found["dtype"], where)
    chunks = _chunks(found["chunks"], shape, where)
    _check_chunk(chunks, dtype.itemsize, where)
    if found.get("filters"):
        names = ", ".join(str(f.get("id")) for f in found["filters"])
        raise SlideReadError(f"{where}: stored with filters ({names}), not read here; {_ADVICE}")
    compressor = found.get("compressor")
    if compressor is not None:
        limit = math.prod(chunks) * dtype.itemsize
        compressor = {"id": CHECKED, **_checked_codec(compressor["id"], limit, where)}
    document = {
        "zarr_format": 2,
        "shape": shape,
        "dtype": found["dtype"],
        "chunks": chunks,
        "order": "F" if found.get("order") == "F" else "C",
        "filters": None,
        "compressor": compressor,
        "dimension_separator": "/" if found.get("dimension_separator") == "/" else ".",
    }
    return document, chunks, dtype, _fill(found.get("fill_value"))


def _sizes(given: Any, where: str) -> tuple[int, ...]:
    shape = tuple(given)
    if not 2 <= len(shape) <= 5 or not all(type(n) is int and n >= 1 for n in shape):
        raise NotASlideError(f"{where}: an array of shape {list(shape)[:8]} is no image")
    if max(shape) > _MOST_PIXELS:
        raise SlideReadError(
            f"{where}: claims {max(shape):,} px on a side, which no slide has; the file is damaged"
        )
    return shape


def _chunks(given: Any, shape: tuple[int, ...], where: str) -> tuple[int, ...]:
    chunks = tuple(given)
    if len(chunks) != len(shape) or not all(type(n) is int and n >= 1 for n in chunks):
        raise SlideReadError(
            f"{where}: chunks of shape {list(chunks)[:8]} cannot be; the file is damaged"
        )
    return chunks


def _check_chunk(chunks: tuple[int, ...], itemsize: int, where: str) -> None:
    size = math.prod(chunks) * itemsize
    if size > MOST_CHUNK_BYTES:
        raise SlideReadError(
            f"{where}: chunks of {' × '.join(map(str, chunks))} take {size / 2**20:,.0f} MiB each, "
            f"more than the {MOST_CHUNK_BYTES >> 20} MiB read at once; write the image with chunks "
            "of 512 to 1024 px"
        )


def _dtype(code: Any, name: Any, where: str) -> np.dtype[Any]:
    if not isinstance(code, str) or not _DTYPE.fullmatch(code):
        raise NotASlideError(f"{where}: values of type {str(name)[:40]} are no image")
    return np.dtype(code).newbyteorder("=")


def _fill(given: Any) -> int:
    return given if type(given) is int and 0 <= given <= 65535 else 0


def _codecs_v3(
    given: Any, chunks: tuple[int, ...], itemsize: int, where: str
) -> tuple[list[Any], tuple[int, ...]]:
    """Return the codecs of a version 3 array anew, and the chunks that can be read alone."""
    codecs: list[Any] = []
    inner = chunks
    for codec in given:
        name = codec if isinstance(codec, str) else codec["name"]
        settings = {} if isinstance(codec, str) else dict(codec.get("configuration") or {})
        match name:
            case "bytes":
                endian = "big" if settings.get("endian") == "big" else "little"
                codecs.append({"name": name, "configuration": {"endian": endian}})
            case "transpose":
                order = [int(i) for i in settings["order"]]
                codecs.append({"name": name, "configuration": {"order": order}})
                chunks = tuple(chunks[i] for i in order)
            case "crc32c":
                codecs.append({"name": name})
            case "sharding_indexed":
                sharded, inner = _sharding(settings, chunks, itemsize, where)
                codecs.append({"name": name, "configuration": sharded})
            case _:
                _check_chunk(inner, itemsize, where)
                checked = _checked_codec(name, math.prod(chunks) * itemsize, where)
                codecs.append({"name": CHECKED, "configuration": checked})
    return codecs, inner


def _sharding(
    given: Mapping[str, Any], outer: tuple[int, ...], itemsize: int, where: str
) -> tuple[dict[str, Any], tuple[int, ...]]:
    inner = _chunks(given["chunk_shape"], outer, where)
    if math.prod(-(-o // i) for o, i in zip(outer, inner, strict=True)) > _MOST_INNER:
        raise SlideReadError(f"{where}: too many chunks in one shard; {_ADVICE}")
    codecs, alone = _codecs_v3(given["codecs"], inner, itemsize, where)
    index, _ = _codecs_v3(
        given.get("index_codecs", ["bytes", "crc32c"]), (_MOST_INNER, 2), 8, where
    )
    location = "start" if given.get("index_location") == "start" else "end"
    sharded = {
        "chunk_shape": inner,
        "codecs": codecs,
        "index_codecs": index,
        "index_location": location,
    }
    return sharded, alone


def _checked_codec(name: Any, limit: int, where: str) -> dict[str, Any]:
    plain = str(name).removeprefix("numcodecs.")
    if plain not in KNOWN_CODECS:
        raise SlideReadError(
            f"{where}: compressed with {str(name)[:40]!r}, not read here; {_ADVICE}"
        )
    return {"codec": plain, "limit": limit + _CHECKSUMS}


# -- what zarr reads from --


class _CheckedStore(Store):
    """The files of one array, with the description that was checked in place of its own."""

    def __init__(self, source: ZarrSource, path: str) -> None:
        super().__init__(read_only=True)
        self._source = source
        self._path = path
        self.described: dict[str, bytes] = {}

    def __eq__(self, value: object) -> bool:
        return self is value

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        if key.endswith(("zarr.json", ".zarray", ".zattrs", ".zgroup")):
            data = self.described.get(key)
        else:
            data = await asyncio.to_thread(
                self._source.read, f"{self._path}/{key}", _byte_range(byte_range)
            )
        return None if data is None else prototype.buffer.from_bytes(data)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    async def exists(self, key: str) -> bool:
        return key in self.described

    supports_writes = False
    supports_deletes = False
    supports_listing = False

    async def set(self, key: str, value: Buffer) -> None:
        raise NotImplementedError

    async def delete(self, key: str) -> None:
        raise NotImplementedError

    def list(self) -> AsyncIterator[str]:
        raise NotImplementedError

    def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        raise NotImplementedError

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        raise NotImplementedError


def _byte_range(request: ByteRequest | None) -> ByteRange | None:
    match request:
        case RangeByteRequest(start=start, end=end):
            return start, end
        case OffsetByteRequest(offset=offset):
            return offset, None
        case SuffixByteRequest(suffix=suffix):
            return -suffix, None
    return None
