"""Every error the package raises on purpose, in one tree.

Each error is also the built-in that fits it, so callers may catch either. Messages say what is
wrong, where, and what to do next.
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

__all__ = [
    "DataError",
    "LiverDxError",
    "ModelFileError",
    "MppError",
    "NoTissueError",
    "NotASlideError",
    "PlanError",
    "ResultError",
    "ResultMismatchError",
    "SlideChangedError",
    "SlideReadError",
    "StorageFullError",
    "TileReadError",
    "existing_path",
    "first_problem",
    "storage_errors",
]


class LiverDxError(Exception):
    """Base of all deliberate errors."""


class NotASlideError(LiverDxError, ValueError):
    """The file is not an image this package can read as a slide."""


class SlideReadError(LiverDxError, OSError):
    """The slide cannot be read: missing, truncated or damaged."""


class SlideChangedError(SlideReadError):
    """The slide's file is another one than when work on it began."""


class TileReadError(SlideReadError):
    """One stored tile cannot be decoded; the rest of the slide may be fine."""


class MppError(LiverDxError, ValueError):
    """The micrometers-per-pixel value is missing or implausible."""


class NoTissueError(LiverDxError, ValueError):
    """Nothing in the region to analyze looks like tissue."""


class PlanError(LiverDxError, ValueError):
    """The requested run makes no sense for this slide and model."""


class ModelFileError(LiverDxError, ValueError):
    """The model file is missing, damaged, foreign or unsafe."""


class DataError(LiverDxError, ValueError):
    """Training or evaluation data is not in the expected form."""


class ResultError(LiverDxError, OSError):
    """A result folder cannot be read or written."""


class ResultMismatchError(ResultError):
    """A result folder belongs to another slide, model or plan."""


class StorageFullError(ResultError):
    """The disk is full; what was finished is kept."""


def first_problem(error: ValidationError) -> str:
    """Return the first objection as ``place: message``."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def existing_path(path: str | Path, error: type[LiverDxError]) -> Path | None:
    """Return a path with ``~`` expanded; None if nothing is there.

    Raises
    ------
    LiverDxError
        Of the given kind, where the system cannot even look: a null character, a name too long,
        no permission, nobody of the name that follows ``~``; and where a pipe or a device is, which
        would be waited for without end.
    """
    try:
        found = Path(path).expanduser()
        kind = found.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RuntimeError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise error(f"{_printable(path)}: cannot be looked up ({reason}); check the path") from (
            problem
        )
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        raise error(f"{_printable(path)}: a pipe or a device, not a file; check the path")
    return found


def _printable(path: str | Path) -> str:
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(path))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


_LONGEST = 200
"""Characters of a path that a message shows: one too long to be looked up is too long to read."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def storage_errors(path: Path, kept: str) -> Iterator[None]:
    """Turn what the system says into an error that names ``path`` and what is ``kept``.

    Raises
    ------
    StorageFullError
        If the disk is full.
    ResultError
        If writing fails otherwise.
    """
    try:
        yield
    except LiverDxError:
        raise
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFullError(
                f"{path}: the disk is full; {kept}. Free some space and start again"
            ) from error
        raise ResultError(
            f"{path}: cannot be written ({error.strerror or error}); {kept}"
        ) from error
    except ValueError as error:
        # What the system says of a null character is no OSError.
        if "\0" not in str(path):
            raise
        raise ResultError(
            f"{_printable(path)}: cannot be written (a null character in the path); {kept}"
        ) from error
