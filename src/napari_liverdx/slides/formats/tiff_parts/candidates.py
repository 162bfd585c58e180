"""The pictures of a file, before it is known which of them is the slide."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from napari_liverdx.core.errors import LiverDxError, NotASlideError
from napari_liverdx.slides.color import color_order
from napari_liverdx.slides.formats.tiff_parts.colors import (
    color_rule,
    not_brightfield,
    unread_compression,
)
from napari_liverdx.slides.formats.tiff_parts.directory import Directory
from napari_liverdx.slides.formats.tiff_parts.layout import Layout, read_layout
from napari_liverdx.slides.formats.tiff_parts.likeness import looks_dark
from napari_liverdx.slides.formats.tiff_parts.ome import OmeImage, looks_like_ome, read_ome
from napari_liverdx.slides.formats.tiff_parts.picture import Picture
from napari_liverdx.slides.formats.tiff_parts.roles import MASK, stated_role

__all__ = ["Candidate", "Contents", "read_contents"]

_PRIMARIES = ({"red", "green", "blue"}, {"r", "g", "b"})
_PALETTE = 3
_SHAPE = re.compile(r'\{"shape": \[((?:\d{1,9}(?:, )?){1,8})\]')


@dataclass(slots=True, eq=False)
class Candidate:
    """A picture that may be the slide, a level, or stand beside it.

    Attributes
    ----------
    picture : Picture
        Its pixels.
    order : int
        Where it stands in the file.
    name : str
        What OME-XML calls it.
    ome : OmeImage or None
        What else OME-XML says of it.
    nested : bool
        Whether it stands in the SubIFDs of another.
    children : list of Candidate
        Those of its own SubIFDs.
    problem : str
        Why it is no brightfield color image, as half a sentence.
    role : str or None
        label, macro or thumbnail, where it says so.
    taken : bool
        Whether a slide already has it.
    """

    picture: Picture
    order: int
    name: str = ""
    ome: OmeImage | None = None
    nested: bool = False
    children: list[Candidate] = field(default_factory=list)
    problem: str = ""
    role: str | None = None
    taken: bool = False

    @property
    def layout(self) -> Layout:
        """How it is stored, or the first of its planes."""
        return self.picture.layouts[0]

    @property
    def is_gray(self) -> bool:
        """Whether it has no colors."""
        return len(self.picture.layouts) == 1 and self.layout.photometric in (0, 1)

    @property
    def is_mask(self) -> bool:
        """Whether it says which pixels of another are transparent."""
        return bool(self.layout.subfile_type & MASK) or self.layout.photometric == 4


@dataclass(slots=True, eq=False)
class Contents:
    """All pictures of a file.

    Attributes
    ----------
    candidates : list of Candidate
        In the order of the file.
    is_ome : bool
        Whether OME-XML describes them.
    broken : str
        Why OME-XML that is there is not used.
    """

    candidates: list[Candidate] = field(default_factory=list)
    is_ome: bool = False
    broken: str = ""
    _damaged: list[tuple[int, LiverDxError]] = field(default_factory=list)

    def check_damage(self, area: int) -> None:
        """Raise what is wrong with a stored image that claims to be larger than ``area``.

        Raises
        ------
        LiverDxError
            Damage to smaller ones costs only them.
        """
        for claimed, error in self._damaged:
            if claimed >= area:
                raise error

    def layout(self, directory: Directory) -> Layout | None:
        """Return how a directory stores its image; None if it is damaged or holds none."""
        try:
            return read_layout(directory)
        except LiverDxError as error:
            self._damaged.append((directory.number(256, 0) * directory.number(257, 0), error))
            return None


def read_contents(directories: Sequence[Directory], path: Path) -> Contents:
    """Return the pictures of a file.

    Raises
    ------
    NotASlideError
        If the pixels lie in other files.
    """
    contents = Contents()
    text = directories[0].text(270)
    images: list[OmeImage] = []
    if looks_like_ome(text):
        try:
            images = read_ome(text, path)
        except NotASlideError as error:
            if "another file" in str(error):
                raise
            contents.broken = "its OME-XML cannot be read"
    contents.is_ome = bool(images)
    used: set[int] = set()
    for image in images:
        _add_ome(contents, image, directories, used)
    rest = [d for d in directories if d.index not in used]
    _add_plain(contents, rest)
    contents.candidates.sort(key=lambda c: c.order)
    return contents


def _candidate(
    contents: Contents,
    directories: Sequence[Directory],
    ome: OmeImage | None,
    *,
    nested: bool = False,
) -> Candidate | None:
    """Return the picture that one directory holds, or one for each of red, green and blue."""
    layouts = [contents.layout(d) for d in directories]
    if any(layout is None for layout in layouts):
        return None
    stored = [layout for layout in layouts if layout is not None]
    first = stored[0]
    picture = Picture(stored)
    found = Candidate(picture, directories[0].index, nested=nested, ome=ome)
    found.name = ome.name if ome else ""
    found.role = stated_role(first, found.name)
    found.problem = _problem(stored, ome)
    if not found.problem:
        picture.rule = color_rule(stored, ome.significant_bits if ome else None)
    return found


def _problem(layouts: Sequence[Layout], ome: OmeImage | None) -> str:
    first = layouts[0]
    problem = not_brightfield(layouts) or ""
    if ome is not None:
        is_color = len(layouts) == 1 and first.samples >= 3 and first.photometric in (2, 6)
        problem = problem or ome.stack or ("" if is_color else ome.channels)
    if not problem and any(not _alike(first, other) for other in layouts[1:]):
        problem = "its color planes are stored differently"
    number = unread_compression(first)
    if not problem and number is not None:
        problem = f"its compression (TIFF's number {number}) is none that is read"
    return problem


def _alike(a: Layout, b: Layout) -> bool:
    keys = ("width", "height", "samples", "bits", "tiled", "segment_width", "segment_height")
    return all(getattr(a, key) == getattr(b, key) for key in keys)


def _with_children(
    contents: Contents, found: Candidate | None, directories: Sequence[Directory]
) -> None:
    if found is None:
        return
    # Of a picture in planes, the levels are in planes too: one child of each plane.
    for group in zip(*(d.children for d in directories), strict=False):
        child = _candidate(contents, group, found.ome, nested=True)
        if child is not None:
            child.role, child.order = stated_role(child.layout), found.order
            found.children.append(child)
    contents.candidates.append(found)
    contents.candidates += found.children


def _add_ome(
    contents: Contents, image: OmeImage, directories: Sequence[Directory], used: set[int]
) -> None:
    planes = [p for p in image.planes if p is not None and p < len(directories)]
    if not planes:
        return
    own = [directories[p] for p in dict.fromkeys(planes)]
    first = contents.layout(own[0])
    if first is None:
        return
    in_pages = first.samples == 1 and len(own) == 3 and not image.stack
    group = [own[k] for k in image.color_order] if in_pages else own[:1]
    used |= {d.index for d in (own if first.samples == 1 else group)}
    found = _candidate(contents, group, image)
    _with_children(contents, found, group)
    if found is not None and in_pages and not image.declared_color:
        _check_dark(found)


def _check_dark(found: Candidate) -> None:
    if not found.problem and looks_dark(found.picture):
        found.problem = "it has three channels on a dark ground, as fluorescence has"


def _add_plain(contents: Contents, directories: Sequence[Directory]) -> None:
    """Add pictures that nothing describes: one a directory, or gray pages as color planes."""
    layouts = [(d, contents.layout(d)) for d in directories]
    known = [(d, layout) for d, layout in layouts if layout is not None]
    for _, run in groupby(known, key=lambda pair: _page_kind(pair[1])):
        pages = list(run)
        group = [d for d, _ in pages]
        gray = pages[0][1].samples == 1 and pages[0][1].photometric != _PALETTE
        stacked = gray and len(pages) > 1 and not pages[0][1].subfile_type & MASK
        if not stacked:
            for directory in group:
                found = _candidate(contents, [directory], None)
                _with_children(contents, found, [directory])
                if found is not None:
                    found.problem = found.problem or _described_stack(directory, found)
                    if found.is_gray and found.layout.samples == 3:
                        _check_dark(found)
            continue
        if len(pages) == 3:
            group = [group[k] for k in color_order([d.text(285) for d in group])]
            found = _candidate(contents, group, None)
            _with_children(contents, found, group)
            if found is not None:
                found.problem = found.problem or _described_stack(group[0], found)
                if not _named_as_colors(group):
                    _check_dark(found)
            continue
        found = _candidate(contents, group[:1], None)
        _with_children(contents, found, group[:1])
        if found is not None:
            found.problem = found.problem or (
                f"it is a stack of {len(pages)} gray images, as channels, focal planes or times are"
            )


def _page_kind(layout: Layout) -> tuple[object, ...]:
    return layout.width, layout.height, layout.samples, layout.bits, layout.photometric == _PALETTE


def _named_as_colors(group: Sequence[Directory]) -> bool:
    names = {d.text(285).strip().lower() for d in group}
    return names in _PRIMARIES


def _described_stack(directory: Directory, found: Candidate) -> str:
    """Return what ImageJ or tifffile says of an image that is a stack."""
    text = directory.text(270)
    shape = _SHAPE.match(text)
    if shape:
        sizes = [int(n) for n in shape[1].replace(",", " ").split()]
        claimed = math.prod(sizes) // max(1, found.picture.area)
        if claimed > max(4, found.layout.samples):
            return f"it is a stack of images, of shape {' × '.join(map(str, sizes))}"
    if not text.startswith("ImageJ="):
        return ""
    pairs = dict(line.partition("=")[::2] for line in text.splitlines())
    for key, words in (("slices", "focal planes"), ("frames", "times")):
        count = pairs.get(key, "1").strip()
        if count.isdecimal() and int(count) > 1:
            return f"it is a stack of {int(count):,} {words}"
    images = pairs.get("images", "1").strip()
    planes = len(found.picture.layouts)
    if images.isdecimal() and int(images) > planes:
        return f"it is a stack of {int(images):,} images"
    return ""
