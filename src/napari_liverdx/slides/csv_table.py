"""Reading tables as spreadsheets and other programs write them."""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from napari_liverdx._text import original_cell
from napari_liverdx.core.errors import DataError
from napari_liverdx.slides.address import spelled_here
from napari_liverdx.slides.text.encoding import decode_text
from napari_liverdx.slides.text.plain import is_file, read_plain

__all__ = ["Row", "column_key", "is_file", "number_in", "read_table"]

_MOST_BYTES = 64 << 20
_MOST_ROWS = 1_000_000
_MOST_BEFORE = 10_000
"""Lines before the header."""

_NONE = "\N{INFORMATION SEPARATOR ONE}"
_LONGEST_LINE = 1_000_000
_NAMED, _SHOWN = 20, 60
"""Columns that a message names at most, and signs of each."""

_ALIASES = {"slide": "path"}
_SEPARATORS = (",", ";", "\t", "|")
_REMEDY = "save the table as CSV (in Excel: File > Save as > CSV UTF-8) and give that file"
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)(e[+-]?\d+)?", re.IGNORECASE)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")


class Row(dict[str, str]):
    """The values of a row by the names of their columns, in whatever case one asks for them.

    Attributes
    ----------
    line : int
        Line of the file where the row begins, counted from 1.
    """

    __slots__ = ("line",)

    def __init__(self, values: Mapping[str, str], line: int) -> None:
        super().__init__(values)
        self.line = line

    def __missing__(self, name: str) -> str:
        key = column_key(name)
        if key != name and key in self:
            return self[key]
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (
            isinstance(name, str) and super().__contains__(column_key(name))
        )

    def get(self, name: str, default: str = "") -> str:  # type: ignore[override]
        """Return a value, ``default`` where the table lacks the column."""
        return super().get(column_key(name), default)


def column_key(name: str) -> str:
    """Return a column's name without what spreadsheets and people add: case and blanks."""
    name = original_cell(name.replace("\N{ZERO WIDTH NO-BREAK SPACE}", "").strip())
    return " ".join(name.split()).lower()


def number_in(text: str) -> float | None:
    """Return the number in a cell, with decimal point or comma; None if it is none or not finite.

    >>> number_in("0,25")
    0.25
    """
    match = _NUMBER.fullmatch(text.strip())
    value = float(match.group().replace(",", ".")) if match else math.nan
    return value if math.isfinite(value) else None


def read_table(
    path: str | Path, columns: Sequence[str] = (), aliases: Mapping[str, str] | None = None
) -> list[Row]:
    """Read a table of text, whatever program wrote it; the content decides, not the file's ending.

    UTF-8, UTF-16, or the code page it was saved in; compressed by gzip or not; separated by comma,
    semicolon, tab or ``|``, or what a line ``sep=`` says. Lines before the header that are empty
    or begin with ``#`` do not count, nor do titles above the line that names the columns, nor rows
    without a value.

    Parameters
    ----------
    path : str or Path
        File with a header line.
    columns : sequence of str
        Columns it must have; case and surrounding blanks do not matter.
    aliases : mapping of str to str, optional
        From an older name of a column to today's, under which it is returned if it is wanted; by
        default ``slide`` for ``path``.

    Returns
    -------
    list of Row
        Values by the lower-case names of the columns, without surrounding blanks; empty where a
        row is too short. In a column of numbers a decimal comma is a point; the column ``path``
        is as `spelled_here` says. The apostrophe before what a spreadsheet would take for a
        formula is taken away.

    Raises
    ------
    DataError
        If the file cannot be read, is no table, has no rows, lacks a column or has one twice.
    """
    path = Path(path)
    text = _text(path)
    lines, first, given = _header_at(text)
    separator, above = _layout(path, lines, first, columns, given)
    records = _records(path, lines, first, separator)
    _, header = next(islice(records, above, None), (0, []))
    names = [column_key(name) for name in header]
    wanted = {column_key(column) for column in columns}
    for old, new in (_ALIASES if aliases is None else aliases).items():
        if old in names and new not in names and new in wanted:
            names[names.index(old)] = new
    if not any(names):
        raise DataError(f"{path}: the table is empty; {_REMEDY}")
    _check_columns(path, header, names, columns)
    rows = [
        Row(_values(path, line, record, names), line)
        for line, record in _bounded(path, records)
        if any(cell.strip() for cell in record) and not _is_remark(record, names)
    ]
    if not rows:
        raise DataError(f"{path}: the table has no row below its header; {_REMEDY}")
    _unify_numbers(rows, separator)
    if "path" in names:
        for row in rows:
            row["path"] = spelled_here(row["path"], path.parent)
    return rows


def _text(path: Path) -> str:
    content = read_plain(path, "the table", _MOST_BYTES, _REMEDY)
    try:
        text = decode_text(content)
    except ValueError as error:
        raise DataError(f"{path}: the table cannot be read ({error}); {_REMEDY}") from error
    # What DOS ends a text with.
    text = text.rstrip("\x1a")
    if (start := text[:100].lstrip().lower()).startswith(("<?xml", "<!doctype", "<html", "<table")):
        kind = "XML" if start.startswith("<?xml") else "a web page"
        raise DataError(f"{path}: this is {kind}, not a table in CSV form; {_REMEDY}")
    return text


