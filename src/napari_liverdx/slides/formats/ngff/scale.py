"""The resolution that OME-Zarr metadata state."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from napari_liverdx.core.resolution import Mpp, is_plausible_mpp

__all__ = ["NGFF_UM", "dicts", "ngff_mpp"]

_PREFIXES = {
    "yotta": 24, "zetta": 21, "exa": 18, "peta": 15, "tera": 12, "giga": 9, "mega": 6, "kilo": 3,
    "hecto": 2, "deca": 1, "": 0, "deci": -1, "centi": -2, "milli": -3, "micro": -6, "nano": -9,
    "pico": -12, "femto": -15, "atto": -18, "zepto": -21, "yocto": -24,
}  # fmt: skip

NGFF_UM: Mapping[str, float] = {
    **{f"{name}meter": 10.0 ** (power + 6) for name, power in _PREFIXES.items()},
    "angstrom": 1e-4,
    "inch": 25_400.0,
    "foot": 304_800.0,
    "yard": 914_400.0,
    "mile": 1_609_344_000.0,
    "parsec": 3.0856775814913673e22,
}
"""Micrometers in each unit of length of NGFF."""

_ABBREVIATED = {
    "µm": 1.0, "μm": 1.0, "um": 1.0, "micron": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6,
    "å": 1e-4, "pm": 1e-6,
}  # fmt: skip


def dicts(given: Any) -> list[dict[str, Any]]:
    """Return the objects in a list of metadata; empty for what is no list."""
    return [entry for entry in given if isinstance(entry, dict)] if isinstance(given, list) else []


def ngff_mpp(
    axes: str, multiscale: Mapping[str, Any], dataset: Mapping[str, Any]
) -> tuple[Mpp | None, str]:
    """Return the finest level's resolution, and a note where none is stated that can be true."""
    values = []
    given = multiscale.get("axes")
    for axis in "xy":
        index = axes.index(axis)
        stated = given[index] if isinstance(given, list) else None
        unit = stated.get("unit") if isinstance(stated, dict) else None
        if not unit:
            return None, "the file states no unit of length"
        um = _um(str(unit))
        if um is None:
            return None, f"the file states lengths in {str(unit)[:30]!r}, which is no known unit"
        scale = [_scale(holder, index, len(axes)) for holder in (multiscale, dataset)]
        if None in scale or (scale == [1.0, 1.0] and not _scales(dataset)):
            return None, "the file states no pixel size"
        values.append(math.prod(s for s in scale if s is not None) * um)
    x, y = values
    if is_plausible_mpp(x) and is_plausible_mpp(y) and 0.5 <= x / y <= 2:
        return Mpp(x, y, "OME-Zarr scale"), ""
    size = f"{x:.4g}" if x == y else f"{x:.4g} × {y:.4g}"
    return None, f"the file says {size} µm/px (OME-Zarr scale), which cannot be true"


def _um(unit: str) -> float | None:
    plain = unit.strip().lower()
    if plain in _ABBREVIATED:
        return _ABBREVIATED[plain]
    plain = re.sub("(?<=met)re(?=s?$)", "er", plain)
    plain = plain.replace("feet", "foot").replace("inches", "inch")
    return NGFF_UM.get(plain, NGFF_UM.get(plain.removesuffix("s")))


def _scales(holder: Mapping[str, Any]) -> list[dict[str, Any]]:
    transforms = dicts(holder.get("coordinateTransformations"))
    return [t for t in transforms if t.get("type") == "scale"]


def _scale(holder: Mapping[str, Any], index: int, count: int) -> float | None:
    """Return the product of the scales along an axis; None where one is no number."""
    product = 1.0
    for transform in _scales(holder):
        factors = transform.get("scale")
        if not isinstance(factors, list) or len(factors) != count:
            return None
        factor = factors[index]
        if isinstance(factor, bool) or not isinstance(factor, int | float):
            return None
        product *= factor
    return product
