"""What is annotated for fine-tuning: kept, gathered from all slides, and counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

from napari_liverdx.core.errors import LiverDxError
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.models.card import ModelCard
from napari_liverdx.models.versions import trial_folder
from napari_liverdx.results.store import ResultStore
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.slide import Slide
from napari_liverdx.training.interactive.annotation_store import (
    AnnotationFolder,
    SlideAnnotations,
    short_fingerprint,
)
from napari_liverdx.training.interactive.corrections import AnnotationDataset
from napari_liverdx.training.interactive.split import blocking_reason

__all__ = [
    "AnnotationSummary",
    "CollectedAnnotations",
    "annotation_folder",
    "collect",
    "keep_review",
    "open_annotated_slides",
    "summarize",
]


@dataclass(frozen=True, slots=True, eq=False)
class CollectedAnnotations:
    """What a model may learn from.

    Attributes
    ----------
    slides : tuple of SlideAnnotations
        Each slide once.
    opened : mapping of str to Slide
        Those of them that are open, by fingerprint; the others are opened for the while.
    notes : tuple of str
        What was left out, and why.
    """

    slides: tuple[SlideAnnotations, ...]
    opened: Mapping[str, Slide] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AnnotationSummary:
    """How much is annotated.

    Attributes
    ----------
    regions, corrected, slides : int
    areas_mm2 : dict of str to float
        Drawn area by class; overlaps count twice.
    tiles : dict of str to int
        Tiles by class.
    blocking_reason : str
        What must still be annotated; empty if enough is.
    left_out : tuple of str
        Slides that were annotated before and are not found any more.
    """

    regions: int
    corrected: int
    slides: int
    areas_mm2: dict[str, float]
    tiles: dict[str, int]
    blocking_reason: str
    left_out: tuple[str, ...] = ()


def annotation_folder() -> AnnotationFolder:
    """Return where annotations are kept."""
    return AnnotationFolder(trial_folder())


def keep_review(folder: AnnotationFolder, slide: Slide, store: ResultStore) -> None:
    """Remember a result in which tiles of a slide are corrected; its review holds them.

    Raises
    ------
    LiverDxError
        If it cannot be written, or the slide is gone.
    """
    corrected = any(decision.correct for decision in store.decisions.values())
    if corrected or folder.find(slide) is not None:
        folder.link(slide, store.path, corrected=corrected)


def collect(
    folder: AnnotationFolder, card: ModelCard, slides: Iterable[Slide], *, others: bool = True
) -> CollectedAnnotations:
    """Gather what is annotated, as far as it is of the model's classes.

    Parameters
    ----------
    folder : AnnotationFolder
        Where annotations are kept.
    card : ModelCard
        Of the model to tune.
    slides : iterable of Slide
        Slides that are open; one that is open twice counts once.
    others : bool
        Whether slides that are not open count too.

    Raises
    ------
    LiverDxError
        If an open slide is gone.
    """
    problems: list[str] = []
    fitting = [_fitting(found, card) for found in folder.all(problems)]
    known = {found.fingerprint: found for found, _ in fitting if not found.is_empty}
    opened: dict[str, Slide] = {}
    for slide in slides:
        if slide.mpp is not None and folder.find(slide) is not None:
            opened.setdefault(short_fingerprint(slide), slide)
    opened = {name: slide for name, slide in opened.items() if name in known}
    rest = [found for name, found in known.items() if name not in opened] if others else []
    notes = tuple(problems)
    if foreign := sum(count for _, count in fitting):
        word = "region or tile is" if foreign == 1 else "regions and tiles are"
        notes += (f"{foreign} {word} of no class of this model and left out",)
    return CollectedAnnotations((*(known[name] for name in opened), *rest), opened, notes)


def _fitting(found: SlideAnnotations, card: ModelCard) -> tuple[SlideAnnotations, int]:
    """Keep what is of the model's classes, and count what is not."""
    shapes, tiles = (
        tuple(r for r in part if r.name in card.scheme.names)
        for part in (found.shapes, found.tiles)
    )
    count = len(found.shapes) + len(found.tiles) - len(shapes) - len(tiles)
    return replace(found, shapes=shapes, tiles=tiles), count


@contextmanager
def open_annotated_slides(
    collected: CollectedAnnotations,
) -> Iterator[tuple[Sequence[tuple[SlideAnnotations, Slide]], tuple[str, ...]]]:
    """Open the slides that are not open, and close those again.

    Yields
    ------
    annotated : sequence of (SlideAnnotations, Slide)
    left_out : tuple of str
        Names of slides that are gone, or where another slide is now.
    """
    annotated: list[tuple[SlideAnnotations, Slide]] = []
    lost: list[str] = []
    with ExitStack() as stack:
        for found in collected.slides:
            slide = collected.opened.get(found.fingerprint)
            try:
                slide = slide or stack.enter_context(_open(found))
            except LiverDxError:
                lost.append(found.path.name)
                continue
            annotated.append((found, slide))
        yield annotated, tuple(lost)


def _open(found: SlideAnnotations) -> Slide:
    mpp = None if found.mpp is None else Mpp(*found.mpp, "kept with the annotations")
    # Of a file that holds several scenes any one may have been annotated.
    scenes: list[int | None] = [None]
    while scenes:
        slide = open_slide(found.path, mpp=mpp, scene=(asked := scenes.pop()))
        if short_fingerprint(slide) == found.fingerprint:
            return slide
        slide.close()
        if asked is None and len(slide.info.scenes) > 1:
            scenes = [i for i in range(len(slide.info.scenes)) if i != slide.info.scene]
    raise LiverDxError(f"{found.path}: another slide than the one that was annotated")


def summarize(collected: CollectedAnnotations, card: ModelCard) -> AnnotationSummary:
    """Count what is annotated and say what is missing; reads no pixels.

    Raises
    ------
    DataError
        If a region is of no class of the model, or a slide has no resolution.
    """
    with open_annotated_slides(collected) as (annotated, lost):
        samples = AnnotationDataset(annotated, card)
    scheme = card.scheme
    areas = dict.fromkeys(scheme.names, 0.0)
    for found, slide in annotated:
        mpp = slide.mpp
        for region in found.shapes:
            if mpp is not None:
                areas[region.name] += region.area * mpp.x * mpp.y / 1e6
    return AnnotationSummary(
        sum(len(found.shapes) for found, _ in annotated),
        sum(len(found.tiles) for found, _ in annotated),
        sum(not found.is_empty for found, _ in annotated),
        areas,
        {name: int((samples.labels == c).sum()) for c, name in enumerate(scheme.names)},
        blocking_reason(samples),
        lost,
    )
