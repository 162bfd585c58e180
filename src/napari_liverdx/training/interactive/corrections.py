"""Tiles to learn from that a person taught on slides: drawn regions and corrected tiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from napari_liverdx.core.classes import ClassKind, ClassScheme
from napari_liverdx.core.errors import DataError
from napari_liverdx.core.geometry import Rect, Region, covered
from napari_liverdx.core.grid import TileIndex, plan_grid
from napari_liverdx.models.card import ModelCard
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.slides.slide import Slide
from napari_liverdx.training.data.annotated import AnnotatedSlide, TileRule, tiles_in_regions
from napari_liverdx.training.data.base import Example
from napari_liverdx.training.data.slides import SlideDataset, _Place
from napari_liverdx.training.data.splits import joined_groups

__all__ = [
    "AnnotationDataset",
    "SlideWithAnnotations",
    "SubtilePredictor",
    "answer_of",
    "pairs_closer_than",
    "subtile_targets",
]

SubtilePredictor = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""From a tile, shape (size, size, 3), to probabilities of its cells, shape (classes, k, k)."""

Place = tuple[int, int, int, int]
"""(x, y, width, height) in pixels of the level that is read."""

GAP = 1.0
"""Least distance, in tiles, between places that may stand on two sides of a split. A tile drawn
for training reaches at most 0.625 tiles beyond its place: moved by half a tile, and enlarged by a
quarter."""

_TOLERANCE = 1 - 1e-6
"""Tiles on a grid lie exactly a whole tile apart."""

_POINTS = 4
"""Points along a cell's side at which regions are looked at."""


@dataclass(frozen=True, slots=True, eq=False)
class SlideWithAnnotations:
    """What was taught on an open slide.

    Attributes
    ----------
    slide : Slide
    name : str
        For messages; tells slides apart where there is no fingerprint.
    shapes : tuple of Region
        Drawn regions.
    tiles : tuple of Region
        Rectangles of tiles whose class a person said.
    fingerprint : str
        Start of the slide's fingerprint, the same under any file name.
    """

    slide: Slide
    name: str
    shapes: tuple[Region, ...]
    tiles: tuple[Region, ...] = ()
    fingerprint: str = ""

    @property
    def identity(self) -> str:
        """Under what a card remembers the slide."""
        return self.fingerprint or self.name


@torch.inference_mode()
def _answer(model: LoadedModel, device: torch.device, tile: NDArray[np.uint8]) -> NDArray:
    pixels = torch.from_numpy(np.array(tile)).permute(2, 0, 1)[None].to(device)
    subtiles = model.network(pixels).subtile_scores
    if subtiles is None:
        raise DataError(f"model {model.card.name} gives no cells")
    return np.asarray(model.probabilities(subtiles)[0].float().cpu().numpy())


def answer_of(model: LoadedModel, device: torch.device) -> SubtilePredictor | None:
    """What a model says of the cells of a tile; None for a model without cells."""
    if model.network.subtiles == 1:
        return None
    model.network.to(device).eval()
    return lambda tile: _answer(model, device, tile)


