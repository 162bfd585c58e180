"""Slides with annotated regions: finding them, and which of their tiles are of which class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from napari_liverdx.core.errors import DataError, MppError
from napari_liverdx.core.geometry import Rect, Region, covered
from napari_liverdx.core.grid import TileGrid, TileIndex, plan_grid
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.slides.annotations.base import Units
from napari_liverdx.slides.annotations.beside import (
    annotations_beside,
    may_annotate,
    slide_stem,
)
from napari_liverdx.slides.annotations.read import ANNOTATION_TITLES, read_annotations
from napari_liverdx.slides.cache import TileCache
from napari_liverdx.slides.csv_table import is_file
from napari_liverdx.slides.formats import is_slide_name
from napari_liverdx.slides.formats.side_files import side_files
from napari_liverdx.slides.listing import SlideEntry, read_slide_table
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.slide import Slide
from napari_liverdx.training.data.base import class_order, column_names, matched, split_name

__all__ = [
    "AnnotatedSlide",
    "TileRule",
    "annotated_entries",
    "open_annotated",
    "tiles_in_regions",
]

_LIST = "slides.csv"
_COLUMNS = ("path", "annotation", "group", "split", "source", "mpp")


class TileRule(BaseModel):
    """When a tile is of a class.

    Attributes
    ----------
    min_share : float
        Least share of the tile in regions of the class.
    max_conflict : float
        Largest share of the tile in regions of any other class.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_share: float = Field(default=0.5, gt=0, le=1)
    max_conflict: float = Field(default=0.1, ge=0, lt=1)


@dataclass(frozen=True, slots=True, eq=False)
class AnnotatedSlide:
    """A slide's regions and grid; the slide itself is closed.

    Attributes
    ----------
    path : Path
    group, source, split : str
    given_mpp : Mpp or None
        Where it does not come from the file.
    grid : TileGrid
        Over the whole slide at the model's resolution.
    regions : tuple of tuple of Region
        For each class.
    scene : int or None
        Index of the scene; None for the largest.
    """

    path: Path
    group: str
    source: str
    split: str
    given_mpp: Mpp | None
    grid: TileGrid
    regions: tuple[tuple[Region, ...], ...]
    scene: int | None = None

    def open(self, cache_bytes: int) -> Slide:
        """Open the slide with so much memory for decoded tiles."""
        return open_slide(
            self.path, mpp=self.given_mpp, scene=self.scene, cache=TileCache(cache_bytes)
        )

    def label_of(self, rect: Rect, rule: TileRule) -> int | None:
        """Return the class of a tile over ``rect`` (level-0 pixels); None if it is of none."""
        shares = np.array([covered(regions, rect) for regions in self.regions])
        best = int(shares.argmax())
        others = np.delete(shares, best)
        if shares[best] < rule.min_share or others.max(initial=0) > rule.max_conflict:
            return None
        return best


def annotated_entries(
    source: Path,
    columns: Mapping[str, str] | None = None,
    group_pattern: str | None = None,
    source_pattern: str | None = None,
) -> list[SlideEntry]:
    """Return the slides of a folder or table with their annotations; open none of them.

    Beside ``NAME.svs`` stand its annotations, as `annotations_beside` says. A table is as
    `read_slide_table` says; what it does not state of group, source and annotation is taken from
    the file's name and from beside it.

    Raises
    ------
    DataError
        If nothing is found, a file is missing, or it is not clear what belongs together.
    """
    if source.is_dir() and not is_file(source / _LIST):
        table = source / _LIST
        entries: Sequence[SlideEntry] = [
            SlideEntry(source / name) for name in _slides_beside_annotations(source)
        ]
    else:
        table = source / _LIST if source.is_dir() else source
        entries = read_slide_table(table, names=column_names(columns, _COLUMNS))
    listed = []
    for entry in entries:
        if not _exists(entry.path):
            raise DataError(f"{table}, line {entry.line}: there is no slide {entry.path}")
        group = matched(entry.path.name, group_pattern, "group_pattern", entry.path)
        lab = matched(entry.path.name, source_pattern, "source_pattern", entry.path)
        listed.append(
            replace(
                entry,
                group=entry.group or "-".join(group) or entry.path.name,
                split=split_name(entry.split, f"{table}, line {entry.line}"),
                source=entry.source or "-".join(lab) or table.parent.name,
                annotations=entry.annotations or _annotations_of(entry.path),
            )
        )
    return listed


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _annotations_of(slide: Path) -> tuple[Path, ...]:
    found = annotations_beside(slide, sorted(slide.parent.iterdir()))
    if not found:
        raise DataError(
            f"{slide}: no annotation beside it; export it from QuPath as {slide.stem}.geojson, or "
            f"save napari's Shapes layers as {slide.stem}.CLASS.csv (read are {ANNOTATION_TITLES})"
        )
    return found


