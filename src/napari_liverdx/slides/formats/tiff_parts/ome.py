"""The images that OME-XML describes, and where their planes lie."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

from napari_liverdx.core.errors import NotASlideError
from napari_liverdx.slides.color import color_order, primary_of
from napari_liverdx.slides.formats.tiff_parts.lengths import read_number, um_per_unit
from napari_liverdx.slides.xml import parse_xml

__all__ = ["OmeImage", "looks_like_ome", "read_ome"]

_FLUORESCENT = re.compile(
    r"\b(dapi|hoechst\w*|fitc|tritc|cy ?[2357](\.5)?|alexa\w*|af ?\d{3}|e?gfp|e?yfp|e?cfp|rfp|"
    r"dsred|m?cherry|texas ?red|opal\w*|rhodamine\w*|spectrum\w*|autofluorescence|"
    r"fluo\w*|dylight\w*|atto\w*|draq\w*|sytox\w*)\b",
    re.IGNORECASE,
)
_PRIMARY_COLORS = {0xFF0000: "red", 0x00FF00: "green", 0x0000FF: "blue"}
_HTML_SIGNS = {"micro": "\u00b5", "mu": "\u03bc", "Aring": "\u00c5"}
_MOST_PLANES = 100_000


@dataclass(frozen=True, slots=True)
class OmeImage:
    """One image.

    Attributes
    ----------
    name : str
        As the file calls it.
    size : tuple of int
        Width and height in pixels.
    planes : tuple of int or None
        Places in the chain of directories of its planes, in the order of their channels.
    stack : str
        Half a sentence, where it is several images of one place.
    channels : str
        Half a sentence, where its channels are not the colors of brightfield.
    declared_color : bool
        Whether it says itself that its channels are colors.
    color_order : tuple of int
        Places of red, green and blue among three channels, by their names or colors.
    mpp : tuple of float or None
        Micrometers per pixel along x and y.
    power : float or None
        Magnification of the objective.
    significant_bits : int or None
        Bits that carry values.
    """

    name: str
    size: tuple[int, int]
    planes: tuple[int | None, ...]
    stack: str
    channels: str
    declared_color: bool
    color_order: tuple[int, ...]
    mpp: tuple[float, float] | None
    power: float | None
    significant_bits: int | None


def looks_like_ome(text: str) -> bool:
    """Return whether an image description is OME-XML."""
    head = text[:4096].lstrip("\ufeff \t\r\n")
    return head.startswith("<") and re.search(r"<(\w+:)?OME[\s>]", head) is not None


def read_ome(text: str, path: Path) -> list[OmeImage]:
    """Return the images of a file, in its order.

    Raises
    ------
    NotASlideError
        If the XML is damaged or unsafe, or its planes lie in other files.
    """
    root = parse_xml(_spelled(text), f"{path} (OME-XML)", NotASlideError)
    powers = dict(_objectives(root))
    found: list[OmeImage] = []
    first = 0
    for image in _all(root, "Image"):
        pixels = next(_all(image, "Pixels"), None)
        if pixels is None:
            continue
        found.append(_image(image, pixels, first, powers, path))
        first += len(found[-1].planes)
    return found


def _spelled(text: str) -> str:
    """Return XML whose signs of length are none that only HTML knows by name."""
    for name, sign in _HTML_SIGNS.items():
        text = text.replace(f"&{name};", sign)
    return text


def _all(element: Element, name: str) -> Iterator[Element]:
    return (e for e in element.iter() if isinstance(e.tag, str) and _local(e) == name)


def _local(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _count(element: Element, name: str, default: int = 1) -> int:
    number = read_number(element.get(name, ""))
    return int(number) if number is not None and 1 <= number < 1 << 31 else default


def _objectives(root: Element) -> Iterator[tuple[str, float]]:
    for objective in _all(root, "Objective"):
        for key in ("NominalMagnification", "CalibratedMagnification"):
            power = read_number(objective.get(key, ""))
            if power is not None and power > 0:
                yield objective.get("ID", ""), power
                break


def _image(
    image: Element, pixels: Element, first: int, powers: dict[str, float], path: Path
) -> OmeImage:
    channels = list(_all(pixels, "Channel"))
    size_c, size_z, size_t = (_count(pixels, f"Size{axis}") for axis in "CZT")
    samples = _count(channels[0], "SamplesPerPixel") if channels else 0
    if not samples or size_c % samples:
        # Older writers leave the channels out: three of them are then samples or planes.
        samples = 1
    count = size_c // samples
    stack = f"it is a stack of {size_z} focal planes (z)" if size_z > 1 else ""
    if size_t > 1:
        stack = f"it is a time series of {size_t} images"
    settings = next(_all(image, "ObjectiveSettings"), None)
    names = [channel.get("Name", "") for channel in channels]
    bits = read_number(pixels.get("SignificantBits", ""))
    return OmeImage(
        name=image.get("Name", ""),
        size=(_count(pixels, "SizeX"), _count(pixels, "SizeY")),
        planes=_planes(pixels, first, (count, size_z, size_t), path),
        stack=stack,
        channels=_fluorescence(channels, count, samples),
        declared_color=len(names) == 3 and all(map(primary_of, names)),
        color_order=color_order(names if any(names) else [_color(c) for c in channels]),
        mpp=_physical_size(pixels),
        power=powers.get(settings.get("ID", "")) if settings is not None else _only(powers),
        significant_bits=int(bits) if bits is not None and 1 <= bits <= 16 else None,
    )


def _color(channel: Element) -> str:
    """Return the name of a channel's color, a signed number of four bytes, if it is a primary."""
    number = read_number(channel.get("Color", ""))
    if number is None or not math.isfinite(number):
        return ""
    return _PRIMARY_COLORS.get((int(number) >> 8) & 0xFFFFFF, "")


