"""Numbers and lengths as people and programs write them."""

from __future__ import annotations

import re

__all__ = ["read_number", "um_per_unit"]

_NUMBER = re.compile(r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_PREFIXES = {"Y": 24, "Z": 21, "E": 18, "P": 15, "T": 12, "G": 9, "M": 6, "k": 3, "h": 2}
_PREFIXES |= {"da": 1, "": 0, "d": -1, "c": -2, "m": -3, "\u00b5": -6, "u": -6, "n": -9}
_PREFIXES |= {"p": -12, "f": -15, "a": -18, "z": -21, "y": -24}
_UM_PER = {f"{prefix}m": 10.0 ** (power + 6) for prefix, power in _PREFIXES.items()}
_UM_PER |= {"\u00c5": 1e-4, "A": 1e-4, "thou": 25.4, "mil": 25.4, "li": 25_400 / 12, "in": 25_400.0}
_UM_PER |= {"ft": 304_800.0, "yd": 914_400.0, "mi": 1.609344e9, "ua": 1.495978707e17}
_UM_PER |= {"ly": 9.4607304725808e21, "pc": 3.085677581491367e22, "pt": 25_400 / 72}
_WORDS = {"micron": 1.0, "micrometer": 1.0, "nanometer": 1e-3, "millimeter": 1e3}
_WORDS |= {"centimeter": 1e4, "meter": 1e6, "angstrom": 1e-4, "inch": 25_400.0, "inche": 25_400.0}
_WORDS |= {"um": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4}
_ESCAPE = re.compile(r"\\u([0-9A-Fa-f]{4})")


def read_number(text: str) -> float | None:
    """Return a decimal number, its point written as a point or a comma; None if it is none."""
    text = text.strip()
    if not _NUMBER.fullmatch(text):
        return None
    return float(text.replace(",", "."))


def um_per_unit(unit: str) -> float | None:
    r"""Return the micrometers of a unit of length; None if it is no absolute length.

    All units of the OME schema, their English names, and the ways to write the micro sign: both
    of Unicode's, ``u``, ``\u00B5`` spelled out, and UTF-8 that was read as Latin-1.
    """
    unit = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), unit.strip())
    unit = unit.replace("\u03bc", "\u00b5").replace("\u00c2\u00b5", "\u00b5")
    unit = unit.replace("\u212b", "\u00c5").rstrip(".")
    if unit in ('"', "''"):
        return _UM_PER["in"]
    if unit in _UM_PER:
        return _UM_PER[unit]
    word = unit.lower().removesuffix("s")
    return _WORDS.get(word.removesuffix("re") + "er" if word.endswith("re") else word)
