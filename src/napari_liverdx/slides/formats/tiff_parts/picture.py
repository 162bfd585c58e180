"""One picture of a TIFF file: its tiles as RGB, however they are stored."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.slides.backend import WHITE
from napari_liverdx.slides.formats.tiff_parts.codecs import (
    decode_segment,
    is_subsampled,
    unpack_rows,
)
from napari_liverdx.slides.formats.tiff_parts.colors import ColorRule
from napari_liverdx.slides.formats.tiff_parts.layout import Layout

__all__ = ["Picture"]

_STRIP_ROWS = 256
_STRIP_PIXELS = 1 << 24


@dataclass(frozen=True, slots=True)
class _Plane:
    """A stored image and the first of its segments that holds this channel."""

    layout: Layout
    first: int


class Picture:
    """One resolution of one picture.

    Stored tiles are its tiles; strips are grouped or cut to tiles of the full width.

    Parameters
    ----------
    layouts : sequence of Layout
        One, or one for each of red, green and blue, stored alike.
    """

    def __init__(self, layouts: Sequence[Layout]) -> None:
        first = layouts[0]
        self.layouts = tuple(layouts)
        self.width, self.height = first.width, first.height
        self.tiled = first.tiled
        self.tile_width = first.segment_width
        self.tile_height = first.segment_height if first.tiled else _strip_rows(first)
        self.rule: ColorRule | None = None
        if first.planar:
            step = first.across * first.down
            self._planes = [_Plane(first, k * step) for k in range(first.samples)]
        else:
            self._planes = [_Plane(layout, 0) for layout in layouts]
        self._kept: tuple[int, NDArray[np.uint8]] | None = None
        self._lock = threading.Lock()

    @property
    def area(self) -> int:
        """Number of pixels."""
        return self.width * self.height

    @property
    def grid(self) -> tuple[int, int]:
        """Number of tile rows and columns."""
        return -(-self.height // self.tile_height), -(-self.width // self.tile_width)

    def beyond_end(self) -> tuple[int, int]:
        """Return how many stored segments lie beyond the end of the file, and their number."""
        beyond = total = 0
        for layout in self.layouts:
            ends = layout.offsets + layout.counts
            bad = (layout.offsets < 0) | (layout.counts < 0) | (ends < 0)
            bad |= ends > layout.directory.source.size
            beyond += int(np.count_nonzero(bad & (layout.counts != 0)))
            total += len(ends)
        return beyond, total

    def stored_bytes(self, row: int, col: int) -> int:
        """Return the compressed size of the tile, for tiles: much where there is much to see."""
        layout = self.layouts[0]
        return int(layout.counts[row * layout.across + col]) if self.tiled else 0

    def read_tile(self, row: int, col: int) -> NDArray[np.uint8]:
        """Read one tile as RGB, shape (h, w, 3); white where nothing is stored.

        Raises
        ------
        Exception
            Of the codec's own kind, if a segment cannot be decoded.
        """
        top, left = row * self.tile_height, col * self.tile_width
        bottom = min(top + self.tile_height, self.height)
        if self.tiled:
            tile = self._segment(row * self.layouts[0].across + col)
        else:
            tile = self._strips(top, bottom)
        needed = (bottom - top, min(self.tile_width, self.width - left))
        if tile.shape[0] < needed[0] or tile.shape[1] < needed[1]:
            raise ValueError(f"{tile.shape[1]} × {tile.shape[0]} px where more are needed")
        return tile

    def read_whole(self) -> NDArray[np.uint8]:
        """Read all of a small picture as RGB, shape (height, width, 3)."""
        out = np.full((self.height, self.width, 3), WHITE, np.uint8)
        rows, cols = self.grid
        for row in range(rows):
            for col in range(cols):
                top, left = row * self.tile_height, col * self.tile_width
                part = out[top : top + self.tile_height, left : left + self.tile_width]
                tile = self.read_tile(row, col)[: part.shape[0], : part.shape[1]]
                part[: tile.shape[0], : tile.shape[1]] = tile
        return out

    def raw_tile(self, row: int, col: int) -> NDArray[Any] | None:
        """Read the samples of one tile as stored; of strips, those of one segment."""
        layout = self.layouts[0]
        if self.tiled:
            segment = row * layout.across + col
        else:
            segment = row * self.tile_height // layout.segment_height
        if not self.tiled and layout.row_bytes * layout.segment_height > 1 << 26:
            return None
        parts = [self._decoded(plane, segment) for plane in self._planes]
        there = [part for part in parts if part is not None]
        return np.concatenate(there, axis=2) if len(there) == len(parts) else None

    def _segment(self, segment: int) -> NDArray[np.uint8]:
        return self._colored(lambda plane: self._decoded(plane, segment), segment)

    def _colored(
        self, read: Callable[[_Plane], NDArray[Any] | None], segment: int, rows: int = 0
    ) -> NDArray[np.uint8]:
        parts = [read(plane) for plane in self._planes]
        rule, found = self.rule, next((p for p in parts if p is not None), None)
        if rule is None or found is None:
            layout = self.layouts[0]
            shape = (rows or layout.rows_of(segment), layout.segment_width, 3)
            return np.full(shape, WHITE, np.uint8)
        if len(parts) == 1:
            return rule.rgb(found)
        full = [np.full_like(found, rule.blank) if part is None else part for part in parts]
        height, width = (min(p.shape[k] for p in full) for k in (0, 1))
        return rule.rgb(np.concatenate([p[:height, :width] for p in full], axis=2))

    def _decoded(self, plane: _Plane, segment: int) -> NDArray[Any] | None:
        layout, index = plane.layout, plane.first + segment
        offset, size = int(layout.offsets[index]), int(layout.counts[index])
        if size == 0 or offset == 0:
            return None
        if layout.compression == 1 and not is_subsampled(layout):
            size = layout.row_bytes * layout.rows_of(index)
        return decode_segment(layout, layout.directory.source.read(offset, size), index)

    def _strips(self, top: int, bottom: int) -> NDArray[np.uint8]:
        layout = self.layouts[0]
        high = layout.segment_height
        parts = []
        for segment in range(top // high, -(-bottom // high)):
            first, last = max(top - segment * high, 0), min(bottom - segment * high, high)
            if _rows_apart(layout):
                parts.append(self._rows(segment, first, last))
            elif high > self.tile_height:
                parts.append(self._large_strip(segment)[first:last])
            else:
                parts.append(self._segment(segment)[first:last])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _rows(self, segment: int, first: int, last: int) -> NDArray[np.uint8]:
        def read(plane: _Plane) -> NDArray[Any] | None:
            layout, index = plane.layout, plane.first + segment
            if not layout.counts[index] or not layout.offsets[index]:
                return None
            size = (last - first) * layout.row_bytes
            at = int(layout.offsets[index]) + first * layout.row_bytes
            data = layout.directory.source.read(at, size)
            if len(data) < size:
                raise ValueError(f"{len(data)} bytes where {size} are needed")
            return unpack_rows(layout, data)

        return self._colored(read, segment, last - first)

    def _large_strip(self, segment: int) -> NDArray[np.uint8]:
        """Decode a strip of many rows once for all tiles that are cut from it."""
        with self._lock:
            if self._kept is None or self._kept[0] != segment:
                self._kept = None
                self._kept = (segment, self._segment(segment))
            return self._kept[1]


def _rows_apart(layout: Layout) -> bool:
    """Return whether single rows can be read without the others."""
    return layout.compression == 1 and layout.fill_order == 1 and not is_subsampled(layout)


def _strip_rows(layout: Layout) -> int:
    """Return the rows of a tile that is made of strips, or cut from them."""
    wanted = max(1, min(_STRIP_ROWS, _STRIP_PIXELS // layout.width))
    if layout.segment_height >= wanted:
        # Rows of a strip cannot be had alone where it is compressed, yet a tile may end within.
        return wanted
    return wanted // layout.segment_height * layout.segment_height
