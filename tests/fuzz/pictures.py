"""Damage to TIFF directories, JPEG streams and PNG chunks, where their numbers stand."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable, Sequence
from random import Random
from typing import NamedTuple

from tests.fuzz.damage import damage_bytes, extreme
from tests.fuzz.text import damage_xml

__all__ = ["damage_bmp", "damage_jpeg", "damage_png", "damage_tiff", "png_of"]

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 16: 8, 17: 8}
_MOST = 64
_TEXTS = (270, 305, 306, 65420)


class _Field(NamedTuple):
    """A number in a file: its place, its width in bytes."""

    at: int
    size: int


class _Directory(NamedTuple):
    entries: list[tuple[int, int]]
    numbers: list[_Field]
    texts: list[tuple[int, int]]


def _directories(data: bytes) -> tuple[str, _Directory]:
    """The byte order, and what stands in the directories of a sound TIFF."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    offset_size, count_size, entry = (8, 8, 20) if big else (4, 2, 12)
    letter = {2: "H", 4: "I", 8: "Q"}

    def number(at: int, size: int) -> int:
        return int(struct.unpack_from(order + letter[size], data, at)[0])

    found = _Directory([], [_Field(8 if big else 4, offset_size)], [])
    offset, numbers = number(8 if big else 4, offset_size), found.numbers
    while offset and len(found.entries) < 5000:
        found.numbers.append(_Field(offset, count_size))
        count = number(offset, count_size)
        for i in range(count):
            at = offset + count_size + i * entry
            tag, kind, values = number(at, 2), number(at + 2, 2), number(at + 4, offset_size)
            place = at + 4 + offset_size
            found.entries.append((tag, at))
            numbers += [_Field(at + 2, 2), _Field(at + 4, offset_size)] * 2
            numbers += [_Field(place, offset_size)] * 3
            width = _SIZES.get(kind, 1)
            if values * width > offset_size:
                start = number(place, offset_size)
                if tag in _TEXTS:
                    found.texts.append((start, values))
                elif width in letter:
                    numbers += [_Field(start + k * width, width) for k in range(min(values, _MOST))]
        end = offset + count_size + count * entry
        found.numbers.append(_Field(end, offset_size))
        offset = number(end, offset_size)
    return order, found


def damage_tiff(rng: Random, data: bytes) -> bytes:
    """Other tags, types, counts, offsets, values and descriptions; or other bytes."""
    if rng.random() < 0.25:
        return damage_bytes(rng, data, near_start=rng.random() < 0.3)
    order, found = _directories(data)
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        choice = rng.random()
        if choice < 0.15 and found.texts:
            start, size = rng.choice(found.texts)
            text = damage_xml(rng, bytes(out[start : start + size]))[:size]
            out[start : start + size] = text.ljust(size, b"\0")
        elif choice < 0.25:
            tag = rng.choice((0, 65535, *(t for t, _ in found.entries), rng.randrange(65536)))
            struct.pack_into(order + "H", out, rng.choice(found.entries)[1], tag)
        elif choice < 0.35:
            return damage_jpeg(rng, bytes(out))
        else:
            field = rng.choice(found.numbers)
            letter = {1: "B", 2: "H", 4: "I", 8: "Q"}[field.size]
            if field.at + field.size <= len(out):
                old = struct.unpack_from(order + letter, out, field.at)[0]
                near = (old + rng.choice((-1, 1, 256))) % 2 ** (8 * field.size)
                new = rng.choice((near, extreme(rng, field.size), extreme(rng, 1)))
                struct.pack_into(order + letter, out, field.at, new)
    return bytes(out)


_MARKER = re.compile(rb"\xff[\xc0-\xc4\xd8-\xdb\xdd\xee\xe0-\xe2]")


def damage_jpeg(rng: Random, data: bytes) -> bytes:
    """Other lengths, sizes, tables and components behind a marker; or other bytes."""
    found = list(_MARKER.finditer(data))
    if not found or rng.random() < 0.25:
        return damage_bytes(rng, data)
    out = bytearray(data)
    at = rng.choice(found).end() + rng.choice((0, 0, 2, 3, 4, 5, 7, 8, 9, 12))
    if at + 2 <= len(out):
        if rng.random() < 0.5:
            out[at] = rng.choice((0, 1, 255, rng.randrange(256)))
        else:
            struct.pack_into(">H", out, at, extreme(rng, 2))
    return bytes(out)


def damage_png(rng: Random, data: bytes) -> bytes:
    """Other chunks with right checksums, so that they are looked at; or other bytes."""
    if rng.random() < 0.3:
        return damage_bytes(rng, data)
    chunks, at = [], 8
    while at + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        chunks.append([data[at + 4 : at + 8], data[at + 8 : at + 8 + size]])
        at += 12 + size
    chosen = rng.choice((chunks[0], rng.choice(chunks)))
    match rng.randrange(5):
        case 0:
            chunks.insert(rng.randrange(len(chunks)), chosen)
        case 1:
            chunks.remove(chosen)
        case 2:
            bomb = zlib.compress(b"\0" * rng.choice((10**4, 10**7)), 9)
            chunks.insert(1, [rng.choice((b"zTXt", b"iCCP", b"iTXt")), b"a\0\0" + bomb])
        case _ if chosen is chunks[0]:
            body = bytearray(chosen[1])
            if rng.random() < 0.6:
                struct.pack_into(">I", body, rng.choice((0, 4)), extreme(rng, 4))
            else:
                body[rng.randrange(8, 13)] = rng.randrange(256)
            chosen[1] = bytes(body)
        case _:
            chosen[1] = damage_bytes(rng, chosen[1])
    return png_of(chunks)


def png_of(chunks: Iterable[Sequence[bytes]]) -> bytes:
    """A PNG of chunks: the kind of each, and its body."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def damage_bmp(rng: Random, data: bytes) -> bytes:
    """Other numbers in the header; or other bytes."""
    out = bytearray(data)
    if rng.random() < 0.7:
        at = rng.choice((2, 10, 14, 18, 22, 28, 30, 34, 46))
        size = 2 if at == 28 else 4
        struct.pack_into("<H" if size == 2 else "<I", out, at, extreme(rng, size))
        return bytes(out)
    return damage_bytes(rng, data)
