"""Which slides to work on: those of a folder, of a table, or one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from napari_liverdx.core.errors import DataError
from napari_liverdx.slides.csv_table import is_file, read_table

__all__ = ["SLIDE_SUFFIXES", "ListedSlideFile", "find_slides"]

SLIDE_SUFFIXES = (".svs", ".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp")
_TABLES = (".csv", ".tsv", ".txt")


@dataclass(frozen=True, slots=True)
class ListedSlideFile:
    """A slide's file, before anything is opened.

    Attributes
    ----------
    path : Path
    mpp : float or None
        Level-0 µm/px as a person states it; it then counts instead of what the file says.
    """

    path: Path
    mpp: float | None = None


def find_slides(
    source: Path, *, pattern: str = "*", recursive: bool = False
) -> tuple[ListedSlideFile, ...]:
    """The slides of a folder, of a table, or the one that is named; opens none of them.

    Parameters
    ----------
    source : Path
        A folder; a table (CSV) with a column ``path``, relative to the table, and where the files
        state none a column ``mpp``; or a slide. A slide that a table names and that is not there
        is listed all the same: it fails in its turn.
    pattern : str
        File names in a folder must match it, for example ``"*.svs"``; upper and lower case count
        as the same.
    recursive : bool
        Look into folders within the folder too.

    Returns
    -------
    tuple of ListedSlideFile
        In alphabetical order, or in that of the table; each file once.

    Raises
    ------
    DataError
        If there is no such file or folder, it holds no slide, or the table is none.
    """
    if source.is_dir():
        found = [ListedSlideFile(p) for p in _files(source, recursive) if _matches(p, pattern)]
        if not found:
            deeper = "" if recursive else ", or look into the folders within it (--recursive)"
            raise DataError(
                f"{source}: no slide in this folder matches {pattern!r}; slides end in "
                f"{', '.join(SLIDE_SUFFIXES)}. Choose another folder{deeper}"
            )
        return tuple(found)
    if not is_file(source):
        raise DataError(f"{source}: no such file or folder; give a folder of slides or a table")
    if source.suffix.lower() in _TABLES:
        return _of_table(source)
    return (ListedSlideFile(source),)


def _files(folder: Path, recursive: bool) -> Iterator[Path]:
    try:
        inside = sorted(folder.iterdir(), key=lambda p: p.name.lower())
    except OSError as error:
        raise DataError(f"{folder}: the folder cannot be read ({error.strerror})") from error
    for path in inside:
        if path.name.startswith("."):
            continue
        if path.suffix.lower() in SLIDE_SUFFIXES and is_file(path):
            yield path
        elif recursive and path.is_dir() and path.suffix != ".zarr" and not path.is_symlink():
            yield from _files(path, recursive)


def _matches(path: Path, pattern: str) -> bool:
    return fnmatch(path.name.lower(), pattern.lower())


def _of_table(table: Path) -> tuple[ListedSlideFile, ...]:
    listed: dict[Path, ListedSlideFile] = {}
    for line, row in enumerate(read_table(table, ("path",)), 2):
        where = f"{table}, line {line}"
        if not row["path"]:
            raise DataError(f"{where}: the path is empty; name a slide")
        path = table.parent / Path(row["path"]).expanduser()
        if path in listed:
            raise DataError(f"{where}: {row['path']} is named a second time; name each slide once")
        listed[path] = ListedSlideFile(path, _number(row.get("mpp", ""), where))
    return tuple(listed.values())


def _number(text: str, where: str) -> float | None:
    try:
        return float(text.replace(",", ".")) if text else None
    except ValueError as error:
        raise DataError(f"{where}: mpp {text!r} is not a number") from error