def _only(powers: dict[str, float]) -> float | None:
    return next(iter(powers.values())) if len(powers) == 1 else None


def _fluorescence(channels: Sequence[Element], count: int, samples: int) -> str:
    names = [c.get("Name") or c.get("Fluor") or "" for c in channels]
    told = f" ({', '.join(n for n in names if n)[:120]})" if any(names) else ""
    if count not in (1, 3):
        return f"it has {count} channels{told}, as fluorescence has"
    if samples not in (1, 3, 4):
        return f"its pixels have {samples} samples"
    lit = {c.get("ContrastMethod", "") for c in channels}
    if lit & {"Brightfield"} or any(
        "Transmitted" in c.get("IlluminationType", "") for c in channels
    ):
        return ""
    modes = {c.get("AcquisitionMode", "") for c in channels}
    if "Fluorescence" in lit or any("Confocal" in m or "Fluorescence" in m for m in modes):
        return f"it is a fluorescence image{told}"
    if any(_FLUORESCENT.search(n) for n in names) or any(c.get("Fluor") for c in channels):
        return f"it is a fluorescence image{told}"
    if count == 3 and all(map(primary_of, names)) and len(names) == 3:
        return ""
    if samples == 1 and any(c.get("EmissionWavelength") for c in channels):
        return f"it is a fluorescence image{told}, its channels have emission wavelengths"
    return ""


def _physical_size(pixels: Element) -> tuple[float, float] | None:
    found: list[float] = []
    for axis in "XY":
        size = read_number(pixels.get(f"PhysicalSize{axis}", ""))
        um = um_per_unit(pixels.get(f"PhysicalSize{axis}Unit", "\u00b5m"))
        if size is not None and um is not None:
            found.append(size * um)
    if not found or not all(map(math.isfinite, found)):
        return None
    # One axis alone stands for both: pixels are square unless the file says otherwise.
    return found[0], found[-1]


def _planes(
    pixels: Element, first: int, sizes: tuple[int, int, int], path: Path
) -> tuple[int | None, ...]:
    """Return the directory of each plane, in the file's order of its dimensions."""
    order = pixels.get("DimensionOrder", "XYCZT")[2:]
    order = order if sorted(order) == ["C", "T", "Z"] else "CZT"
    extent = dict(zip("CZT", sizes, strict=True))
    total = min(math.prod(sizes), _MOST_PLANES)
    blocks = list(_all(pixels, "TiffData"))
    found: dict[int, int] = {}
    elsewhere = ""
    for block in blocks:
        uuid = next(_all(block, "UUID"), None)
        name = uuid.get("FileName", "") if uuid is not None else ""
        if name and Path(name.replace("\\", "/")).name != path.name and _other(blocks):
            elsewhere = name
            continue
        start = _linear(block, order, extent)
        ifd = _index(block, "IFD", first + start)
        count = _count(block, "PlaneCount", 1 if len(blocks) > 1 else total)
        for step in range(min(count, total - start)):
            found[start + step] = ifd + step
    if elsewhere and not found:
        raise NotASlideError(
            f"{path}: its pixels lie in another file, {Path(elsewhere).name!r}; open that, or "
            "convert both to one OME-TIFF"
        )
    if not blocks:
        found = {k: first + k for k in range(total)}
    return tuple(found.get(k) for k in range(total))


def _other(blocks: Sequence[Element]) -> bool:
    """Return whether planes are told to lie in several files: one alone may have been renamed."""
    names = {u.get("FileName", "") for b in blocks for u in _all(b, "UUID")}
    return len(names) > 1


def _index(block: Element, name: str, default: int) -> int:
    number = read_number(block.get(name, ""))
    return int(number) if number is not None and 0 <= number < 1 << 31 else default


def _steps(order: str, extent: dict[str, int]) -> dict[str, int]:
    steps, step = {}, 1
    for axis in order:
        steps[axis] = step
        step *= extent[axis]
    return steps


def _linear(block: Element, order: str, extent: dict[str, int]) -> int:
    steps = _steps(order, extent)
    return sum(_index(block, f"First{axis}", 0) * steps[axis] for axis in "CZT")
