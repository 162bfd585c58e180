"""Making bags of slides: a tile model run over each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_liverdx._files import without_ending
from napari_liverdx.core.classes import ClassScheme
from napari_liverdx.core.errors import DataError, LiverDxError
from napari_liverdx.core.geometry import Region, covered
from napari_liverdx.core.grid import TileGrid, TileIndex
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.inference.device import DeviceChoice
from napari_liverdx.inference.plan import plan_run
from napari_liverdx.inference.predict import predict
from napari_liverdx.mil.bags import SUFFIX, UNKNOWN, Bag, load_bag, save_bag, tile_logits
from napari_liverdx.mil.network import slide_classes
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.slides.annotations.read import read_annotations
from napari_liverdx.slides.listing import SlideEntry, find_slides
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.slide import Slide
from napari_liverdx.slides.tissue import slide_tissue
from napari_liverdx.training.data.annotated import TileRule

__all__ = ["BagExtracted", "extract_bags", "labeled_slides"]

_ANNOTATED = TileRule()


def labeled_slides(source: Path, classes: Sequence[str]) -> list[SlideEntry]:
    """Return the slides of a folder, without labels, or those of a table.

    Parameters
    ----------
    source : Path
        Folder, or table with columns path, label, group and, if wanted, mpp and annotation; see
        `napari_liverdx.slides.listing.read_slide_table`. A slide without a group is its own.
    classes : sequence of str
        Slide classes that a label may name.

    Raises
    ------
    DataError
        If nothing is found, a column is missing or a label is unknown.
    """
    entries = find_slides(source, required=("path", "label", "group"))
    for entry in entries:
        if entry.label and entry.label not in classes:
            raise DataError(
                f"{source}, line {entry.line}: label {entry.label!r} is none of "
                f"{', '.join(classes)}; leave it empty if it is not known"
            )
    names = [without_ending(e.path.name) for e in entries]
    if twice := {n for n in names if names.count(n) > 1}:
        raise DataError(f"{source}: several slides are called {min(twice)!r}; rename all but one")
    return [replace(e, group=e.group or without_ending(e.path.name)) for e in entries]


@dataclass(frozen=True, slots=True)
class BagExtracted:
    """What became of one slide.

    Attributes
    ----------
    row : SlideEntry
    tiles : int
    failed : int
        Tiles that could not be read.
    kept : bool
        Whether the bag was there already.
    error : str
        Why there is no bag; empty if there is one.
    notes : tuple of str
        What was left out of its annotations.
    """

    row: SlideEntry
    tiles: int = 0
    failed: int = 0
    kept: bool = False
    error: str = ""
    notes: tuple[str, ...] = ()


def extract_bags(
    rows: Sequence[SlideEntry],
    model: LoadedModel,
    folder: Path,
    *,
    device: DeviceChoice | None = None,
    mpp: Mpp | None = None,
    overlap: float = 0.0,
) -> Iterator[BagExtracted]:
    """Run the tile model over slides and write their bags; a slide that fails does so alone.

    A bag that is there already, of the same tile model and labels, is kept.

    Yields
    ------
    BagExtracted
        After each slide.
    """
    classes = slide_classes(model.card.scheme)
    for row in rows:
        label = classes.index(row.label) if row.label else UNKNOWN
        path = folder / f"{without_ending(row.path.name)}{SUFFIX}"
        try:
            if path.exists() and not row.annotations:
                old = load_bag(path)
                made = (old.tile_sha256, old.slide_label, old.group, old.overlap)
                if made == (model.sha256, label, row.group, overlap):
                    yield BagExtracted(row, len(old), kept=True)
                    continue
            bag, failed, notes = _make_bag(row, label, model, device, mpp, overlap)
            save_bag(folder, bag)
        except LiverDxError as error:
            yield BagExtracted(row, error=str(error))
            continue
        yield BagExtracted(row, len(bag), failed, notes=notes)


def _make_bag(
    row: SlideEntry,
    label: int,
    model: LoadedModel,
    device: DeviceChoice | None,
    mpp: Mpp | None,
    overlap: float,
) -> tuple[Bag, int, tuple[str, ...]]:
    given = mpp if row.mpp is None else Mpp.square(row.mpp, "slide table")
    with open_slide(row.path, mpp=given, scene=row.scene) as slide:
        regions, notes = _regions(row.annotations, slide, model.card.scheme)
        plan = plan_run(
            slide.levels, slide.mpp, slide_tissue(slide), model.card, overlap=overlap, device=device
        )
        batches = list(predict(plan, slide, model))
    done = [t for b in batches for t in b.tiles]
    if not done:
        raise DataError(f"{row.path}: none of its {len(plan.tiles)} tiles could be read")
    values = np.concatenate([b.embeddings for b in batches if b.tiles])
    probabilities = np.concatenate([b.probabilities for b in batches if b.tiles])
    shape = plan.grid.shape
    embeddings = np.zeros((values.shape[1], *shape), np.float32)
    logits = np.zeros((probabilities.shape[1], *shape), np.float32)
    mask = np.zeros(shape, np.bool_)
    at = (np.array([t.row for t in done]), np.array([t.col for t in done]))
    embeddings[:, *at] = values.T
    logits[:, *at] = tile_logits(probabilities.T)
    mask[at] = True
    labels = _label_tiles(plan.grid, done, regions)
    bag = Bag(
        without_ending(row.path.name),
        row.group,
        embeddings,
        logits,
        mask,
        labels,
        label,
        model.card.name,
        model.sha256,
        overlap,
    )
    return bag, sum(len(b.failed) for b in batches), notes


def _regions(
    paths: Sequence[Path], slide: Slide, scheme: ClassScheme
) -> tuple[list[list[Region]], tuple[str, ...]]:
    """Return the annotated regions of each class, and what was left out."""
    found: list[list[Region]] = [[] for _ in scheme]
    notes: list[str] = []
    for path in paths:
        annotations = read_annotations(path, mpp=slide.mpp, slide=slide).classified
        if annotations.note:
            notes.append(f"{path.name}: {annotations.note}")
        for region in annotations.regions:
            if region.name not in scheme.names:
                raise DataError(
                    f"{path}: class {region.name!r} is none of {', '.join(scheme.names)}; rename "
                    "it in the annotation"
                )
            found[scheme.index(region.name)].append(region)
    return found, tuple(notes)


def _label_tiles(
    grid: TileGrid, tiles: Sequence[TileIndex], regions: Sequence[Sequence[Region]]
) -> NDArray[np.intp]:
    labels = np.full(grid.shape, UNKNOWN, np.intp)
    if not any(regions):
        return labels
    for tile in tiles:
        shares = np.array([covered(r, grid.rect(tile)) for r in regions])
        best = int(shares.argmax())
        rest = float(np.delete(shares, best).max(initial=0))
        if shares[best] >= _ANNOTATED.min_share and rest <= _ANNOTATED.max_conflict:
            labels[tile.row, tile.col] = best
    return labels
