"""Text from files and people, made harmless where it is shown or written; free to every layer."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import TextIO

__all__ = ["csv_text", "original_cell", "printable", "safe_cell", "storable", "write_csv"]

_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
"""What moves the cursor, colors, hides or turns around text; not line end and tabulator."""

_END = "\r\n"
_SEPARATORS = ";,|\t\n\r"
_SIGNS = r"=+\-@\uff1d\uff0b\uff0d\uff20"
_FORMULA = re.compile(rf"(^|[{_SEPARATORS}])([ \u00a0]*)(?='*[{_SIGNS}])")
_NEUTRAL = re.compile(rf"(^|[{_SEPARATORS}])([ \u00a0]*)'(?='*[{_SIGNS}])")
_LEADING = re.compile("^(?='*[\t\r\n])")
_LED = re.compile("^'(?='*[\t\r\n])")
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)(e[+-]?\d+)?", re.IGNORECASE)


def printable(text: str, *, lines: bool = True) -> str:
    """Return a text that a terminal shows as it stands and obeys in nothing.

    Parameters
    ----------
    text : str
        A name, a message, a card's text.
    lines : bool
        Whether it may have line ends and tabulators; a name may not.
    """
    shown = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
    return shown if lines else re.sub("[\t\n]", "\N{REPLACEMENT CHARACTER}", shown)


def storable(text: str) -> str:
    r"""Return a text that UTF-8 can hold: bytes of a name that are no text stand as ``\udcfc``."""
    return text.encode("utf-8", errors="backslashreplace").decode("utf-8")


def safe_cell(value: object) -> object:
    """Return a value of a table that a spreadsheet does not take for a formula.

    Numbers stay numbers, as text too. A text that begins with ``=``, ``+``, ``-``, ``@``, a
    tabulator or a line end gets an apostrophe before it, and so does a part of it behind what a
    spreadsheet of another country takes for the end of a cell. `original_cell` takes it away.
    """
    if not isinstance(value, str) or _NUMBER.fullmatch(value):
        return value
    return _LEADING.sub("'", _FORMULA.sub(r"\1\2'", storable(value)))


def original_cell(text: str) -> str:
    """Return what `safe_cell` was given."""
    return _NEUTRAL.sub(r"\1\2", _LED.sub("", text))


def write_csv(
    file: TextIO, rows: Iterable[Sequence[object]], separator: str = ",", line_end: str = "\n"
) -> None:
    """Write rows as CSV; every table that this program writes goes through here."""
    # Quoted is what holds a sign of the line end: both, as either ends a line for some reader.
    table = csv.writer(_Lines(file, line_end), delimiter=separator, lineterminator=_END)
    table.writerows([safe_cell(value) for value in row] for row in rows)


class _Lines:
    """A file whose lines get another end."""

    def __init__(self, file: TextIO, end: str) -> None:
        self._file, self._end = file, end

    def write(self, line: str) -> int:
        return self._file.write(line.removesuffix(_END) + self._end)


def csv_text(rows: Iterable[Sequence[object]], separator: str = ",") -> str:
    """Return rows as CSV."""
    text = io.StringIO(newline="")
    write_csv(text, rows, separator)
    return text.getvalue()
