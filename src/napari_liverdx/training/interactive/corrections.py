"""Tiles to learn from that a person annotated: drawn regions and corrected tiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from napari_liverdx.core.classes import ClassKind, ClassScheme
from napari_liverdx.core.errors import DataError
from napari_liverdx.core.geometry import Rect, Region, covered
from napari_liverdx.core.grid import plan_grid
from napari_liverdx.models.card import ModelCard
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.slides.slide import Slide
from napari_liverdx.training.data.annotated import AnnotatedSlide, TileRule
from napari_liverdx.training.data.base import Example
from napari_liverdx.training.data.regions import (
    LevelPlace,
    RegionDataset,
    RegionTile,
    region_tiles,
)
from napari_liverdx.training.data.splits import joined_groups
from napari_liverdx.training.interactive.annotation_store import SlideAnnotations

__all__ = [
    "AnnotationDataset",
    "SubtilePredictor",
    "answer_of",
    "pairs_closer_than",
    "subtile_targets",
]

SubtilePredictor = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""From a tile, shape (size, size, 3), to probabilities of its subtiles, shape (classes, k, k)."""

GAP = 1.0
"""Least distance, in tiles, between places that may stand on two sides of a split. A tile drawn
for training reaches at most 0.625 tiles beyond its place: moved by half a tile, and enlarged by a
quarter."""

_TOLERANCE = 1 - 1e-6
"""Tiles on a grid lie exactly a whole tile apart."""

_POINTS = 4
"""Points along a subtile's side at which regions are looked at."""


@torch.inference_mode()
def _answer(
    model: LoadedModel, device: torch.device, tile: NDArray[np.uint8]
) -> NDArray[np.float32]:
    pixels = torch.from_numpy(np.array(tile)).permute(2, 0, 1)[None].to(device)
    subtiles = model.network_on(device)(pixels).subtile_scores
    if subtiles is None:
        raise DataError(f"model {model.card.name} gives no map pixels")
    return np.asarray(model.probabilities(subtiles)[0].float().cpu().numpy())


def answer_of(model: LoadedModel, device: torch.device) -> SubtilePredictor | None:
    """Return a predictor of a tile's subtiles; None for a model without subtiles."""
    if model.network.subtiles == 1:
        return None
    return lambda tile: _answer(model, device, tile)


def subtile_targets(
    slide: AnnotatedSlide,
    tiles: Sequence[tuple[Region, int]],
    rect: Rect,
    before: NDArray[np.float32],
    scheme: ClassScheme,
) -> NDArray[np.float32]:
    """Return the training targets of a tile's subtiles.

    In a drawn shape without disease every subtile is of its class. Of a shape with disease at least
    half of the subtiles are: those most like it so far, and all that were predicted so already;
    which of the others are, nobody said. A tile that a person corrected is not drawn so finely: if
    it has no disease, subtiles predicted as diseased get its class; if it has, the subtiles
    predicted so already are confirmed and the others do not count. Everywhere else the model is to
    predict what it predicted before, so that training on one place does not undo another (Li &
    Hoiem 2016, arXiv:1606.09282).

    Parameters
    ----------
    slide : AnnotatedSlide
        Drawn regions by class.
    tiles : sequence of (Region, int)
        Tiles that a person corrected, with their class.
    rect : Rect
        The tile, level-0 pixels.
    before : ndarray of float32, shape (classes, k, k)
        What the model said before.
    scheme : ClassScheme
        Its classes.

    Returns
    -------
    ndarray of float32, shape (classes, k, k)
        Distributions; all zero where the subtile does not count.
    """
    k = before.shape[1]
    target, called = before.copy(), before.argmax(axis=0)
    shares = np.stack([_share(regions, rect, k) for regions in slide.regions])
    drawn = shares.max(axis=0) >= 0.5
    for label in range(len(scheme)):
        here = drawn & (shares.argmax(axis=0) == label)
        if scheme[label].kind is ClassKind.PATHOLOGICAL and here.any():
            here &= (before[label] >= np.median(before[label][here])) | (called == label)
        _say(target, here, label)
    for region, label in tiles:
        if region.bounds.intersection(rect).is_empty:
            continue
        inside = _share((region,), rect, k) >= 0.5
        if scheme[label].kind is ClassKind.PATHOLOGICAL:
            target[:, inside & ~drawn & (called != label)] = 0
        else:
            _say(target, inside & np.isin(target.argmax(axis=0), scheme.pathological), label)
    return target


