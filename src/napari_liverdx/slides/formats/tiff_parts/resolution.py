"""What a TIFF file says of its resolution, in every legal spelling."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from napari_liverdx.core.errors import MppError, NotASlideError
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.slides.formats.tiff_parts.directory import Directory
from napari_liverdx.slides.formats.tiff_parts.lengths import read_number, um_per_unit
from napari_liverdx.slides.formats.tiff_parts.ome import OmeImage
from napari_liverdx.slides.xml import parse_xml

__all__ = ["Resolution", "aperio_fields", "is_aperio", "read_resolution"]

_UM_PER_RESOLUTION_UNIT = {2: 25_400.0, 3: 10_000.0, 4: 1000.0, 5: 1.0}
_AGREE = 0.05
"""Largest relative difference of two sources that mean the same.

Nominal and calibrated values differ by up to 3 %, as do values rounded to two digits; another
objective or another level differs by far more.
"""
_POWER_FACTOR = 4.0
"""How far µm/px may be from 10 / objective power; an adapter and an export make a factor of 2."""

_LARGEST_POWER = 150.0
_UM_AT_1X = 10.0
_KEYS = r"mpp[_ .-]?[xy]?|microns?[_ ]?per[_ ]?pixel[_ ]?[xy]?|pixel[_ ]?size[_ ]?[xy]?"
_DESCRIBED = re.compile(
    rf"(?:^|[\s|;,\"'{{.])({_KEYS})[\"']?\s*[=:]\s*[\"']?([0-9.,eE+-]*[0-9])\s*"
    r"(?:\(?([a-zA-Z\u00b5\u03bc]+)\)?)?",
    re.IGNORECASE,
)
_NUMBER_AND_UNIT = re.compile(r"\s*([-+0-9.,eE]*)(.*)", re.DOTALL)
_POWER = re.compile(
    r"(?:appmag|objective[_ -]?(?:power|magnification)?|magnification)[\"']?\s*[=:]\s*[\"']?"
    r"([0-9.,]*[0-9])\s*x?\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Resolution:
    """What was found.

    Attributes
    ----------
    mpp : Mpp or None
        None where there is none, none that can be true, or several that differ.
    note : str
        Why there is none, else empty.
    options : tuple of Mpp
        What the sources say where they differ, the likeliest first.
    power : float or None
        Magnification of the objective.
    """

    mpp: Mpp | None
    note: str
    options: tuple[Mpp, ...]
    power: float | None


@dataclass(frozen=True, slots=True)
class _Claim:
    x: float
    y: float
    source: str

    def as_mpp(self) -> Mpp | None:
        """Return it as a resolution; None if it cannot be one."""
        try:
            return Mpp(self.x, self.y, self.source)
        except (MppError, ZeroDivisionError, OverflowError):
            return None


def is_aperio(text: str) -> bool:
    """Return whether an image description is one of Aperio."""
    return text.lstrip().startswith("Aperio")


def aperio_fields(text: str) -> dict[str, str]:
    """Return the fields ``| name = value`` of an Aperio description, names in lower case."""
    pairs = (part.partition("=") for part in text.split("|")[1:])
    return {name.strip().lower(): value.strip() for name, sign, value in pairs if sign}


def read_resolution(directory: Directory, ome: OmeImage | None, broken: str = "") -> Resolution:
    """Return the resolution of the picture that a directory holds.

    Sources in the order in which they are believed: Aperio's MPP, OME's physical size, ImageJ's
    unit, other descriptions, TIFF's resolution tags. Where none is given, the power of the
    objective gives an estimate. Sources that differ by more than 5 %, and values that cannot be
    those of a microscope, are left to the user.

    Parameters
    ----------
    directory : Directory
        Of the picture itself, never of another.
    ome : OmeImage, optional
        What OME-XML says of the picture.
    broken : str
        What of the file's own description cannot be read, for the note.
    """
    text = directory.text(270)
    claims = _claims(directory, text, ome)
    power = _power(text, ome)
    estimate = _estimate(power)
    good = [mpp for claim in claims if (mpp := claim.as_mpp())]
    if not good:
        if claims:
            told = _Told(claims[0])
            note = f"the file says {told} ({claims[0].source}), which cannot be true"
            return Resolution(None, note, (estimate,) if estimate else (), power)
        if estimate:
            return Resolution(estimate, "", (), power)
        note = f"the file states no resolution{'; ' if broken else ''}{broken}"
        return Resolution(None, note, (), power)
    options: list[Mpp] = []
    for mpp in good:
        if not any(_agree(mpp, other) for other in options):
            options.append(mpp)
    if len(options) == 1 and (estimate is None or _may_be(good[0], estimate)):
        return Resolution(good[0], "", (), power)
    if len(options) == 1 and estimate is not None:
        note = f"the file says {good[0]}, but its objective power {power:g}x makes that unlikely"
        return Resolution(None, note, (good[0], estimate), power)
    note = f"the file contradicts itself: {' but '.join(str(mpp) for mpp in options)}"
    return Resolution(None, note, tuple(options), power)


class _Told:
    """A claimed resolution as text, however absurd."""

    def __init__(self, claim: _Claim) -> None:
        self.claim = claim

    def __str__(self) -> str:
        x, y = self.claim.x, self.claim.y
        return f"{x:.4g} \u00b5m/px" if math.isclose(x, y) else f"{x:.4g} × {y:.4g} \u00b5m/px"


def _agree(a: Mpp, b: Mpp) -> bool:
    return all(abs(math.log(p / q)) <= _AGREE for p, q in ((a.x, b.x), (a.y, b.y)))


def _may_be(mpp: Mpp, estimate: Mpp) -> bool:
    return 1 / _POWER_FACTOR <= mpp.mean / estimate.mean <= _POWER_FACTOR


def _claims(directory: Directory, text: str, ome: OmeImage | None) -> list[_Claim]:
    found: list[_Claim] = []
    if is_aperio(text):
        told = _NUMBER_AND_UNIT.match(aperio_fields(text).get("mpp", ""))
        number, unit = told.groups() if told else ("", "")
        value = read_number(number)
        if value is not None:
            value *= um_per_unit(unit) or 1.0
            found.append(_Claim(value, value, "Aperio MPP"))
    if ome is not None and ome.mpp is not None:
        found.append(_Claim(*ome.mpp, "OME PhysicalSize"))
    if text.startswith("ImageJ="):
        return [*found, *_imagej(directory, text)]
    if ome is None and not is_aperio(text):
        found += _libvips(text) if "openslide.mpp-x" in text else _described(text)
    return [*found, *_tags(directory)]


def _imagej(directory: Directory, text: str) -> list[_Claim]:
    pairs = dict(line.partition("=")[::2] for line in text.splitlines())
    unit = pairs.get("unit", "").strip()
    if not unit:
        return _tags(directory)
    um = um_per_unit(unit)
    y_um = um_per_unit(pairs["yunit"]) if pairs.get("yunit") else um
    counts = _counts(directory)
    if um is None or y_um is None or counts is None:
        return []
    return [_Claim(um / counts[0], y_um / counts[1], "ImageJ unit")]


def _counts(directory: Directory) -> tuple[float, float] | None:
    """Return the pixels per unit along both axes that TIFF's tags state."""
    x, y = directory.fractions(282)[:1], directory.fractions(283)[:1]
    both = [*x, *y]
    if not both or not all(math.isfinite(v) and v > 0 for v in both):
        return None
    return both[0], both[-1]


