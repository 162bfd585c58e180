"""Files that people hand over, read whole within bounds and unpacked."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from napari_liverdx.core.errors import DataError

__all__ = ["is_file", "plain_name", "read_plain"]

_GZIP = b"\x1f\x8b"
_OTHERS = (
    (b"PK\x03\x04", "a spreadsheet (.xlsx, .ods) or a zip archive"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old spreadsheet (.xls) or another Office document"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"SQLite format 3", "a database"),
    (b"\x89HDF", "an HDF5 file"),
    (b"%PDF", "a PDF"),
    (b"{\\rtf", "a text document (.rtf)"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"II+\0", "a TIFF image"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
)
"""What begins in a way of its own and is taken for text by mistake."""


def is_file(path: Path) -> bool:
    """Return whether there is a file; False too for a path no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def plain_name(path: Path) -> str:
    """Return the name of a file without the ending that says it is compressed."""
    return path.name[:-3] if path.name.lower().endswith(".gz") else path.name


def read_plain(path: Path, what: str, most: int, remedy: str) -> bytes:
    """Return the bytes of a text file, unpacked if gzip has packed it.

    Parameters
    ----------
    path : Path
        The file.
    what : str
        What it should be, for messages: "the table".
    most : int
        Bytes that are read at most, unpacked.
    remedy : str
        What to do with a file of another kind: "save it as CSV (UTF-8)".

    Raises
    ------
    DataError
        If it cannot be read, is damaged, is larger, or is a known kind of something else.
    """
    if not is_file(path):
        raise DataError(f"{path}: {what} cannot be read (no such file); check the path")
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
        if content.startswith(_GZIP):
            with gzip.open(path) as packed:
                content = packed.read(most + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: the compressed file is damaged ({error}); copy it again") from (
            error
        )
    except OSError as error:
        raise DataError(f"{path}: {what} cannot be read ({error.strerror or error})") from error
    for start, other in _OTHERS:
        if content.startswith(start):
            raise DataError(f"{path}: this is {other}; {remedy}")
    if len(content) > most:
        raise DataError(f"{path}: larger than the {most >> 20} MiB that are read; {_SPLIT}")
    return content


_SPLIT = "split it into several files"
