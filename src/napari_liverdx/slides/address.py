"""Remote addresses of slides, as paths.

A slide's place is a `Path` throughout. That of a remote one is the path which its address makes:
``https://host/a.zarr`` becomes ``https:/host/a.zarr``, which no file is called, and back.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

__all__ = ["REMOTE_SCHEMES", "local_path", "remote_address"]

REMOTE_SCHEMES = ("http", "https", "s3", "gs", "az", "abfs")
_REMOTE = re.compile(rf"({'|'.join(REMOTE_SCHEMES)}):/+(?=[^/])", re.IGNORECASE)
_DRIVE = re.compile(r"/[A-Za-z]:/")


def remote_address(path: str | Path) -> str | None:
    """Return the address that a path spells; None if it is the path of a file."""
    text = path.as_posix() if isinstance(path, Path) else path
    found = _REMOTE.match(text)
    return f"{found[1].lower()}://{text[found.end() :]}" if found else None


def local_path(text: str | Path) -> Path:
    """Return a place as a path: a ``file://`` address as the file's, anything else as it is."""
    if isinstance(text, Path) or not text.lower().startswith("file:"):
        return Path(text)
    parts = urlsplit(text)
    name = unquote(parts.path)
    if _DRIVE.match(name):
        name = name[1:]
    host = parts.netloc if parts.netloc not in ("", "localhost") else ""
    return Path(f"//{host}{name}" if host else name)