def _tags(directory: Directory) -> list[_Claim]:
    # Where the unit is left out it is the inch, says TIFF.
    um = _UM_PER_RESOLUTION_UNIT.get(directory.number(296, 2))
    counts = _counts(directory)
    if um is None or counts is None or (296 not in directory and counts == (1.0, 1.0)):
        return []
    return [_Claim(um / counts[0], um / counts[1], "TIFF resolution tag")]


def _described(text: str) -> list[_Claim]:
    """Return what a description of another program says in words, as ``MPP = 0.25``."""
    axes: dict[str, float] = {}
    for key, number, unit in _DESCRIBED.findall(text[:65_536]):
        value = read_number(number.strip(".,") if number.count(",") > 1 else number)
        um = um_per_unit(unit) if unit else None
        if um is None and not key.lower().startswith("pixel"):
            um = 1.0
        if value is None or um is None:
            continue
        axis = key[-1].lower() if key[-1].lower() in "xy" else ""
        axes.setdefault(axis, value * um)
    x = axes.get("x", axes.get("", axes.get("y")))
    if x is None:
        return []
    return [_Claim(x, axes.get("y", x), "image description")]


def _libvips(text: str) -> list[_Claim]:
    """Return what libvips keeps of the slide that it made the file of."""
    try:
        root = parse_xml(text, "libvips", NotASlideError)
    except NotASlideError:
        return []
    said: dict[str, float | None] = {}
    for entry in root.iter():
        parts = [(part.text or "").strip() for part in entry]
        if entry.tag.rpartition("}")[2] == "property" and len(parts) >= 2:
            said[parts[0]] = read_number(parts[1])
    x, y = (said.get(f"openslide.mpp-{axis}") for axis in "xy")
    return [_Claim(x, y, "slide before libvips")] if x is not None and y is not None else []


def _power(text: str, ome: OmeImage | None) -> float | None:
    if ome is not None:
        return ome.power
    told = aperio_fields(text).get("appmag") if is_aperio(text) else None
    if told is None and not text.lstrip().startswith("<"):
        found = _POWER.search(text[:65_536])
        told = found[1] if found else None
    power = read_number(told.rstrip("xX\u00d7 ")) if told else None
    return power if power is not None and 0 < power <= _LARGEST_POWER else None


def _estimate(power: float | None) -> Mpp | None:
    if power is None:
        return None
    value = _UM_AT_1X / power
    return _Claim(value, value, f"estimated from objective power {power:g}x").as_mpp()
