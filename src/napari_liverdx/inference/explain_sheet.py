"""The little pictures of an explanation, and all of them on one sheet."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from napari_liverdx._files import atomic_write
from napari_liverdx._version import NOTICE
from napari_liverdx.core.colormaps import CIVIDIS, COOL_WARM, INFERNO, color_values
from napari_liverdx.core.errors import PlanError
from napari_liverdx.inference.explain import Explanation, sentences

__all__ = [
    "Picture",
    "Scale",
    "check_picture",
    "difference_limit",
    "explanation_pictures",
    "explanation_sheet",
    "scales_of",
    "write_explanation",
]

_VEIL = 0.5
"""Share of the color where Grad-CAM lies over the tile."""

_PACKAGE_FONTS = (
    ("matplotlib", "mpl-data/fonts/ttf/DejaVuSans.ttf"),
    ("reportlab", "fonts/Vera.ttf"),  # Latin letters and the signs of our own sentences
)

_LIMITS = (0.1, 0.25, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Scale:
    """What the colors of a picture mean.

    Attributes
    ----------
    label : str
    table : str
        Colors, see `core.colors`.
    low, high : str
        What stands at its ends.
    """

    label: str
    table: str
    low: str
    high: str

    def bar(self, steps: int = 256) -> NDArray[np.uint8]:
        """Return the colors from low to high, shape (1, steps, 3)."""
        return color_values(np.linspace(0, 1, steps)[None], self.table, 0, 1)


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One picture.

    Attributes
    ----------
    name : {"tile", "cam", "cells", "alone", "difference"}
    caption : str
    pixels : ndarray of uint8, shape (size, size, 3)
    scale : Scale or None
        None for the tile itself.
    about : str
        One sentence on what is seen.
    """

    name: str
    caption: str
    pixels: NDArray[np.uint8]
    scale: Scale | None
    about: str


def difference_limit(difference: NDArray[np.floating]) -> float:
    """Return the least of a few round numbers that no difference exceeds; the scale's two ends."""
    most = float(np.abs(difference).max())
    return next((limit for limit in _LIMITS if most <= limit), 1.0)


def explanation_pictures(explanation: Explanation) -> list[Picture]:
    """Return the tile, Grad-CAM, map pixels with and without the RNN, and their difference.

    What the model does not have is left out. All have the size of the tile; both map pixel maps
    share one scale, 0 to 1.
    """
    e = explanation
    size = e.pixels.shape[0]
    pictures = [Picture("tile", "Tile", e.pixels, None, "The tile as the model sees it")]
    if e.cam is not None:
        over = e.pixels * (1 - _VEIL) + color_values(e.cam, INFERNO, 0, 1) * _VEIL
        scale = Scale("Grad-CAM, in this tile", INFERNO, "none", "most")
        about = f"Where the evidence for {e.title} lies: where, not how much; {e.cam_note}"
        pictures.append(Picture("cam", "Grad-CAM", np.round(over).astype(np.uint8), scale, about))
    probability = Scale(f"Probability, {e.title}", CIVIDIS, "0", "1")

    def subtiles(name: str, caption: str, values: NDArray[np.float32], about: str) -> None:
        shown = _blocks(color_values(values, CIVIDIS, 0, 1), size)
        pictures.append(Picture(name, caption, shown, probability, about))

    rnn = e.alone is not None
    if e.subtiles is not None:
        about = f"Probability of {e.title} in each map pixel, as predicted"
        subtiles(
            "cells", "Map pixels with RNN" if rnn else "Cells", e.subtiles[e.class_index], about
        )
    if e.alone is not None and e.alone.subtiles is not None:
        about = "The same with each map pixel seen alone"
        subtiles("alone", "Map pixels without RNN", e.alone.subtiles[e.class_index], about)
    if (difference := e.difference) is not None:
        limit = difference_limit(difference)
        shown = _blocks(color_values(difference, COOL_WARM, -limit, limit), size)
        scale = Scale("Difference", COOL_WARM, f"−{limit:g}", f"+{limit:g}")
        about = "What the neighbors add (red) or remove (blue) in each map pixel"
        pictures.append(Picture("difference", "Difference", shown, scale, about))
    return pictures


def scales_of(pictures: Sequence[Picture]) -> list[Scale]:
    """Return the scales of pictures, each once."""
    return list(dict.fromkeys(p.scale for p in pictures if p.scale is not None))


