"""What a stored image says it is: label, macro, thumbnail, mask."""

from __future__ import annotations

import re
from collections.abc import Sequence

from napari_liverdx.slides.formats.tiff_parts.directory import Directory
from napari_liverdx.slides.formats.tiff_parts.layout import Layout

__all__ = ["MASK", "REDUCED", "guess_role", "stated_role"]

REDUCED, MASK = 1, 4
_APERIO_MACRO = 9
_WORDS = {"label": "label", "barcode": "label", "macro": "macro", "overview": "macro"}
_WORDS |= {"thumbnail": "thumbnail", "thumb": "thumbnail", "preview": "thumbnail"}
_NAMES = "|".join(_WORDS)
_WHOLE = re.compile(
    rf"(?:the|slide|image|series|\d+|[\s_:.#-])*({_NAMES})"
    r"(?:image|picture|photo|img|of|slide|the|\d+\s*x\s*\d+|\d+|[\s_:.#-])*",
    re.IGNORECASE,
)
_APERIO = re.compile(rf"\A\s*Aperio[^\n]*\n\s*({_NAMES})\b", re.IGNORECASE)
_SOMEWHERE = re.compile(rf"(?<![a-z])({_NAMES})(?![a-z])", re.IGNORECASE)
_LONGEST_NAME = 200
_WIDE = 1.8


def stated_role(layout: Layout, name: str = "") -> str | None:
    """Return label, macro or thumbnail where a stored image says that it is one.

    Parameters
    ----------
    layout : Layout
        The stored image.
    name : str
        What OME-XML calls it.
    """
    for text in (name, *_texts(layout.directory)):
        found = _APERIO.match(text) or _WHOLE.fullmatch(text.strip()[:_LONGEST_NAME])
        if found:
            return _WORDS[found[1].lower()]
    if layout.subfile_type == _APERIO_MACRO:
        return "macro"
    return None


def guess_role(layout: Layout, name: str = "") -> str:
    """Return whether a picture beside the slide, which shows something else, is label or macro."""
    for text in (name, *_texts(layout.directory)):
        found = _SOMEWHERE.search(text[:_LONGEST_NAME])
        if found and _WORDS[found[1].lower()] != "thumbnail":
            return _WORDS[found[1].lower()]
    long, short = max(layout.width, layout.height), min(layout.width, layout.height)
    # A glass slide is three times as long as wide, its label about square.
    return "macro" if long > _WIDE * short else "label"


def _texts(directory: Directory) -> Sequence[str]:
    return directory.text(285), directory.text(270)
