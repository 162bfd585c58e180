"""Reading tables of samples, as spreadsheets and other programs write them."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from napari_liverdx.core.errors import DataError

__all__ = ["is_file", "read_table"]


def is_file(path: Path) -> bool:
    """Return whether there is a file; False too for a path no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def read_table(
    path: Path, columns: Sequence[str], aliases: Mapping[str, str] | None = None
) -> list[dict[str, str]]:
    """Read the rows of a CSV file in UTF-8, separated by comma, semicolon or tab.

    Parameters
    ----------
    path : Path
        File with a header line.
    columns : sequence of str
        Columns it must have.
    aliases : mapping of str to str, optional
        From an older name of a column to today's, under which it is returned.

    Returns
    -------
    list of dict of str to str
        Values without surrounding blanks; empty where a row is too short.

    Raises
    ------
    DataError
        If the file cannot be read, is no table, has no rows or lacks a column.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise DataError(f"{path}: the table cannot be read ({why})") from error
    header = text.partition("\n")[0]
    separator = max((",", ";", "\t"), key=header.count)
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=separator))
    except csv.Error as error:
        raise DataError(f"{path}: not a table in CSV form ({error})") from error
    names = [n.strip() for n in rows[0] if n is not None] if rows else []
    older = {old: new for old, new in (aliases or {}).items() if old in names and new not in names}
    names = [older.get(n, n) for n in names]
    missing = [c for c in columns if c not in names]
    if missing or not rows:
        raise DataError(f"{path}: empty, or column {', '.join(missing or columns)} is missing")
    return [
        {
            older.get(k.strip(), k.strip()): (v or "").strip()
            for k, v in row.items()
            if k is not None
        }
        for row in rows
    ]
