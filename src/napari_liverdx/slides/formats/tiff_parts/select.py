"""Which pictures of a file are the slide, which its levels, and which stand beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from napari_liverdx.core.errors import NotASlideError
from napari_liverdx.slides.formats.tiff_parts.candidates import Candidate
from napari_liverdx.slides.formats.tiff_parts.likeness import same_content
from napari_liverdx.slides.formats.tiff_parts.picture import Picture
from napari_liverdx.slides.formats.tiff_parts.roles import REDUCED, guess_role

__all__ = ["Found", "StoredSlide", "find_slides_in"]

_ASPECT = 0.05
_LONG_STEP = 6.0
"""A thumbnail is that much smaller than the next picture; levels of a pyramid rarely are."""
_SCENE_SHARE = 0.3
_SCENE_SIDE, _SCENE_LEAST_SHARE = 2048, 0.02
_MOST_COMPARED = 96
_MOST_SLIDES = 512


@dataclass(slots=True, eq=False)
class StoredSlide:
    """One slide of a file: its pictures, finest first, and what is said of it."""

    main: Candidate
    levels: list[Picture]

    @property
    def area(self) -> int:
        """Number of pixels of the finest."""
        return self.levels[0].area


@dataclass(slots=True, eq=False)
class Found:
    """What a file holds.

    Attributes
    ----------
    slides : list of StoredSlide
        The largest first.
    associated : dict of str to Picture
        Pictures beside it, by name.
    """

    slides: list[StoredSlide]
    associated: dict[str, Picture] = field(default_factory=dict)

    def add(self, role: str, other: Candidate) -> None:
        """Keep a picture beside the slide; a second of a kind gets a number."""
        for candidate in (other, *other.children):
            candidate.taken = True
        name, number = role, 2
        while name in self.associated:
            name, number = f"{role} {number}", number + 1
        self.associated[name] = other.picture


class _Comparisons:
    """Compares pictures, as often as opening a file may take."""

    def __init__(self) -> None:
        self._left = _MOST_COMPARED

    def same(self, large: Picture, small: Picture, *, otherwise: bool = False) -> bool:
        """Return whether they show the same; ``otherwise`` once too many were compared."""
        self._left -= 1
        return same_content(large, small) if self._left >= 0 else otherwise


def find_slides_in(candidates: Sequence[Candidate], path: Path, *, aperio: bool) -> Found:
    """Return what is the slide, or the several, and what stands beside.

    The slide is the largest picture that does not say to be something else. What is smaller, of
    the same shape and shows the same is one of its levels, or a thumbnail if it is stored as such;
    what shows something else is another slide if it is large, else label or macro.

    Raises
    ------
    NotASlideError
        If the largest picture is none in brightfield colors.
    """
    main = _largest(candidates)
    if main is None:
        raise NotASlideError(f"{path}: no image inside")
    if main.problem:
        raise NotASlideError(
            f"{path}: not a slide in brightfield colors: {main.problem}; export it as an RGB image"
        )
    others = [c for c in candidates if c is not main and not c.is_mask]
    compare = _Comparisons()
    _refuse_stack(main, others, compare, path)
    found = Found([_slide(main, others, compare, aperio=aperio)])
    rest: list[Candidate] = []
    for other in others:
        if other.taken or other.problem:
            continue
        if other.role:
            found.add(other.role, other)
        elif _shows_the_same(found.slides[0].levels, other, compare):
            found.add("thumbnail", other)
        else:
            rest.append(other)
    rest.sort(key=lambda c: -c.picture.area)
    for other in rest[:_MOST_SLIDES]:
        if other.taken:
            continue
        if not aperio and _is_scene(other, main):
            found.slides.append(_slide(other, rest[:_MOST_SLIDES], compare, aperio=False))
        else:
            found.add(guess_role(other.layout, other.name), other)
    return found


def _largest(candidates: Sequence[Candidate]) -> Candidate | None:
    pictures = [c for c in candidates if not c.is_mask]
    own = [c for c in pictures if not c.role] or pictures
    # What claims to be reduced yet is the largest is reduced from nothing.
    full = {id(c): not c.layout.subfile_type & REDUCED for c in own}
    return max(own, key=lambda c: (c.picture.area, full[id(c)]), default=None)


def _refuse_stack(
    main: Candidate, others: Sequence[Candidate], compare: _Comparisons, path: Path
) -> None:
    """Refuse several images of one place: focal planes, times, channels."""
    alike = [
        c
        for c in others
        if not c.role and not c.problem and _size(c.picture) == _size(main.picture)
    ]
    if len(alike) >= 2 and all(compare.same(main.picture, c.picture) for c in alike[:3]):
        raise NotASlideError(
            f"{path}: not a slide in brightfield colors: it is a stack of {len(alike) + 1} images "
            "of one place, as focal planes or times are; export one of them as an RGB image"
        )


def _size(picture: Picture) -> tuple[int, int]:
    return picture.width, picture.height


def _slide(
    main: Candidate, others: Sequence[Candidate], compare: _Comparisons, *, aperio: bool
) -> StoredSlide:
    """Gather the levels of a picture from its SubIFDs, or else from the other pictures."""
    main.taken = True
    slide = StoredSlide(main, [main.picture])
    for sub in sorted(main.children, key=lambda c: -c.picture.area):
        if _fits(slide, sub) and compare.same(slide.levels[-1], sub.picture, otherwise=True):
            _join(slide, sub)
    if len(slide.levels) > 1:
        return slide
    by_size = sorted(others, key=lambda c: (-c.picture.area, c.layout.subfile_type & REDUCED == 0))
    for other in by_size:
        if other.taken or not _fits(slide, other):
            continue
        if aperio or compare.same(slide.levels[-1], other.picture):
            _join(slide, other)
    return slide


def _fits(slide: StoredSlide, other: Candidate) -> bool:
    """Return whether a picture has the shape and storage of the next level."""
    main, last, picture = slide.main.picture, slide.levels[-1], other.picture
    if other.problem or other.role or other.is_mask or other.is_gray != slide.main.is_gray:
        return False
    if picture.width >= last.width or picture.height >= last.height:
        return False
    ratio = (main.width / picture.width) / (main.height / picture.height)
    if abs(math.log(ratio)) > _ASPECT or other.layout.dtype != slide.main.layout.dtype:
        return False
    if main.tiled and not picture.tiled:
        return False
    stated = other.nested or bool(other.layout.subfile_type & REDUCED)
    before = other.order < slide.main.order
    long_step = last.width / picture.width > _LONG_STEP
    return stated or not (long_step and (before or not picture.tiled))


def _join(slide: StoredSlide, other: Candidate) -> None:
    other.taken = True
    slide.levels.append(other.picture)


def _shows_the_same(levels: Sequence[Picture], other: Candidate, compare: _Comparisons) -> bool:
    """Return whether a picture is the slide made smaller, though none of its levels."""
    larger = [p for p in levels if p.width >= other.picture.width]
    if not larger:
        return False
    ratio = (larger[0].width / other.picture.width) / (larger[0].height / other.picture.height)
    return abs(math.log(ratio)) <= _ASPECT and compare.same(larger[-1], other.picture)


def _is_scene(other: Candidate, main: Candidate) -> bool:
    if other.layout.subfile_type & REDUCED:
        return False
    picture, share = other.picture, other.picture.area / main.picture.area
    large = min(picture.width, picture.height) >= _SCENE_SIDE and share >= _SCENE_LEAST_SHARE
    return share >= _SCENE_SHARE or large
