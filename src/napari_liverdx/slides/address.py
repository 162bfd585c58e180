"""Where slides lie: remote addresses as paths, and places as tables and annotations name them.

A slide's place is a `Path` throughout. That of a remote one is the path which its address makes:
``https://host/a.zarr`` becomes ``https:/host/a.zarr``, which no file is called, and back.
"""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path, PureWindowsPath
from typing import Literal
from urllib.parse import unquote

__all__ = [
    "REMOTE_SCHEMES",
    "RESULT_SUFFIX",
    "local_path",
    "named_path",
    "remote_address",
    "spelled_here",
]

RESULT_SUFFIX = ".liverdx.zarr"
"""Ending of stored results, which are no slides."""

REMOTE_SCHEMES = ("http", "https", "s3", "gs", "az", "abfs")
_REMOTE = re.compile(rf"({'|'.join(REMOTE_SCHEMES)}):/+(?=[^/])", re.IGNORECASE)
_FORMS: tuple[Literal["NFC"], Literal["NFD"]] = ("NFC", "NFD")
_FILE = re.compile(r"file:(?://(?P<host>[^/\\]*))?(?P<path>[/\\].*)", re.IGNORECASE | re.DOTALL)
_DRIVE = re.compile(r"/[A-Za-z]:[/\\]")


def remote_address(path: str | Path) -> str | None:
    """Return the address that a path spells; None if it is the path of a file."""
    text = path.as_posix() if isinstance(path, Path) else path
    found = _REMOTE.match(text)
    return f"{found[1].lower()}://{text[found.end() :]}" if found else None


def local_path(text: str | Path) -> Path:
    """Return a place as a path: a ``file://`` address as the file's, anything else as it is."""
    found = None if isinstance(text, Path) else _FILE.fullmatch(text.strip())
    if found is None:
        return Path(text)
    name = unquote(found["path"])
    if _DRIVE.match(name):
        name = name[1:]
    host = found["host"] if found["host"] not in (None, "", "localhost") else ""
    return Path(f"//{host}{name}" if host else name)


def spelled_here(text: str, folder: Path) -> str:
    """Return a place that a table in ``folder`` names as this system spells it.

    Without quotation marks around it, a ``file:`` address as the file's path, the backslashes of
    Windows as slashes unless a file is called so; anything else as it stands.
    """
    text = text.strip().strip('"')
    if text.lower().startswith("file:"):
        text = str(local_path(text))
    if "\\" in text and not os.path.lexists(folder / text):
        text = text.replace("\\", "/")
    return text


def named_path(text: str, folder: Path) -> Path:
    """Return the place that a table in ``folder`` names, as people and programs spell places.

    Relative to the folder or not, with ``~``, in quotation marks, with the backslashes of Windows,
    as a ``file:`` address, or remote. Where a file of that very spelling is there, it is the one;
    letters beyond ASCII are found in both their Unicode forms.

    Raises
    ------
    ValueError
        If ``~`` names nobody, or the text is no path at all.
    """
    text = spelled_here(text, folder)
    if remote_address(text):
        return Path(text)
    try:
        path = Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(str(error)) from error
    forms = [path, *(Path(unicodedata.normalize(form, str(path))) for form in _FORMS)]
    places = [p if _is_absolute(p) else folder / p for p in forms]
    return next((place for place in places if os.path.lexists(place)), places[0])


def _is_absolute(path: Path) -> bool:
    return path.is_absolute() or PureWindowsPath(str(path)).is_absolute()
