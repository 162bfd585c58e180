"""Every error the package raises on purpose, in one tree.

Each error is also the built-in that fits it, so callers may catch either. Messages say what is
wrong, where, and what to do next.
"""

from __future__ import annotations

import errno
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
    "SlideReadError",
    "StorageFullError",
    "TileReadError",
    "first_problem",
    "storage_errors",
]


class LiverDxError(Exception):
    """Base of all deliberate errors."""


class NotASlideError(LiverDxError, ValueError):
    """The file is not an image this package can read as a slide."""


class SlideReadError(LiverDxError, OSError):
    """The slide cannot be read: missing, truncated or damaged."""


class TileReadError(SlideReadError):
    """One stored tile cannot be decoded; the rest of the slide may be fine."""


class MppError(LiverDxError, ValueError):
    """The micrometres-per-pixel value is missing or implausible."""


class NoTissueError(LiverDxError, ValueError):
    """Nothing in the region to analyse looks like tissue."""


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
    """The first objection as ``place: message``."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


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
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFullError(
                f"{path}: the disk is full; {kept}. Free some space and start again"
            ) from error
        raise ResultError(
            f"{path}: cannot be written ({error.strerror or error}); {kept}"
        ) from error
