"""Every error the package raises on purpose, in one tree.

Each error is also the built-in that fits it, so callers may catch either. Messages say what is
wrong, where, and what to do next.
"""

from __future__ import annotations

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
