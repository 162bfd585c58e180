"""Writing small TIFF files tag by tag, as no library would write them."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.support.paths import CMU

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 11: 4, 12: 8, 13: 4, 16: 8}
_CODES = {1: "B", 3: "H", 4: "I", 11: "f", 12: "d", 13: "I", 16: "Q"}

Value = int | float | str | bytes | Sequence[int] | Sequence[tuple[int, int]]


@dataclass
class Page:
    """One image directory: tags by their number, segments, SubIFDs.

    A tag is its type and its value: ``{282: (5, [(20000, 1)])}``.
    """

    tags: Mapping[int, tuple[int, Value]]
    segments: Sequence[bytes] = ()
    children: Sequence[Page] = field(default_factory=tuple)


def page(pixels: np.ndarray, tile: int | None = None, **more: object) -> Page:
    """An uncompressed page of uint8 or uint16, in tiles or one strip; ``t262=5`` sets a tag."""
    height, width = pixels.shape[:2]
    samples = pixels.shape[2] if pixels.ndim == 3 else 1
    bits = pixels.dtype.itemsize * 8
    tags: dict[int, tuple[int, Value]] = {
        256: (4, width),
        257: (4, height),
        258: (3, [bits] * samples),
        259: (3, 1),
        262: (3, 2 if samples >= 3 else 1),
        277: (3, samples),
    }
    segments = [pixels.tobytes()]
    if tile:
        tags |= {322: (4, tile), 323: (4, tile)}
        padded = np.pad(
            pixels.reshape(height, width, samples),
            ((0, -height % tile), (0, -width % tile), (0, 0)),
            mode="edge",
        )
        segments = [
            padded[y : y + tile, x : x + tile].tobytes()
            for y in range(0, height, tile)
            for x in range(0, width, tile)
        ]
    else:
        tags[278] = (4, height)
    for name, value in more.items():
        code = int(name[1:])
        if value is None:
            tags.pop(code, None)
        else:
            tags[code] = value if isinstance(value, tuple) else _typed(value)
    return Page(tags, segments)


def _typed(value: object) -> tuple[int, Value]:
    if isinstance(value, str | bytes):
        return (2 if isinstance(value, str) else 7), value
    return (3, value)  # type: ignore[return-value]


def write_tiff(path: Path, pages: Sequence[Page], *, order: str = "<", big: bool = False) -> Path:
    """Write pages as a chain of directories."""
    writer = _Writer(order, big)
    writer.chain(pages)
    path.write_bytes(writer.data)
    return path


class _Writer:
    def __init__(self, order: str, big: bool) -> None:
        self.order, self.big = order, big
        self.word = "Q" if big else "I"
        mark = b"II" if order == "<" else b"MM"
        self.data = bytearray(mark)
        self.data += struct.pack(order + "H", 43 if big else 42)
        self.data += struct.pack(order + "HHQ", 8, 0, 0) if big else bytes(4)
        self.link = 8 if big else 4

    def pack(self, code: str, *values: float) -> bytes:
        return struct.pack(self.order + code, *values)

    def chain(self, pages: Sequence[Page]) -> None:
        for one in pages:
            at, link = self.directory(one)
            self.data[self.link : self.link + len(self.pack(self.word, 0))] = self.pack(
                self.word, at
            )
            self.link = link

    def directory(self, one: Page) -> tuple[int, int]:
        tags = dict(one.tags)
        offsets = []
        for segment in one.segments:
            offsets.append(len(self.data) if segment else 0)
            self.data += segment
        codes = (324, 325) if 322 in tags else (273, 279)
        if one.segments:
            tags.setdefault(codes[0], (16 if self.big else 4, offsets))
            tags.setdefault(codes[1], (4, [len(s) for s in one.segments]))
        if one.children:
            tags[330] = (13, [self.directory(child)[0] for child in one.children])
        entries = b""
        for code, (kind, value) in sorted(tags.items()):
            entries += self.entry(code, kind, value)
        self.data += bytes(len(self.data) % 2)
        at = len(self.data)
        self.data += self.pack("Q" if self.big else "H", len(tags)) + entries
        link = len(self.data)
        self.data += self.pack(self.word, 0)
        return at, link

    def entry(self, code: int, kind: int, value: Value) -> bytes:
        if isinstance(value, str):
            value = value.encode() + b"\0"
        if isinstance(value, bytes):
            count, raw = len(value), value
        elif kind == 5:
            count = len(value)  # type: ignore[arg-type]
            raw = b"".join(self.pack("II", a, b) for a, b in value)  # type: ignore[union-attr,misc]
        else:
            values = [value] if isinstance(value, int | float) else list(value)
            count, raw = len(values), self.pack(f"{len(values)}{_CODES[kind]}", *values)
        head = self.pack("HH" + self.word, code, kind, count)
        room = 8 if self.big else 4
        if len(raw) > room:
            at = len(self.data)
            self.data += raw
            raw = self.pack(self.word, at)
        return head + raw.ljust(room, b"\0")


def tissue(height: int = 192, width: int = 256, seed: int = 0) -> np.ndarray:
    """A piece of a real slide; another for another seed."""
    from napari_liverdx.slides.open import open_slide

    rng = np.random.default_rng(seed)
    with open_slide(CMU) as slide:
        x, y = rng.integers(0, 2220 - width), rng.integers(0, 2900 - height)
        return slide.read_region(0, int(x), int(y), width, height)


def shrunk(pixels: np.ndarray, factor: int) -> np.ndarray:
    """The mean of blocks, as a pyramid's next level."""
    height, width = (n // factor * factor for n in pixels.shape[:2])
    blocks = pixels[:height, :width].reshape(height // factor, factor, width // factor, factor, -1)
    return blocks.mean((1, 3)).round().astype(pixels.dtype)