def _slides_beside_annotations(folder: Path) -> list[str]:
    files = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    marks = [p for p in files if may_annotate(p)]
    parts = side_files(files)
    slides: list[str] = []
    for path in files:
        if path in marks or path in parts or path.is_dir() or not is_slide_name(path):
            continue
        if annotations_beside(path, marks):
            slides.append(path.name)
    names = [slide_stem(Path(s)) for s in slides]
    twice = [n for n in names if names.count(n) > 1]
    if twice:
        raise DataError(
            f"{folder}: several files are called {twice[0]!r}; keep the slide alone, or list the "
            f"slides in {_LIST}"
        )
    if not slides:
        raise DataError(
            f"{folder}: no slide with an annotation beside it ({ANNOTATION_TITLES}), called "
            "NAME.geojson, NAME.xml or NAME.CLASS.csv as the slide NAME"
        )
    return slides


def open_annotated(
    listed: Sequence[SlideEntry],
    source: Path,
    classes: Sequence[str],
    labels: Mapping[str, str] | None,
    slide_mpp: float | None,
    units: Units,
    mpp: float,
    tile_size: int,
) -> tuple[tuple[str, ...], list[AnnotatedSlide], list[str]]:
    """Look into every slide and annotation, one at a time.

    Returns
    -------
    classes : tuple of str
    slides : list of AnnotatedSlide
    notes : list of str
        What was left out.

    Raises
    ------
    DataError
        If an annotation is broken, a class unknown or a resolution missing.
    """
    opened: list[tuple[SlideEntry, Mpp | None, TileGrid, list[Region]]] = []
    notes: list[str] = []
    for item in listed:
        given = None if item.mpp is None else _mpp(item.mpp, "slide table", item.path)
        with open_slide(item.path, mpp=given, scene=item.scene) as slide:
            if slide.mpp is None:
                if slide_mpp is None:
                    raise DataError(
                        f"{item.path}: the slide states no resolution; give slide_mpp in the "
                        "recipe's [data] or a column mpp in the list of slides"
                    )
                given = _mpp(slide_mpp, "recipe", item.path)
            resolution = slide.mpp or given
            if resolution is None:
                raise DataError(f"{item.path}: the slide states no resolution")
            grid = plan_grid(slide.levels, resolution, model_mpp=mpp, tile_size=tile_size)
            regions: list[Region] = []
            for path in item.annotations:
                found = read_annotations(path, units=units, mpp=resolution, slide=slide).classified
                regions += found.regions
                if found.note:
                    notes.append(f"{path.name}: {found.note}")
        opened.append((item, given, grid, regions))
    names = dict.fromkeys(r.name for *_, regions in opened for r in regions)
    if not names:
        raise DataError(f"{source}: no annotation holds an area with a class")
    order, numbers = class_order(names, classes, labels, source)
    slides = [
        AnnotatedSlide(
            item.path,
            item.group,
            item.source,
            item.split,
            given,
            grid,
            tuple(tuple(r for r in regions if numbers[r.name] == c) for c in range(len(order))),
            item.scene,
        )
        for item, given, grid, regions in opened
    ]
    return order, slides, notes


def _mpp(value: float, source: str, path: Path) -> Mpp:
    try:
        return Mpp.square(value, source)
    except MppError as error:
        raise DataError(f"{path}: {error}") from error


def tiles_in_regions(slide: AnnotatedSlide, rule: TileRule) -> list[tuple[TileIndex, int]]:
    """Return the tiles of a slide that are of a class, row by row, each with its class."""
    grid = slide.grid
    candidates: set[TileIndex] = set()
    for region in (r for regions in slide.regions for r in regions):
        bounds = region.bounds.scaled(1 / grid.scale_x, 1 / grid.scale_y)
        first_row = max(0, int((bounds.y - grid.tile_height) // grid.stride_y))
        first_col = max(0, int((bounds.x - grid.tile_width) // grid.stride_x))
        last_row = min(grid.n_rows - 1, int(bounds.bottom // grid.stride_y))
        last_col = min(grid.n_cols - 1, int(bounds.right // grid.stride_x))
        candidates |= {
            TileIndex(row, col)
            for row in range(first_row, last_row + 1)
            for col in range(first_col, last_col + 1)
        }
    labeled = ((tile, slide.label_of(grid.rect(tile), rule)) for tile in sorted(candidates))
    return [(tile, label) for tile, label in labeled if label is not None]