def _header_at(text: str) -> tuple[io.StringIO, int, str]:
    """Return the text from the header on, its line, and the separator that ``sep=`` gives."""
    lines = io.StringIO(text, newline="")
    number, separator, at = 1, "", 0
    for line in lines:
        bare = line.strip()
        told = re.fullmatch(r'"?sep=(.)"?', line.strip("\r\n "), re.IGNORECASE)
        if told:
            separator = told[1]
        elif bare.strip(';,|"') and not bare.startswith("#"):
            break
        number, at = number + 1, at + len(line)
        if number > _MOST_BEFORE:
            break
    return io.StringIO(text[at:], newline=""), number, separator


def _layout(
    path: Path, lines: io.StringIO, first: int, columns: Sequence[str], given: str
) -> tuple[str, int]:
    """Return the separator, and how many titles stand above the header.

    The header is the line that names most of the wanted columns; the separator that under which it
    names them, else has most columns.
    """
    wanted = {column_key(column) for column in columns}
    found: dict[str, tuple[int, int, int]] = {}
    for separator in (given,) if given else _SEPARATORS:
        lines.seek(0)
        # A title that is no row, or is cut off, is told when the table is read.
        with suppress(DataError):
            for above, (_, cells) in enumerate(islice(_records(path, lines, first, separator), 20)):
                hits = len(wanted & {column_key(name) for name in cells})
                if separator not in found or hits > found[separator][0]:
                    found[separator] = hits, len(cells), above
    lines.seek(0)
    if not found:
        return given or ",", 0
    best = max(found, key=lambda separator: found[separator][:2])
    _, count, above = found[best]
    # A table of one column has no separator: its values may hold them all.
    return (best if count > 1 else _NONE), above


def _records(
    path: Path, lines: io.StringIO, first: int, separator: str
) -> Iterator[tuple[int, list[str]]]:
    """Yield the line where a record begins, and its cells."""
    quotes = 0

    def counted() -> Iterator[str]:
        nonlocal quotes
        for text in lines:
            if len(text) > _LONGEST_LINE:
                raise csv.Error(f"a line of more than {_LONGEST_LINE:,} signs")
            quotes += text.count('"')
            yield text
        if quotes % 2 and reader.line_num > line - first + 1:
            raise csv.Error("a quotation mark that begins there is never closed")

    reader = csv.reader(counted(), delimiter=separator, skipinitialspace=True)
    while True:
        quotes, line = 0, first + reader.line_num
        try:
            yield line, next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"{path}, line {line}: not a row of a table ({error}); {_REMEDY}"
            ) from error


def _bounded(
    path: Path, records: Iterator[tuple[int, list[str]]]
) -> Iterator[tuple[int, list[str]]]:
    for number, record in enumerate(records):
        if number >= _MOST_ROWS:
            raise DataError(f"{path}: more than {_MOST_ROWS:,} rows; split it into several tables")
        yield record


def _check_columns(
    path: Path, header: Sequence[str], names: Sequence[str], columns: Sequence[str]
) -> None:
    shown = [name.strip()[:_SHOWN] for name in header if name.strip()]
    there = ", ".join(shown[:_NAMED]) + (", …" if len(shown) > _NAMED else "")
    missing = [column for column in columns if column_key(column) not in names]
    if missing:
        raise DataError(
            f"{path}: the table lacks column {', '.join(missing)}; it has {there}. Add it, or "
            "rename the one that is meant"
        )
    twice = [name for name, count in Counter(names).items() if name and count > 1]
    if twice:
        raise DataError(
            f"{path}: column {', '.join(twice)} stands in the table more than once; it has "
            f"{there}. Rename or remove all but one"
        )


def _is_remark(record: Sequence[str], names: Sequence[str]) -> bool:
    return len(record) == 1 < len(names) and record[0].lstrip().startswith("#")


def _values(path: Path, line: int, record: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    cells = [original_cell(cell.strip()) for cell in record]
    if any(cells[len(names) :]):
        raise DataError(
            f"{path}, line {line}: {len(cells)} values under {len(names)} columns; a value that "
            "holds the separator needs quotation marks"
        )
    cells += [""] * (len(names) - len(cells))
    return {name: cell for name, cell in zip(names, cells, strict=False) if name}


def _unify_numbers(rows: Sequence[Row], separator: str) -> None:
    """Write a decimal point for the comma in columns that hold numbers alone."""
    for name in rows[0]:
        values = [value for row in rows if (value := row[name])]
        with_comma = [value for value in values if "," in value]
        if not with_comma or not all(_NUMBER.fullmatch(value) for value in values):
            continue
        # Between commas, 1,234 in quotation marks is more likely a thousand.
        if separator == "," and all(_THOUSANDS.fullmatch(value) for value in with_comma):
            continue
        for row in rows:
            row[name] = row[name].replace(",", ".")
