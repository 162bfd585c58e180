"""Texts without the name of a slide or of folders, which may name a person."""

from __future__ import annotations

import re
from pathlib import Path

from napari_liverdx._files import bare_name
from napari_liverdx.slides.address import remote_address

__all__ = ["redact", "without_folders"]

# Folders from the root or a drive on, up to the last separator; neither 3/s nor https://x/y.
_FOLDERS = re.compile(r"""(?<![\w.:/\\])(?:[A-Za-z]:)?[/\\]{1,2}(?:[^\s/\\'",;:()]+[/\\]+)+""")


def redact(text: str, name: str, code: str) -> str:
    """Replace a slide's file name in a text by a code, with or without its ending.

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
    names = sorted(
        {name, stem, stem.removesuffix(".ome"), bare_name(name)} - {""}, key=len, reverse=True
    )
    if not names:
        return text
    # An underscore parts words in file names.
    any_of = "|".join(map(re.escape, names))
    return re.sub(rf"(?<![^\W_])(?:{any_of})(?![^\W_])", lambda _: code, text, flags=re.IGNORECASE)


def without_folders(text: str, *known: Path) -> str:
    """Return a text that names files without their folders.

    Parameters
    ----------
    text : str
        What an error says, or its representation.
    *known : Path
        Folders and addresses that it may name; only these are found if they are relative, remote
        or hold blanks.
    """
    for folder in known:
        if (address := remote_address(folder)) is not None:
            text = text.replace(f"{address.rstrip('/')}/", "")
            continue
        for path in (folder.absolute(), folder):
            if path.name:
                inside = str(path / "_").removesuffix("_")
                # A representation doubles backslashes.
                found = "|".join(map(re.escape, (inside.replace("\\", "\\\\"), inside)))
                text = re.sub(rf"(?<![\w/\\])(?:{found})", "", text)
    return _FOLDERS.sub("", text)