def subtile_targets(
    slide: AnnotatedSlide,
    tiles: Sequence[tuple[Region, int]],
    rect: Rect,
    before: NDArray[np.float32],
    scheme: ClassScheme,
) -> NDArray[np.float32]:
    """What the cells of a tile are to say.

    In a drawn shape without disease every cell is of its class. Of a shape with disease at least
    half of the cells are: those most like it so far, and all that were called so already; which of
    the others are, nobody said. A tile that a person called is not drawn so finely: if it has no
    disease, cells that were called diseased get its class; if it has, the cells that said so
    already are confirmed and the others stay untaught. Everywhere else the model is asked to say
    what it said before, so that teaching one place does not unteach another (Li & Hoiem 2016,
    arXiv:1606.09282).

    Parameters
    ----------
    slide : AnnotatedSlide
        Drawn regions by class.
    tiles : sequence of (Region, int)
        Tiles that a person called, with their class.
    rect : Rect
        The tile, level-0 pixels.
    before : ndarray of float32, shape (classes, k, k)
        What the model said before.
    scheme : ClassScheme
        Its classes.

    Returns
    -------
    ndarray of float32, shape (classes, k, k)
        Distributions; all zero where the cell teaches nothing.
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
    """Share of each of k × k cells of a rectangle that lies in any of the regions."""
    n = k * _POINTS
    steps = (np.arange(n) + 0.5) / n
    xs, ys = rect.x + steps * rect.width, rect.y + steps * rect.height
    inside = np.zeros((n, n), np.bool_)
    for region in regions:
        if not region.bounds.intersection(rect).is_empty:
            inside |= region.contains(xs, ys)
    return np.asarray(inside.reshape(k, _POINTS, k, _POINTS).mean(axis=(1, 3)))


class AnnotationDataset(SlideDataset):
    """Tiles of open slides that a person taught.

    Within drawn shapes the tiles stand on the grid on which a run reads the slide, as in
    `SlideDataset`, and are moved and scaled for training; tiles that a person called stay where
    they are. Groups are places: tiles less than `GAP` apart belong together.

    Parameters
    ----------
    slides : sequence of SlideWithAnnotations
        The slides; they stay open as long as the samples are used.
    card : ModelCard
        Of the model that is taught.
    answer : callable, optional
        What the model said of cells before; without it no cells are taught.
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
        was taught; it can teach again, but not test.
    version : str
        Of the model.
    is_told : bool
        False for a taught version that does not say where it was taught.

    Raises
    ------
    DataError
        If a class is none of the model's, or a slide has no resolution.
    """

    def __init__(
        self,
        slides: Sequence[SlideWithAnnotations],
        card: ModelCard,
        answer: SubtilePredictor | None = None,
        rule: TileRule | None = None,
    ) -> None:
        self.mpp, self.tile_size, self.rule = card.mpp, card.tile_size, rule or TileRule()
        self.scheme, self.classes = card.scheme, card.scheme.names
        self._answer, self._taught = answer, tuple(slides)
        self._places: list[_Place] = []
        self._exact: dict[int, Place] = {}
        self._tiles = [[(t, self._number(t, s)) for t in s.tiles] for s in slides]
        self.slides = [self._shapes_of(s) for s in slides]
        self.rects: list[Rect] = []
        self.names, self.notes = [], ()
        labels: list[int] = []
        for number in range(len(slides)):
            labels += self._find(number)
        self.labels = np.array(labels, np.intp)
        self.slide_of = np.array([p.slide for p in self._places], np.intp)
        self.sources = np.full(len(labels), "taught")
        self.groups = self._grouped()
        self.version, self.is_told = card.version, bool(card.trained_on) or not card.parent
        self.seen = self._near_annotated(card)

    def _number(self, region: Region, slide: SlideWithAnnotations) -> int:
        if region.name not in self.classes:
            raise DataError(
                f"{slide.name}: {region.name!r} is no class of this model, which knows "
                f"{', '.join(self.classes)}; draw the region anew with one of them"
            )
        return self.classes.index(region.name)

    def _shapes_of(self, taught: SlideWithAnnotations) -> AnnotatedSlide:
        slide = taught.slide
        if slide.mpp is None:
            raise DataError(f"{slide.path}: the slide states no resolution; give its µm per pixel")
        grid = plan_grid(slide.levels, slide.mpp, model_mpp=self.mpp, tile_size=self.tile_size)
        numbered = [(r, self._number(r, taught)) for r in taught.shapes]
        regions = tuple(tuple(r for r, c in numbered if c == n) for n in range(len(self.classes)))
        return AnnotatedSlide(slide.path, taught.name, "taught", "", slide.mpp, grid, regions)

    def _find(self, number: int) -> list[int]:
        """Take the tiles of a slide in; returns their labels."""
        slide, called, labels = self.slides[number], self._tiles[number], []
        grid = slide.grid
        for tile, label in tiles_in_regions(slide, self.rule):
            rect = grid.rect(tile)
            # What was said of a tile itself counts more than a shape around it.
            if covered((r for r, _ in called), rect) <= self.rule.max_conflict:
                self._add(number, tile, rect)
                labels.append(label)
        for region, label in called:
            b = region.bounds
            self._exact[len(self._places)] = (
                round(b.x / grid.scale_x),
                round(b.y / grid.scale_y),
                max(1, round(b.width / grid.scale_x)),
                max(1, round(b.height / grid.scale_y)),
            )
            self._add(number, TileIndex(0, 0), b)
            labels.append(label)
        return labels

    def _add(self, number: int, tile: TileIndex, rect: Rect) -> None:
        self._places.append(_Place(number, tile))
        self.rects.append(rect)
        self.names.append(f"{self._taught[number].name} ({rect.x:.0f}, {rect.y:.0f})")

    def _grouped(self) -> NDArray[np.str_]:
        own = np.array([f"{i:06d}" for i in range(len(self))])
        pairs: list[tuple[int, int]] = []
        for number in range(len(self.slides)):
            mine = np.flatnonzero(self.slide_of == number)
            near = pairs_closer_than([self.rects[i] for i in mine], self._gap(number))
            pairs += [(mine[a], mine[b]) for a, b in near]
        return joined_groups(own, pairs) if len(own) else own

    def _gap(self, number: int) -> tuple[float, float]:
        """Least distance along x and y on a slide, level-0 pixels."""
        grid = self.slides[number].grid
        return GAP * grid.tile_width * grid.scale_x, GAP * grid.tile_height * grid.scale_y

    def _near_annotated(self, card: ModelCard) -> NDArray[np.bool_]:
        seen = np.zeros(len(self), np.bool_)
        for number, taught in enumerate(self._taught):
            places = np.array(card.trained_on.get(taught.identity, ()), np.float64).reshape(-1, 4)
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
        """Where some samples stand, by slide, as `ModelCard.trained_on` remembers it."""
        found: dict[str, list[tuple[float, float, float, float]]] = {}
        for i in index:
            r, slide = self.rects[i], self._taught[self.slide_of[i]]
            box = (float(r.x), float(r.y), float(r.width), float(r.height))
            found.setdefault(slide.identity, []).append(box)
        return {slide: tuple(boxes) for slide, boxes in found.items()}

    def picture(self, index: int) -> NDArray[np.uint8]:
        """Tile ``index`` on its place, RGB, shape (tile_size, tile_size, 3)."""
        if index not in self._exact:
            return super().picture(index)
        return self.look(index, self._exact[index], self.tile_size)

    def sample_train(
        self, index: int, size: int, subtiles: int, rng: np.random.Generator
    ) -> Example:
        """The tile, moved and scaled at random where a shape is around it."""
        where = self.drawn_place(index, rng)
        tile = self.look(index, where, size)
        target = None
        if self._answer is not None and subtiles > 1:
            target = self.subtile_target(index, where, self._answer(tile))
        return Example(tile, self.target(index), target)

    def drawn_place(self, index: int, rng: np.random.Generator) -> Place:
        """Where `sample_train` looks."""
        if index in self._exact:
            return self._exact[index]
        return super().drawn_place(index, rng)

    def look(self, index: int, where: Place, size: int) -> NDArray[np.uint8]:
        """What stands at a place on the slide of sample ``index``, RGB, shape (size, size, 3)."""
        place = self._places[index]
        pixels = self._slide(place.slide).read_region(self.slides[place.slide].grid.level, *where)
        resized = Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR)
        return np.asarray(resized)

    def target(self, index: int) -> NDArray[np.float32]:
        """Target distribution of sample ``index``, shape (classes,)."""
        return self._target(index)

    def subtile_target(
        self, index: int, where: Place, before: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """`subtile_targets` for a place on the slide of sample ``index``."""
        number = self._places[index].slide
        slide = self.slides[number]
        rect = Rect(*where).scaled(slide.grid.scale_x, slide.grid.scale_y)
        return subtile_targets(slide, self._tiles[number], rect, before, self.scheme)

    def _slide(self, number: int) -> Slide:
        return self._taught[number].slide

    def close(self) -> None:
        """The slides belong to others and stay open."""


def pairs_closer_than(rects: Sequence[Rect], gap: tuple[float, float]) -> list[tuple[int, int]]:
    """Pairs of rectangles with less than a gap between them along both axes.

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