def _blocks(colors: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Draw each map pixel as a block of one color."""
    rows, cols = (np.arange(size) * n // size for n in colors.shape[:2])
    return np.asarray(colors[rows][:, cols], np.uint8)


# -- the sheet --

_MARGIN, _GAP, _TEXT, _SMALL = 16, 12, 14, 12
_INK, _FAINT, _PAPER = "#1f2328", "#59636e", "#ffffff"


def explanation_sheet(explanation: Explanation, *, side: int = 224) -> NDArray[np.uint8]:
    """Draw all pictures beside each other with captions, scales, and what they mean in words.

    Parameters
    ----------
    explanation : Explanation
        From `explain_tile`.
    side : int
        Of each picture, pixels.

    Returns
    -------
    ndarray of uint8, shape (h, w, 3)
    """
    e = explanation
    pictures = explanation_pictures(e)
    text, small = _font(_TEXT), _font(_SMALL)
    width = max(2 * _MARGIN + len(pictures) * (side + _GAP) - _GAP, 3 * side)
    lines = [f"Tile {e.tile.row}, {e.tile.col} · {e.model_name} · {e.title}", *sentences(e)]
    wrapped = [part for line in lines for part in _wrapped(line, text, width - 2 * _MARGIN)]
    foot = [
        f"Grad-CAM: {e.cam_note}. It shows relative importance within this tile.",
        f"{e.alone_note}.",
        NOTICE,
    ]
    foot = [part for line in foot for part in _wrapped(line, small, width - 2 * _MARGIN)]
    top = _MARGIN + len(wrapped) * (_TEXT + 6) + _GAP
    height = top + side + 2 * (_SMALL + 8) + 34 + len(foot) * (_SMALL + 5) + _MARGIN
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for n, line in enumerate(wrapped):
        draw.text((_MARGIN, _MARGIN + n * (_TEXT + 6)), line, _INK, text)
    for n, picture in enumerate(pictures):
        x = _MARGIN + n * (side + _GAP)
        _draw_picture(sheet, draw, picture, (x, top), side, small)
    y = height - _MARGIN - len(foot) * (_SMALL + 5)
    for n, line in enumerate(foot):
        draw.text((_MARGIN, y + n * (_SMALL + 5)), line, _FAINT, small)
    return np.asarray(sheet)


def _draw_picture(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    picture: Picture,
    corner: tuple[int, int],
    side: int,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    x, y = corner
    shown = Image.fromarray(picture.pixels).resize((side, side), Image.Resampling.BILINEAR)
    if picture.name not in ("tile", "cam"):
        shown = Image.fromarray(picture.pixels).resize((side, side), Image.Resampling.NEAREST)
    sheet.paste(shown, (x, y))
    y += side + 5
    draw.text((x, y), picture.caption, _INK, font)
    if picture.scale is None:
        return
    y += _SMALL + 8
    bar = Image.fromarray(picture.scale.bar(side)).resize((side, 8))
    sheet.paste(bar, (x, y))
    y += 11
    draw.text((x, y), picture.scale.low, _FAINT, font)
    draw.text((x + side, y), picture.scale.high, _FAINT, font, anchor="ra")


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return DejaVu Sans, which knows the letters of most classes, or what comes closest."""
    files = ["DejaVuSans.ttf"]
    for package, file in _PACKAGE_FONTS:
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            files.append(str(Path(spec.origin).parent / file))
    for file in files:
        with suppress(OSError):
            return ImageFont.truetype(file, size)
    return ImageFont.load_default(size)


def _wrapped(
    line: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int
) -> list[str]:
    parts = [""]
    for word in line.split(" "):
        longer = f"{parts[-1]} {word}".strip()
        if parts[-1] and font.getlength(longer) > width:
            parts.append(word)
        else:
            parts[-1] = longer
    return parts


def check_picture(path: Path) -> None:
    """Make sure that a picture's name ends in ``.png``.

    Raises
    ------
    PlanError
        If it does not.
    """
    if path.suffix.lower() != ".png":
        raise PlanError(f"{path}: the image is a PNG; let its name end in .png")


def write_explanation(path: Path, explanation: Explanation) -> None:
    """Write an explanation as a picture, PNG; its folder is made where it is missing.

    Raises
    ------
    PlanError
        If the name is not that of a PNG, or it cannot be written.
    """
    check_picture(path)
    try:
        with atomic_write(path, make_folder=True) as partial:
            Image.fromarray(explanation_sheet(explanation)).save(partial, "PNG")
    except OSError as error:
        raise PlanError(
            f"{path}: the image cannot be written ({error.strerror}); choose another place"
        ) from error
