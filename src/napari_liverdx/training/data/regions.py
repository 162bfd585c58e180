"""Tiles of slides, each in the region of one class: where they stand and how they are read."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_liverdx.core.geometry import Rect
from napari_liverdx.core.grid import TileIndex
from napari_liverdx.slides.slide import Slide
from napari_liverdx.slides.tiles import read_tile
from napari_liverdx.training.data.annotated import AnnotatedSlide, TileRule, tiles_in_regions
from napari_liverdx.training.data.base import Example, TileDataset

__all__ = ["LevelPlace", "RegionDataset", "RegionTile", "region_tiles"]

LevelPlace = tuple[int, int, int, int]
"""(x, y, width, height) in pixels of the level that is read."""

_TRIES = 8


@dataclass(frozen=True, slots=True, eq=False)
class RegionTile:
    """A tile of a class.

    Attributes
    ----------
    slide : int
        Number of its slide.
    label : int
        Number of its class.
    rect : Rect
        Its place, level-0 pixels.
    tile : TileIndex or None
        Its place in the slide's grid, around which training looks too; None for a tile that stays
        where it is.
    """

    slide: int
    label: int
    rect: Rect
    tile: TileIndex | None = None


def region_tiles(number: int, slide: AnnotatedSlide, rule: TileRule) -> Iterator[RegionTile]:
    """Yield the tiles of slide ``number`` that are, by the rule, of a class."""
    for tile, label in tiles_in_regions(slide, rule):
        yield RegionTile(number, label, slide.grid.rect(tile), tile)


class RegionDataset(TileDataset):
    """Tiles of annotated slides; who derives from it says which slide is open.

    Parameters
    ----------
    slides : sequence of AnnotatedSlide
        Their regions and grids.
    tiles : sequence of RegionTile
        The tiles, in the order of the labels.
    classes : sequence of str
        Names of the classes.
    mpp : float
        Resolution of the tiles, µm/px.
    tile_size : int
        Side of the tiles in pixels.
    rule : TileRule
        When a tile is of a class.
    notes : sequence of str
        What was left out or assumed.

    Attributes
    ----------
    slides : tuple of AnnotatedSlide
    tiles : tuple of RegionTile
    """

    def __init__(
        self,
        slides: Sequence[AnnotatedSlide],
        tiles: Sequence[RegionTile],
        classes: Sequence[str],
        *,
        mpp: float,
        tile_size: int,
        rule: TileRule,
        notes: Sequence[str] = (),
    ) -> None:
        self.slides, self.tiles, self.classes = tuple(slides), tuple(tiles), tuple(classes)
        self.mpp, self.tile_size, self.rule = mpp, tile_size, rule
        self.notes = tuple(notes)
        self.labels = np.array([t.label for t in self.tiles], np.intp)
        owners = [self.slides[t.slide] for t in self.tiles]
        self.names = [
            f"{s.path.name} ({t.rect.x:.0f}, {t.rect.y:.0f})"
            for s, t in zip(owners, self.tiles, strict=True)
        ]
        self.groups = np.array([s.group for s in owners], np.str_)
        self.sources = np.array([s.source for s in owners], np.str_)
        self.splits = np.array([s.split for s in owners], np.str_)

    @abstractmethod
    def slide(self, number: int) -> Slide:
        """Return slide ``number``, open.

        Raises
        ------
        SlideReadError
            If it is gone or damaged.
        """

    @cached_property
    def sizes(self) -> NDArray[np.intp]:
        """Width and height of each tile in pixels, shape (n, 2)."""
        return np.full((len(self), 2), self.tile_size)

    def picture(self, index: int) -> NDArray[np.uint8]:
        """Read tile ``index`` in its place, RGB, shape (tile_size, tile_size, 3).

        Raises
        ------
        SlideReadError
            If the slide is gone or damaged.
        """
        found = self.tiles[index]
        if found.tile is None:
            return self.look(index, self._place(found), self.tile_size)
        out = np.empty((self.tile_size, self.tile_size, 3), np.uint8)
        read_tile(self.slide(found.slide), self.slides[found.slide].grid, found.tile, out)
        return out

    def eval_tiles(self, index: int, size: int, subtiles: int) -> list[Example]:
        """Return the tile on its place."""
        tile = self.picture(index)
        if size != self.tile_size:
            resized = Image.fromarray(tile).resize((size, size), Image.Resampling.BILINEAR)
            tile = np.asarray(resized)
        return [Example(tile, self.target(index), None)]

    def sample_train(
        self, index: int, size: int, subtiles: int, rng: np.random.Generator
    ) -> Example:
        """Return the tile, moved and scaled at random within the regions of its class."""
        where = self.drawn_place(index, rng)
        return Example(self.look(index, where, size), self.target(index), None)

    def target(self, index: int) -> NDArray[np.float32]:
        """Return the target distribution of tile ``index``, shape (classes,)."""
        target = np.zeros(len(self.classes), np.float32)
        target[self.labels[index]] = 1
        return target

    def drawn_place(self, index: int, rng: np.random.Generator) -> LevelPlace:
        """Return a place near tile ``index`` that is, by the same rule, of the same class."""
        found = self.tiles[index]
        x, y, width, height = self._place(found)
        if found.tile is None:
            return x, y, width, height
        slide = self.slides[found.slide]
        for _ in range(_TRIES):
            scale = np.exp(rng.uniform(np.log(0.8), np.log(1.25)))
            w, h = max(1, round(width * scale)), max(1, round(height * scale))
            left = round(x + (width - w) / 2 + rng.uniform(-0.5, 0.5) * width)
            top = round(y + (height - h) / 2 + rng.uniform(-0.5, 0.5) * height)
            rect = Rect(left, top, w, h).scaled(slide.grid.scale_x, slide.grid.scale_y)
            if slide.label_of(rect, self.rule) == found.label:
                return left, top, w, h
        return x, y, width, height

    def look(self, index: int, where: LevelPlace, size: int) -> NDArray[np.uint8]:
        """Read the place on the slide of tile ``index``, RGB, shape (size, size, 3)."""
        number = self.tiles[index].slide
        pixels = self.slide(number).read_region(self.slides[number].grid.level, *where)
        resized = Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR)
        return np.asarray(resized)

    def _place(self, found: RegionTile) -> LevelPlace:
        grid, rect = self.slides[found.slide].grid, found.rect
        if found.tile is not None:
            return grid.level_rect(found.tile)
        return (
            round(rect.x / grid.scale_x),
            round(rect.y / grid.scale_y),
            max(1, round(rect.width / grid.scale_x)),
            max(1, round(rect.height / grid.scale_y)),
        )