def _say(target: NDArray[np.float32], where: NDArray[np.bool_], label: int) -> None:
    target[:, where] = 0
    target[label, where] = 1


def _share(regions: Sequence[Region], rect: Rect, k: int) -> NDArray[np.float64]:
    """Return the share of each of k × k subtiles of a rectangle that lies in any region."""
    n = k * _POINTS
    steps = (np.arange(n) + 0.5) / n
    xs, ys = rect.x + steps * rect.width, rect.y + steps * rect.height
    inside = np.zeros((n, n), np.bool_)
    for region in regions:
        if not region.bounds.intersection(rect).is_empty:
            inside |= region.contains(xs, ys)
    return np.asarray(inside.reshape(k, _POINTS, k, _POINTS).mean(axis=(1, 3)))


class AnnotationDataset(RegionDataset):
    """Tiles of open slides that a person annotated.

    Within drawn shapes the tiles stand on the grid on which a run reads the slide, as in
    `SlideDataset`, and are moved and scaled for training; tiles that a person corrected stay where
    they are. Groups are places: tiles less than `GAP` apart belong together.

    Parameters
    ----------
    annotated : sequence of (SlideAnnotations, Slide)
        What was annotated on which slide; the slides stay open as long as the samples are used.
    card : ModelCard
        Of the model that is tuned.
    answer : callable, optional
        What the model said of subtiles before; without it no subtiles are trained.
    rule : TileRule, optional
        When a tile is of a class.

    Attributes
    ----------
    rects : list of Rect
        Place of each sample, level-0 pixels.
    slide_of : ndarray of int
        Slide of each sample.
    seen : ndarray of bool
        Whether a sample lies less than `GAP` from where the model, or any version it comes from,
        was trained; it can train again, but not test.
    version : str
        Of the model.
    is_told : bool
        False for a tuned version that does not record where it was trained.

    Raises
    ------
    DataError
        If a class is none of the model's, or a slide has no resolution.
    """

    def __init__(
        self,
        annotated: Sequence[tuple[SlideAnnotations, Slide]],
        card: ModelCard,
        answer: SubtilePredictor | None = None,
        rule: TileRule | None = None,
    ) -> None:
        rule = rule or TileRule()
        self.scheme, self._answer = card.scheme, answer
        self._opened = tuple(slide for _, slide in annotated)
        self._fingerprints = tuple(found.fingerprint for found, _ in annotated)
        self._corrected = [
            [(t, _number(t, card, slide.path)) for t in found.tiles] for found, slide in annotated
        ]
        slides = [_regions_of(found, slide, card) for found, slide in annotated]
        tiles: list[RegionTile] = []
        for number, (slide, corrected) in enumerate(zip(slides, self._corrected, strict=True)):
            # What was said of a tile itself counts more than a shape around it.
            tiles += (
                t
                for t in region_tiles(number, slide, rule)
                if covered((r for r, _ in corrected), t.rect) <= rule.max_conflict
            )
            tiles += (RegionTile(number, label, region.bounds) for region, label in corrected)
        super().__init__(
            slides, tiles, card.scheme.names, mpp=card.mpp, tile_size=card.tile_size, rule=rule
        )
        self.rects = [t.rect for t in self.tiles]
        self.slide_of = np.array([t.slide for t in self.tiles], np.intp)
        self.groups = self._grouped()
        self.version, self.is_told = card.version, bool(card.trained_on) or not card.parent
        self.seen = self._near_annotated(card)

    def _grouped(self) -> NDArray[np.str_]:
        own = np.array([f"{i:06d}" for i in range(len(self))])
        pairs: list[tuple[int, int]] = []
        for number in range(len(self.slides)):
            mine = np.flatnonzero(self.slide_of == number)
            near = pairs_closer_than([self.rects[i] for i in mine], self._gap(number))
            pairs += [(mine[a], mine[b]) for a, b in near]
        return joined_groups(own, np.array(pairs, np.intp).reshape(-1, 2)) if len(own) else own

    def _gap(self, number: int) -> tuple[float, float]:
        """Return the least distance along x and y on a slide, level-0 pixels."""
        grid = self.slides[number].grid
        return GAP * grid.tile_width * grid.scale_x, GAP * grid.tile_height * grid.scale_y

    def _near_annotated(self, card: ModelCard) -> NDArray[np.bool_]:
        seen = np.zeros(len(self), np.bool_)
        for number, fingerprint in enumerate(self._fingerprints):
            places = np.array(card.trained_on.get(fingerprint, ()), np.float64).reshape(-1, 4)
            # Where the slide had another resolution then, the larger tile counts.
            gap = np.maximum(GAP * places[:, 2:], self._gap(number))
            start, end = places[:, :2], places[:, :2] + places[:, 2:]
            for i in np.flatnonzero(self.slide_of == number):
                r = self.rects[i]
                apart = np.maximum(start - (r.right, r.bottom), (r.x, r.y) - end)
                seen[i] = bool((apart < gap * _TOLERANCE).all(axis=1).any())
        return seen

    def places(
        self, index: NDArray[np.intp]
    ) -> dict[str, tuple[tuple[float, float, float, float], ...]]:
        """Return where some samples stand, by slide, as `ModelCard.trained_on` remembers it."""
        found: dict[str, list[tuple[float, float, float, float]]] = {}
        for i in index:
            r = self.rects[i]
            box = (float(r.x), float(r.y), float(r.width), float(r.height))
            found.setdefault(self._fingerprints[self.slide_of[i]], []).append(box)
        return {slide: tuple(boxes) for slide, boxes in found.items()}

    def sample_train(
        self, index: int, size: int, subtiles: int, rng: np.random.Generator
    ) -> Example:
        """Return the tile, moved and scaled at random where a shape is around it."""
        where = self.drawn_place(index, rng)
        tile = self.look(index, where, size)
        target = None
        if self._answer is not None and subtiles > 1:
            target = self.subtile_target(index, where, self._answer(tile))
        return Example(tile, self.target(index), target)

    def subtile_target(
        self, index: int, where: LevelPlace, before: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return `subtile_targets` for a place on the slide of sample ``index``."""
        number = self.tiles[index].slide
        slide = self.slides[number]
        rect = Rect(*where).scaled(slide.grid.scale_x, slide.grid.scale_y)
        return subtile_targets(slide, self._corrected[number], rect, before, self.scheme)

    def slide(self, number: int) -> Slide:
        """Return slide ``number``; it belongs to others and stays open."""
        return self._opened[number]


def _number(region: Region, card: ModelCard, path: Path) -> int:
    names = card.scheme.names
    if region.name not in names:
        raise DataError(
            f"{path}: {region.name!r} is not a class of this model, whose classes are "
            f"{', '.join(names)}; "
            "draw the region anew with one of them"
        )
    return names.index(region.name)


def _regions_of(found: SlideAnnotations, slide: Slide, card: ModelCard) -> AnnotatedSlide:
    if slide.mpp is None:
        raise DataError(f"{slide.path}: the slide states no resolution; give its µm per pixel")
    grid = plan_grid(slide.levels, slide.mpp, model_mpp=card.mpp, tile_size=card.tile_size)
    numbered = [(r, _number(r, card, slide.path)) for r in found.shapes]
    regions = tuple(tuple(r for r, c in numbered if c == n) for n in range(len(card.scheme)))
    return AnnotatedSlide(slide.path, found.fingerprint, "drawn", "", slide.mpp, grid, regions)


def pairs_closer_than(rects: Sequence[Rect], gap: tuple[float, float]) -> list[tuple[int, int]]:
    """Return pairs of rectangles with less than a gap between them along both axes.

    Parameters
    ----------
    rects : sequence of Rect
        Any that overlap are near.
    gap : (float, float)
        Least distance along x and y.
    """
    if len(rects) < 2:
        return []
    box = np.array([(r.x, r.y, r.right, r.bottom) for r in rects])
    pairs: list[tuple[int, int]] = []
    for i in range(len(rects) - 1):
        rest = box[i + 1 :]
        apart = np.maximum(rest[:, :2] - box[i, 2:], box[i, :2] - rest[:, 2:])
        near = (apart < np.array(gap) * _TOLERANCE).all(axis=1)
        pairs += [(i, i + 1 + int(j)) for j in np.flatnonzero(near)]
    return pairs
