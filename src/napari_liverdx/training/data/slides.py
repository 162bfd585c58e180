"""Tiles drawn from regions that people annotated on slides."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_liverdx.core.errors import DataError
from napari_liverdx.core.geometry import Rect
from napari_liverdx.core.grid import TileIndex
from napari_liverdx.slides.annotations import Units
from napari_liverdx.slides.slide import Slide
from napari_liverdx.slides.tiles import read_tile
from napari_liverdx.training.data.annotated import (
    TileRule,
    listed_slides,
    open_annotated,
    tiles_in_regions,
)
from napari_liverdx.training.data.base import Example, TileDataset

__all__ = ["SlideDataset"]

_OPEN_SLIDES = 4
_CACHE_BYTES = 64 * 2**20
_TRIES = 8


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    slide: int
    tile: TileIndex


class SlideDataset(TileDataset):
    """Tiles of slides, each in the annotated region of one class.

    The tiles stand on the grid on which a model of this resolution reads the slide, so that a
    test sees what a run sees. A tile is of a class if at least ``rule.min_share`` of it lies in
    regions of that class and at most ``rule.max_conflict`` in regions of any other. For training
    it is moved by up to half a tile and scaled to 0.8 to 1.25, as long as that still holds.

    Slides are opened when needed, a few at a time; `close` releases them, and so does dropping
    the samples.

    Parameters
    ----------
    source : Path
        A folder of slides with their annotations beside them (see `listed_slides`), or a CSV file
        that lists them, or a folder that holds it as ``slides.csv``.
    classes : sequence of str
        Order of the classes; by default that of the annotations.
    mpp : float
        Resolution of the tiles, µm/px.
    tile_size : int
        Side of the tiles in pixels.
    group_pattern, source_pattern, labels
        See `FolderDataset`; the patterns are for slide files, of which each is its own group
        otherwise.
    columns : mapping of str to str, optional
        What the columns path, annotation, group, split, source and mpp are called.
    slide_mpp : float, optional
        Level-0 resolution of the slides that state none.
    rule : TileRule, optional
        When a tile is of a class.
    units : {"px", "um"}
        Unit of napari's shapes; see `read_shapes_csv`.

    Raises
    ------
    DataError
        If an annotation is missing or broken, a slide states no resolution, or no tile is found
        for a class.
    """

    def __init__(
        self,
        source: Path,
        classes: Sequence[str] = (),
        *,
        mpp: float,
        tile_size: int,
        group_pattern: str | None = None,
        source_pattern: str | None = None,
        labels: Mapping[str, str] | None = None,
        columns: Mapping[str, str] | None = None,
        slide_mpp: float | None = None,
        rule: TileRule | None = None,
        units: Units = "px",
    ) -> None:
        self.mpp, self.tile_size, self.rule = mpp, tile_size, rule or TileRule()
        self._open: OrderedDict[int, Slide] = OrderedDict()
        self._lock = threading.Lock()
        listed = listed_slides(source, columns, group_pattern, source_pattern)
        self.classes, self.slides, notes = open_annotated(
            listed, source, classes, labels, slide_mpp, units, mpp, tile_size
        )
        self._places: list[_Place] = []
        self.names = []
        numbered: list[int] = []
        for number, slide in enumerate(self.slides):
            found = tiles_in_regions(slide, self.rule)
            if not found:
                notes.append(f"{slide.path.name}: no tile lies well enough in a region")
            for tile, label in found:
                corner = slide.grid.rect(tile)
                self._places.append(_Place(number, tile))
                self.names.append(f"{slide.path.name} ({corner.x:.0f}, {corner.y:.0f})")
                numbered.append(label)
        self.labels = np.array(numbered, np.intp)
        self.notes = tuple(notes)
        owners = [self.slides[p.slide] for p in self._places]
        self.groups = np.array([s.group for s in owners])
        self.sources = np.array([s.source for s in owners])
        self.splits = np.array([s.split for s in owners])
        empty = [c for i, c in enumerate(self.classes) if not (self.labels == i).any()]
        if empty:
            side = mpp * tile_size
            raise DataError(
                f"{source}: no tile of class {', '.join(empty)}; its regions are missing, smaller "
                f"than a tile ({side:.0f} µm) or overlap with others; annotate more or lower "
                "min_share"
            )

    @cached_property
    def sizes(self) -> NDArray[np.intp]:
        """Width and height of each tile in pixels, shape (n, 2)."""
        return np.full((len(self), 2), self.tile_size)

    def picture(self, index: int) -> NDArray[np.uint8]:
        """Tile ``index`` on its place in the grid, RGB, shape (tile_size, tile_size, 3).

        Raises
        ------
        SlideReadError
            If the slide is gone or damaged.
        """
        place = self._places[index]
        out = np.empty((self.tile_size, self.tile_size, 3), np.uint8)
        read_tile(self._slide(place.slide), self.slides[place.slide].grid, place.tile, out)
        return out

    def eval_tiles(self, index: int, size: int, subtiles: int) -> list[Example]:
        """The tile on its place in the grid."""
        tile = self.picture(index)
        if size != self.tile_size:
            resized = Image.fromarray(tile).resize((size, size), Image.Resampling.BILINEAR)
            tile = np.asarray(resized)
        return [Example(tile, self._target(index), None)]

    def sample_train(
        self, index: int, size: int, subtiles: int, rng: np.random.Generator
    ) -> Example:
        """The tile, moved and scaled at random within the regions of its class."""
        place = self._places[index]
        slide = self.slides[place.slide]
        x, y, width, height = self.drawn_place(index, rng)
        pixels = self._slide(place.slide).read_region(slide.grid.level, x, y, width, height)
        tile = Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR)
        return Example(np.asarray(tile), self._target(index), None)

    def _target(self, index: int) -> NDArray[np.float32]:
        target = np.zeros(len(self.classes), np.float32)
        target[self.labels[index]] = 1
        return target

    def drawn_place(self, index: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
        """Return a place near tile ``index`` that is, by the same rule, of the same class.

        Returns
        -------
        x, y, width, height : int
            In pixels of the level read.
        """
        place, label = self._places[index], int(self.labels[index])
        slide = self.slides[place.slide]
        x, y, width, height = slide.grid.level_rect(place.tile)
        for _ in range(_TRIES):
            scale = np.exp(rng.uniform(np.log(0.8), np.log(1.25)))
            w, h = max(1, round(width * scale)), max(1, round(height * scale))
            left = round(x + (width - w) / 2 + rng.uniform(-0.5, 0.5) * width)
            top = round(y + (height - h) / 2 + rng.uniform(-0.5, 0.5) * height)
            rect = Rect(left, top, w, h).scaled(slide.grid.scale_x, slide.grid.scale_y)
            if slide.label_of(rect, self.rule) == label:
                return left, top, w, h
        return x, y, width, height

    def _slide(self, number: int) -> Slide:
        with self._lock:
            if number not in self._open:
                self._open[number] = self.slides[number].open(_CACHE_BYTES)
                # A slide nobody reads any more closes itself; another thread may still read it.
                while len(self._open) > _OPEN_SLIDES:
                    self._open.popitem(last=False)
            self._open.move_to_end(number)
            return self._open[number]

    def close(self) -> None:
        """Release the slides; they are opened again when needed."""
        with self._lock:
            self._open.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_open", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open, self._lock = OrderedDict(), threading.Lock()
