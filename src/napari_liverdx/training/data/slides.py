"""Tiles drawn from regions that people annotated on slides."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from napari_liverdx.core.errors import DataError
from napari_liverdx.slides.annotations.base import Units
from napari_liverdx.slides.annotations.beside import annotations_beside, may_annotate
from napari_liverdx.slides.csv_table import is_file
from napari_liverdx.slides.formats import is_slide_name
from napari_liverdx.slides.slide import Slide
from napari_liverdx.training.data.annotated import (
    TileRule,
    annotated_entries,
    open_annotated,
)
from napari_liverdx.training.data.config import DataConfig, DataLayout, DataRequest
from napari_liverdx.training.data.regions import RegionDataset, RegionTile, region_tiles

__all__ = ["LAYOUT", "SlideDataset"]

_OPEN_SLIDES = 4
_CACHE_BYTES = 64 * 2**20


class SlideDataset(RegionDataset):
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
        A folder of slides with their annotations beside them (see `annotated_entries`), or a CSV
        file that lists them, or a folder that holds it as ``slides.csv``.
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
        self._open: OrderedDict[int, Slide] = OrderedDict()
        self._lock = threading.Lock()
        rule = rule or TileRule()
        listed = annotated_entries(source, columns, group_pattern, source_pattern)
        order, slides, notes = open_annotated(
            listed, source, classes, labels, slide_mpp, units, mpp, tile_size
        )
        tiles: list[RegionTile] = []
        for number, slide in enumerate(slides):
            found = list(region_tiles(number, slide, rule))
            if not found:
                notes.append(f"{slide.path.name}: no tile lies well enough in a region")
            tiles += found
        super().__init__(slides, tiles, order, mpp=mpp, tile_size=tile_size, rule=rule, notes=notes)
        empty = [c for i, c in enumerate(self.classes) if not (self.labels == i).any()]
        if empty:
            side = mpp * tile_size
            raise DataError(
                f"{source}: no tile of class {', '.join(empty)}; its regions are missing, smaller "
                f"than a tile ({side:.0f} µm) or overlap with others; annotate more or lower "
                "min_share"
            )

    def slide(self, number: int) -> Slide:
        """Return slide ``number``, opened if it is not open."""
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


def _open(config: DataConfig, request: DataRequest) -> SlideDataset:
    if request.mpp is None or request.tile_size is None:
        raise DataError("tiles of slides need a resolution (mpp) and a tile size")
    return SlideDataset(
        request.source,
        request.class_names,
        mpp=request.mpp,
        tile_size=request.tile_size,
        group_pattern=config.group_pattern,
        source_pattern=config.source_pattern,
        labels=config.labels,
        columns=config.columns,
        slide_mpp=config.slide_mpp,
        rule=config.tiles,
        units=config.units,
    )


def _fits(source: Path) -> float:
    if is_file(source):
        return 0.9 if source.name == "slides.csv" else 0
    if not source.is_dir():
        return 0
    files = list(source.iterdir())
    slides = [p for p in files if is_slide_name(p)]
    marks = [p for p in files if may_annotate(p)]
    # Drawn regions whose slides are not here yet are told by name; XML and JSON may be anything.
    marked = any(p.suffix.lower() in (".geojson", ".csv") for p in marks)
    return 0.7 if marked or any(annotations_beside(s, marks) for s in slides) else 0


LAYOUT = DataLayout("slides", _open, _fits)
