"""What a person decided about tiles, kept beside the result."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_liverdx._files import atomic_write, parse_json
from napari_liverdx._text import csv_text
from napari_liverdx.core.errors import ResultError, storage_errors
from napari_liverdx.core.grid import TileGrid, TileIndex

__all__ = ["Decision", "DecisionLog", "Reviewed", "Verdict", "has_review", "write_decisions"]

_FILE = "review.json"
_PLACE = ("row", "col", "x", "y", "width", "height")
_COLUMNS = (*_PLACE, "verdict", "called", "correct", "at")


class Verdict(StrEnum):
    """What a person says of a tile's predicted class."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"


class Decision(BaseModel):
    """A person's word on one tile.

    Attributes
    ----------
    verdict : Verdict
    called : str
        Name of the predicted class.
    correct : str
        Name of the class that the person says it is; empty if the prediction is wrong and the right
        class was not said.
    at : str
        When, ISO 8601, UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    verdict: Verdict
    called: str
    correct: str = ""
    at: str = ""

    @classmethod
    def accept(cls, called: str) -> Decision:
        """Return the decision that the model is right."""
        return cls(verdict=Verdict.ACCEPTED, called=called, correct=called, at=_now())

    @classmethod
    def reject(cls, called: str, correct: str = "") -> Decision:
        """Return the decision that the model is wrong; ``correct`` if the right class is known."""
        return cls(verdict=Verdict.REJECTED, called=called, correct=correct, at=_now())


class _Entry(Decision):
    row: int = Field(ge=0)
    col: int = Field(ge=0)


class DecisionLog(Mapping[TileIndex, Decision]):
    """The decisions on one result; each change is on disk when the call returns.

    Parameters
    ----------
    path : Path
        The result's folder.

    Raises
    ------
    ResultError
        If stored decisions are damaged; the file is left as it is.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: dict[TileIndex, Decision] = {}
        file = path / _FILE
        if not file.exists():
            return
        try:
            for fields in parse_json(file.read_text(encoding="utf-8")):
                entry = _Entry.model_validate(fields)
                decision = Decision(**entry.model_dump(exclude={"row", "col"}))
                self._entries[TileIndex(entry.row, entry.col)] = decision
        except (OSError, ValueError, TypeError, ValidationError) as error:
            raise ResultError(
                f"{file}: the stored review cannot be read ({error}); move the file away to start "
                "a new review, the result itself is whole"
            ) from error

    def __getitem__(self, tile: TileIndex) -> Decision:
        return self._entries[tile]

    def __iter__(self) -> Iterator[TileIndex]:
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, tile: TileIndex, decision: Decision | None) -> None:
        """Decide on a tile; None takes the decision back.

        Raises
        ------
        StorageFullError
            If the disk is full; the decisions made before are kept.
        ResultError
            If writing fails otherwise.
        """
        entries = dict(self._entries)
        if decision is None:
            entries.pop(tile, None)
        else:
            entries[tile] = decision
        self._write(entries)
        self._entries = entries

    def _write(self, entries: Mapping[TileIndex, Decision]) -> None:
        rows = [
            {"row": tile.row, "col": tile.col, **decision.model_dump(mode="json")}
            for tile, decision in sorted(entries.items())
        ]
        file = self._path / _FILE
        with (
            storage_errors(file, "the decisions made before are kept"),
            atomic_write(file) as partial,
        ):
            partial.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def has_review(path: Path) -> bool:
    """Return whether a person reviewed the result in the folder ``path``."""
    return (path / _FILE).exists()


class Reviewed:
    """What a result knows of its review.

    Attributes
    ----------
    path : Path
    """

    path: Path

    @cached_property
    def decisions(self) -> DecisionLog:
        """Decisions on the tiles of this result.

        Raises
        ------
        ResultError
            If the stored ones are damaged.
        """
        return DecisionLog(self.path)


def write_decisions(path: Path, decisions: Mapping[TileIndex, Decision], grid: TileGrid) -> None:
    """Write decisions as a CSV table, one line a tile, places in level-0 pixels.

    Raises
    ------
    StorageFullError
        If the disk is full.
    ResultError
        If it cannot be written.
    """
    rows: list[Sequence[object]] = [_COLUMNS]
    for tile, d in decisions.items():
        r = grid.rect(tile)
        place = [round(v, 2) for v in (r.x, r.y, r.width, r.height)]
        rows.append([tile.row, tile.col, *place, d.verdict.value, d.called, d.correct, d.at])
    with (
        storage_errors(path, "the review itself is kept with the result"),
        atomic_write(path) as partial,
    ):
        partial.write_text(csv_text(rows), encoding="utf-8")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
