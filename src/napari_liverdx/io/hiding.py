"""Texts without the name of a slide, which may name a person."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["without_name"]


def without_name(text: str, name: str, code: str) -> str:
    """A text with a code wherever it tells a slide's file name, with or without its ending.

    Parameters
    ----------
    text : str
        Whatever is to be handed on.
    name : str
        File name of the slide. It is found in any case of its letters, and not inside of words.
    code : str
        What stands in its place.
    """
    stem = Path(name).stem
    names = sorted({name, stem, stem.removesuffix(".ome")} - {""}, key=len, reverse=True)
    if not names:
        return text
    # An underscore parts words in file names.
    any_of = "|".join(map(re.escape, names))
    return re.sub(rf"(?<![^\W_])(?:{any_of})(?![^\W_])", lambda _: code, text, flags=re.IGNORECASE)
