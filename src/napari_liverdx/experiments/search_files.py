"""A search with its files: the best recipe, what it gave, all trials."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

from napari_liverdx._files import atomic_write, write_whole
from napari_liverdx._text import write_csv
from napari_liverdx.core.errors import storage_errors
from napari_liverdx.experiments.search import SearchResult, Trial, search, search_split
from napari_liverdx.experiments.search_space import Range
from napari_liverdx.experiments.written import Written
from napari_liverdx.models.card import Interval
from napari_liverdx.training.audit.audit import check_leaks
from napari_liverdx.training.audit.report import Finding
from napari_liverdx.training.config import EpochResult
from napari_liverdx.training.data._all import TileDataset
from napari_liverdx.training.recipe import Recipe

__all__ = ["search_files", "write_search"]


def search_files(
    recipe: Recipe,
    samples: TileDataset,
    device: torch.device,
    folder: Path,
    *,
    space: Mapping[str, Range] | None = None,
    trials: int = 20,
    test_folds: int = 5,
    command: str = "",
    allow_leaks: bool = False,
) -> Iterator[Finding | tuple[int, EpochResult] | Trial | SearchResult | Written]:
    """Audit the data, `search`, and write what was found.

    Parameters
    ----------
    recipe, samples, device, folder, space, trials, test_folds
        See `search`; the files stand in ``folder`` too.
    command : str
        How the search is made again, for its file.
    allow_leaks : bool
        Whether to go on if the data leak.

    Yields
    ------
    Finding
        Of the audit, but for mere notes.
    (int, EpochResult), Trial, SearchResult
        See `search`.
    Written
        At the end.

    Raises
    ------
    DataError
        If the data leak and that is not allowed, or see `search`.
    """
    split = search_split(recipe, samples, test_folds)
    parts = dict(zip(("train", "val", "test"), split, strict=True))
    yield from check_leaks(samples, parts, allow_leaks=allow_leaks)
    for step in search(
        recipe, samples, device, folder, space=space, trials=trials, test_folds=test_folds
    ):
        yield step
        if isinstance(step, SearchResult):
            yield Written(write_search(folder, step, command))


def write_search(folder: Path, result: SearchResult, command: str) -> tuple[Path, ...]:
    """Write ``best.yaml``, ``search.json`` and ``trials.csv``; return their paths.

    Parameters
    ----------
    folder : Path
        Must exist.
    result : SearchResult
        Outcome of the search.
    command : str
        How it is made again.

    Raises
    ------
    ResultError, StorageFullError
        If they cannot be written, or the disk is full.
    """
    facts = {
        "command": command,
        "settings": result.settings,
        "set aside before the search": {
            "as found": _plain(result.metrics),
            "as before": _plain(result.before),
        },
    }
    best, page, table = (folder / name for name in ("best.yaml", "search.json", "trials.csv"))
    kept = "finished trials are kept"
    with storage_errors(folder, kept):
        write_whole(page, json.dumps(facts, indent=1) + "\n")
        write_whole(best, result.recipe.as_yaml())
    with (
        storage_errors(table, kept),
        atomic_write(table) as partial,
        partial.open("w", newline="", encoding="utf-8") as file,
    ):
        names = sorted({name for t in result.trials for name in t.settings})
        rows: list[list[object]] = [["trial", "state", "validation loss", *names]]
        rows += [
            [t.number, t.state, t.value, *(t.settings.get(n, "") for n in names)]
            for t in result.trials
        ]
        write_csv(file, rows, line_end="\r\n")
    return best, page, table


def _plain(rows: Mapping[str, Interval]) -> dict[str, object]:
    return {name: value.model_dump(exclude={"how"}) for name, value in rows.items()}
