"""What OpenSlide's properties of a slide say: where the tissue lies, resolution, names."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from napari_liverdx.core.resolution import Mpp, is_plausible_mpp

__all__ = [
    "Area",
    "associated_names",
    "glass_center",
    "positive_number",
    "stated_bounds",
    "stated_regions",
    "stated_resolution",
    "tile_size",
]

_TILE = 512
_SENSIBLE_TILES = range(128, 1025)

_POWER_FACTOR = 4.0
"""How far µm/px may be from 10 / objective power; a camera's adapter makes a factor of 2."""


@dataclass(frozen=True, slots=True)
class Area:
    """A rectangle in the file's own level-0 pixels."""

    x: int
    y: int
    width: int
    height: int


def tile_size(width: int, height: int) -> tuple[int, int]:
    """Return the size of our tiles: that of the stored ones, unless they are strips or huge."""
    if width in _SENSIBLE_TILES and height in _SENSIBLE_TILES:
        return width, height
    return _TILE, _TILE


def positive_number(properties: Mapping[str, str], name: str) -> float | None:
    """Return a property as a number; None where it is missing, no number, or not above 0."""
    try:
        value = float(properties[name])
    except (KeyError, ValueError):
        return None
    return value if math.isfinite(value) and value > 0 else None


def glass_center(properties: Mapping[str, str]) -> tuple[float, float] | None:
    """Return where the picture's center lies from that of the glass, nm, as Hamamatsu states it."""
    try:
        x, y = (float(properties[f"hamamatsu.{axis}OffsetFromSlideCentre"]) for axis in "XY")
    except (KeyError, ValueError):
        return None
    return (x, y) if math.isfinite(x) and math.isfinite(y) else None


def stated_bounds(properties: Mapping[str, str], size: tuple[int, int]) -> Area:
    """Return the scanner's bounds, or the whole slide where they are missing or lie outside."""
    found = _area(properties, "openslide.bounds-{}", size)
    return found if found is not None else Area(0, 0, *size)


def stated_regions(properties: Mapping[str, str], size: tuple[int, int]) -> list[Area]:
    """Return the regions that were scanned apart, cut at the slide's edge; empty if none."""
    found = []
    index = 0
    while f"openslide.region[{index}].x" in properties:
        area = _area(properties, f"openslide.region[{index}].{{}}", size)
        if area is not None:
            found.append(area)
        index += 1
    return found


def _area(properties: Mapping[str, str], name: str, size: tuple[int, int]) -> Area | None:
    try:
        x, y, width, height = (
            int(properties[name.format(key)]) for key in ("x", "y", "width", "height")
        )
    except (KeyError, ValueError):
        return None
    left, top = max(0, x), max(0, y)
    right, bottom = min(size[0], x + width), min(size[1], y + height)
    if right <= left or bottom <= top:
        return None
    return Area(left, top, right - left, bottom - top)


def associated_names(names: Iterable[str]) -> dict[str, str]:
    """Return what OpenSlide calls the pictures beside the slide, by our words for them."""
    words = {"label": "label", "barcode": "label", "macro": "macro", "overview": "macro"}
    found: dict[str, str] = {}
    for name in names:
        word = next((w for part, w in words.items() if part in name.lower()), name.lower())
        found.setdefault("thumbnail" if "thumb" in word or "preview" in word else word, name)
    return found


def stated_resolution(
    properties: Mapping[str, str], maker: str, power: float | None
) -> tuple[Mpp | None, str, tuple[Mpp, ...]]:
    """Return the level-0 resolution that can be believed, or why there is none.

    The objective power counts where nothing else is stated, and then the source says so.

    Parameters
    ----------
    properties : mapping of str to str
        OpenSlide's.
    maker : str
        Whose value it is, for people.
    power : float or None
        Magnification of the objective.

    Returns
    -------
    mpp : Mpp or None
    note : str
        Empty if ``mpp`` is given.
    options : tuple of Mpp
        What the file's sources say where they contradict each other.
    """
    x, y = (positive_number(properties, f"openslide.mpp-{axis}") for axis in "xy")
    estimate = None
    if power is not None and is_plausible_mpp(10 / power):
        estimate = Mpp.square(10 / power, f"estimated from objective power {power:g}x")
    if x is None and y is None:
        return estimate, "" if estimate else "the file states no resolution", ()
    x, y = x or y or 0, y or x or 0
    if not (is_plausible_mpp(x) and is_plausible_mpp(y) and 0.5 <= x / y <= 2):
        shown = f"{x:.4g}" if x == y else f"{x:.4g} × {y:.4g}"
        note = f"the file says {shown} µm/px ({maker}), which cannot be true"
        return None, note, (estimate,) if estimate else ()
    stated = Mpp(x, y, maker)
    if estimate and not 1 / _POWER_FACTOR <= stated.mean / estimate.mean <= _POWER_FACTOR:
        note = f"the file says {stated}, but its objective power {power:g}x makes that unlikely"
        return None, note, (stated, estimate)
    return stated, "", ()
