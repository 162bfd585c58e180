"""Which slides to work on, and what is said of them: those of a folder, of a table, or one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from napari_liverdx.core.errors import DataError
from napari_liverdx.slides.address import named_path, remote_address
from napari_liverdx.slides.csv_table import Row, is_file, number_in, read_table
from napari_liverdx.slides.formats import FORMATS, is_slide_folder, is_slide_name, slide_suffixes
from napari_liverdx.slides.formats.side_files import side_files

__all__ = ["TABLE_SUFFIXES", "SlideEntry", "find_slides", "read_slide_table"]

TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".tab", ".csv.gz", ".tsv.gz", ".txt.gz")
_SPREADSHEETS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods", ".numbers", ".parquet", ".feather")
"""What a table is told from, to say in which form it is read."""


@dataclass(frozen=True, slots=True)
class SlideEntry:
    """A slide's file and what a list says of it, before anything is opened.

    Attributes
    ----------
    path : Path
    mpp : float or None
        Level-0 µm/px as a person states it; it then counts instead of what the file says.
    group : str
        Patient; empty if not stated, as all that follow.
    label : str
        Name of a slide class.
    split : str
        As written; see `napari_liverdx.training.data.base.split_name`.
    source : str
        Laboratory or scanner.
    annotations : tuple of Path
        Files as `napari_liverdx.slides.annotations.read.read_annotations` reads them.
    line : int
        Line of the table that names it; 0 if no table does.
    scene : int or None
        Index of the scene in a file that holds several; None for the largest.
    """

    path: Path
    mpp: float | None = None
    group: str = ""
    label: str = ""
    split: str = ""
    source: str = ""
    annotations: tuple[Path, ...] = ()
    line: int = field(default=0, compare=False)
    scene: int | None = None


def find_slides(
    source: Path,
    *,
    pattern: str = "*",
    recursive: bool = False,
    required: Sequence[str] = ("path",),
) -> tuple[SlideEntry, ...]:
    """Return the slides of a folder, of a table, or the one that is named; open none of them.

    Parameters
    ----------
    source : Path
        A folder; a table, see `read_slide_table`; or a slide, which may be a folder or a remote
        address.
    pattern : str
        File names in a folder must match it, for example ``"*.svs"``; upper and lower case count
        as the same.
    recursive : bool
        Look into folders within the folder too.
    required : sequence of str
        Columns a table must have.

    Returns
    -------
    tuple of SlideEntry
        In alphabetical order, or in that of the table; each slide once. A slide of several files
        is their folder, or one of them where the folder holds other slides of the kind.

    Raises
    ------
    DataError
        If there is no such file or folder, it holds no slide, or the table is none.
    """
    if remote_address(source) is not None or is_slide_folder(source):
        return (SlideEntry(source),)
    if source.is_dir():
        found = [SlideEntry(p) for p in _files(source, recursive) if _matches(p, pattern)]
        if not found:
            deeper = "" if recursive else ", or look into the folders within it (--recursive)"
            raise DataError(
                f"{source}: no slide in this folder matches {pattern!r}; slides end in "
                f"{', '.join(slide_suffixes())}. Choose another folder{deeper}"
            )
        return tuple(found)
    if not is_file(source):
        raise DataError(f"{source}: no such file or folder; give a folder of slides or a table")
    if source.name.lower().endswith(TABLE_SUFFIXES + _SPREADSHEETS):
        return read_slide_table(source, required=required)
    return (SlideEntry(source),)


def read_slide_table(
    table: Path,
    *,
    required: Sequence[str] = ("path",),
    names: Mapping[str, str] | None = None,
) -> tuple[SlideEntry, ...]:
    """Read a table of slides: a CSV file with a column ``path``, of old also called ``slide``.

    Where present, the columns mpp, group, label, split, source, annotation (one file, see
    `napari_liverdx.slides.annotations.read.read_annotations`) and scene (its index in a file that
    holds several) are read too. Paths are relative to the table, and spelled as
    `napari_liverdx.slides.address.named_path` says. A slide that is not there is listed all the
    same: it fails in its turn.

    Parameters
    ----------
    table : Path
        The file.
    required : sequence of str
        Columns it must have.
    names : mapping of str to str, optional
        What the columns are called in this table, where that differs.

    Raises
    ------
    DataError
        If it cannot be read, lacks a column, names no slide or one twice, or a µm/px is no number.
    """
    called = dict(names or {})
    rows = read_table(table, [called.get(c, c) for c in required])
    listed: dict[tuple[str, int | None], SlideEntry] = {}
    for row in rows:
        entry = _entry(table, {c: row.get(called.get(c, c)) for c in _COLUMNS}, row)
        key = (os.path.normcase(os.path.abspath(entry.path)), entry.scene)
        first = listed.setdefault(key, entry)
        if first is not entry:
            raise DataError(
                f"{table}, line {row.line}: {entry.path.name} is named a second time, first in "
                f"line {first.line}; name each slide once"
            )
    return tuple(listed.values())


_COLUMNS = ("path", "mpp", "group", "label", "split", "source", "annotation", "scene")


def _entry(table: Path, told: Mapping[str, str], row: Row) -> SlideEntry:
    where = f"{table}, line {row.line}"
    if not told["path"]:
        raise DataError(f"{where}: the path is empty; name a slide")
    try:
        path = named_path(told["path"], table.parent)
        annotations = (named_path(told["annotation"], table.parent),) if told["annotation"] else ()
    except ValueError as error:
        raise DataError(f"{where}: {told['path']}: {error}; check the path") from error
    return SlideEntry(
        path,
        _mpp(told["mpp"], where),
        told["group"],
        told["label"],
        told["split"],
        told["source"],
        annotations,
        row.line,
        _index(told["scene"], where),
    )


def _mpp(text: str, where: str) -> float | None:
    value = number_in(text)
    if text and value is None:
        raise DataError(f"{where}: mpp {text!r} is not a number; give µm per pixel, as 0.25")
    return value


def _index(text: str, where: str) -> int | None:
    if not text:
        return None
    if not text.isdecimal():
        raise DataError(f"{where}: scene {text!r} is not a whole number; count them from 0")
    return int(text)


def _files(folder: Path, recursive: bool) -> Iterator[Path]:
    inside = _inside(folder)
    gathered = _gathered(inside)
    told: set[Path] = set()
    for path in inside:
        if path in gathered:
            place = gathered[path]
            if place is not None and place not in told:
                told.add(place)
                yield place
        elif (is_slide_name(path) and is_file(path)) or is_slide_folder(path):
            yield path
        elif path.is_dir() and path.suffix != ".zarr" and not path.is_symlink():
            if recursive:
                yield from _files(path, recursive)
            elif _is_gathered(path):
                yield path


def _inside(folder: Path) -> list[Path]:
    try:
        inside = sorted(folder.iterdir(), key=lambda p: p.name.lower())
    except OSError as error:
        raise DataError(f"{folder}: the folder cannot be read ({error.strerror})") from error
    beside = side_files(inside)
    return [p for p in inside if not p.name.startswith(".") and p not in beside]


def _gathered(inside: Sequence[Path]) -> dict[Path, Path | None]:
    """Return for files that are parts of slides what is to be opened for each."""
    found: dict[Path, Path | None] = {}
    for kind in FORMATS.values():
        if kind.gather is not None:
            # Files are looked into, but for those called as other formats' are.
            files = [p for p in inside if kind.has_name(p) or not is_slide_name(p)]
            found.update(kind.gather([p for p in files if is_file(p)]))
    return found


def _is_gathered(folder: Path) -> bool:
    """Return whether the files of a folder are one slide; one that cannot be looked into is not."""
    try:
        return folder in _gathered(_inside(folder)).values()
    except DataError:
        return False


def _matches(path: Path, pattern: str) -> bool:
    """Return whether a file, or a folder or one of its files, is called so."""
    names = [path.name, *(p.name for p in path.iterdir())] if path.is_dir() else [path.name]
    return any(fnmatch(name.lower(), pattern.lower()) for name in names)
