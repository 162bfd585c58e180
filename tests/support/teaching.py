"""Annotated slides for fine-tuning."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st

from napari_liverdx.core.resolution import Level, Mpp
from napari_liverdx.session.annotations import CollectedAnnotations
from napari_liverdx.slides.slide import Slide
from napari_liverdx.training.interactive.annotation_record import rectangle
from napari_liverdx.training.interactive.annotation_store import SlideAnnotations

TILE = 224


REGIONS = (
    ("liver", 0, 0, 3, 2),
    ("liver", 4, 0, 3, 2),
    ("fat", 0, 4, 3, 3),
    ("fat", 4, 4, 3, 3),
)
"""Class, left, top, width and height in tiles; a tile lies between them."""


def drawn(
    regions: tuple = REGIONS,
    tiles: tuple = (),
    *,
    fingerprint: str = "1234abcd",
    path: Path = Path("x"),
    side: float = TILE,
) -> SlideAnnotations:
    """Annotations of boxes in tiles, each ``side`` pixels."""
    shapes, called = (
        tuple(rectangle(name, *(side * v for v in box)) for name, *box in part)
        for part in (regions, tiles)
    )
    return SlideAnnotations(fingerprint, path, None, shapes, called)


def taught(
    slide: Slide, regions: tuple = REGIONS, tiles: tuple = ()
) -> tuple[SlideAnnotations, Slide]:
    """Annotations with their open slide."""
    return drawn(regions, tiles, path=slide.path), slide


def collected(slide: Slide, regions: tuple = REGIONS, tiles: tuple = ()) -> CollectedAnnotations:
    """Annotations of one open slide."""
    found, _ = taught(slide, regions, tiles)
    return CollectedAnnotations((found,), {found.fingerprint: slide})


class Blank:
    """A slide with a size and a resolution, and no pixels."""

    def __init__(self, width: int, height: int, mpp: float) -> None:
        self.levels = (Level(width, height, 1.0, 1.0, 256, 256),)
        self.mpp = Mpp.square(mpp)
        self.path = Path("blank.tif")
        self.name = "blank.tif"


@st.composite
def drawings(draw: st.DrawFn) -> tuple:
    """Two regions of each class, near or far, more of them anywhere, and tiles a person called."""
    offset, size = st.floats(0, 1), st.floats(2.2, 4.0)
    shapes = [
        (name, draw(offset) + left, draw(offset) + top, draw(size), draw(size))
        for name, top in (("liver", 0.0), ("fat", 8.0))
        for left in (0.0, 3.0 + draw(st.floats(0, 3)))
    ]
    place, name = st.floats(0, 12), st.sampled_from(["liver", "fat"])
    shapes += draw(st.lists(st.tuples(name, place, place, size, size), max_size=2))
    called = st.tuples(name, place, place, st.just(1.0), st.just(1.0))
    return (
        tuple(shapes),
        tuple(draw(st.lists(called, max_size=6))),
        draw(st.sampled_from([0.25, 0.5])),
    )


PLACE = st.tuples(
    st.sampled_from(["liver", "fat"]),
    st.floats(0, 12),
    st.floats(0, 40),
    st.floats(2.2, 4),
    st.floats(2.2, 4),
)


@st.composite
def further_lessons(draw: st.DrawFn) -> list[tuple[tuple, int]]:
    """What is drawn for each lesson after the first, and how much of the first is deleted."""
    lessons = []
    for _ in range(draw(st.integers(1, 3))):
        top = draw(st.floats(11, 36))
        fresh = [("liver", 0.0, top, 3.0, 3.0), ("fat", 6.0, top, 3.0, 3.0)]
        more = draw(st.lists(PLACE, max_size=3)) + fresh * draw(st.booleans())
        lessons.append((tuple(more), draw(st.integers(0, 2))))
    return lessons
