"""What an annotation file holds, and what becomes of objects in it that are no regions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.core.geometry import Region, has_area

__all__ = [
    "BROKEN",
    "NO_AREA",
    "Annotations",
    "Gathering",
    "Units",
    "UnusableObjectError",
    "corner_number",
    "ring_of",
]

Units = Literal["px", "um"]

_NO_CLASS = "without a class"
NO_AREA = "without an area (points, lines, specks)"
BROKEN = "with broken corners"
FARTHEST = 1e9
"""Level-0 pixels; beyond it no slide reaches, and products of coordinates would overflow."""


@dataclass(frozen=True, slots=True, eq=False)
class Annotations:
    """What an annotation file holds.

    Attributes
    ----------
    regions : tuple of Region
        In the order of the file; the name is empty where a region has no class.
    skipped : int
        Objects that are left out.
    reasons : mapping of str to int
        Why, and how many each.
    unit : {"px", "nm"}
        Of the corners: level-0 pixels, or nm from the center of the glass where the slide that
        they belong to was not given.
    """

    regions: tuple[Region, ...]
    skipped: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    unit: Literal["px", "nm"] = "px"

    @property
    def area(self) -> float:
        """Sum of the regions' areas, in ``unit`` squared; overlaps count twice."""
        return math.fsum(region.area for region in self.regions)

    @property
    def classified(self) -> Annotations:
        """The same, regions without a class left out and counted."""
        named = tuple(region for region in self.regions if region.name)
        count = len(self.regions) - len(named)
        reasons = dict(self.reasons) | ({_NO_CLASS: count} if count else {})
        return Annotations(named, self.skipped + count, reasons, self.unit)

    def moved(self, x: float, y: float) -> Annotations:
        """Return the same with ``x`` and ``y`` added to the corners."""
        if not (x or y):
            return self
        by = np.array((x, y), np.float64)
        regions = (Region(r.name, tuple(ring + by for ring in r.rings)) for r in self.regions)
        return replace(self, regions=tuple(regions))

    @property
    def note(self) -> str:
        """What is left out, for people; empty if nothing is."""
        if not self.reasons:
            return ""
        objects = "1 object is" if self.skipped == 1 else f"{self.skipped} objects are"
        reasons = ", ".join(f"{count} {why}" for why, count in self.reasons.items())
        return f"{objects if self.skipped else 'parts are'} left out: {reasons}"


class UnusableObjectError(ValueError):
    """One object of a file is no region; its message is the reason, for counting."""


class Gathering:
    """Regions as they are read, and why others are not."""

    def __init__(self) -> None:
        self.regions: list[Region] = []
        self._reasons: Counter[str] = Counter()
        self._skipped = 0

    @contextmanager
    def one_object(self) -> Iterator[None]:
        """Read one object within; if it is unusable, it is left out and counted."""
        try:
            yield
        except UnusableObjectError as reason:
            self._skipped += 1
            self._reasons[str(reason)] += 1

    def add(self, name: str, outline: NDArray[np.float64], *holes: NDArray[np.float64]) -> None:
        """Take a polygon; holes without an area are none.

        Raises
        ------
        UnusableObjectError
            If it has no area.
        """
        if not has_area(outline):
            raise UnusableObjectError(NO_AREA)
        self.regions.append(Region(name, (outline, *(h for h in holes if has_area(h)))))

    def leave_out_part(self, reason: UnusableObjectError) -> None:
        """Count a part of an object that is used otherwise."""
        self._reasons[f"part of an object {reason}"] += 1

    @property
    def found(self) -> Annotations:
        """All of it."""
        return Annotations(tuple(self.regions), self._skipped, dict(self._reasons))


def corner_number(text: Any) -> float:
    """Return a coordinate, with decimal point or comma.

    Raises
    ------
    UnusableObjectError
        If it is no finite number, or no place on a slide.
    """
    try:
        value = float(text.replace(",", ".") if isinstance(text, str) else text)
    except (TypeError, ValueError, OverflowError) as error:
        raise UnusableObjectError(BROKEN) from error
    if not abs(value) < math.inf:
        raise UnusableObjectError(BROKEN)
    return value


def ring_of(corners: Sequence[tuple[float, float]] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a ring, shape (n, 2), closed without repeating the first corner.

    Raises
    ------
    UnusableObjectError
        If a corner is no place on a slide, or there are fewer than three.
    """
    ring = np.array(corners, np.float64).reshape(-1, 2)
    if not np.all(np.abs(ring) < FARTHEST):
        raise UnusableObjectError(BROKEN)
    if len(ring) > 1 and np.array_equal(ring[0], ring[-1]):
        ring = ring[:-1]
    if len(ring) < 3:
        raise UnusableObjectError(NO_AREA)
    return ring
