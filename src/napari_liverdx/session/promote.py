"""Results of an undecided version that become those of a kept one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from napari_liverdx.core.errors import ResultError
from napari_liverdx.results.store import SUFFIX, ResultStore

__all__ = ["promote_results"]


def promote_results(
    results: Path, folder: Path, name: str, let_go: Callable[[Path], None] = lambda _: None
) -> list[str]:
    """Move results among those of other runs; nothing of a person's is overwritten or removed.

    Where a result of that name was made by another model, an earlier version with the same number
    for example, it gets another name. What cannot be moved is put beside the trial's folder.

    Parameters
    ----------
    results : Path
        Folder of what was made for the comparison; gone afterwards if all of it was moved.
    folder : Path
        Folder for results.
    name : str
        Of the version.
    let_go : callable
        Called with the path of a result before it gets another name.

    Returns
    -------
    list of str
        What a person must know.
    """
    told: list[str] = []
    stuck = ""
    for made in sorted(results.glob(f"*{SUFFIX}")):
        try:
            told += _move(made, folder / made.name, let_go)
        except OSError as error:
            stuck = stuck or error.strerror or str(error)
    if not stuck:
        shutil.rmtree(results, ignore_errors=True)
        return told
    rest, number = results.parent.with_name(f"{name}.results"), 1
    while rest.exists():
        number += 1
        rest = rest.with_name(f"{name}.results-{number}")
    try:
        os.replace(results, rest)
    except OSError:
        rest = results
    return [
        *told,
        f"{folder}: the results of the comparison cannot be moved there ({stuck}); "
        f"they are in {rest}",
    ]


def _move(made: Path, target: Path, let_go: Callable[[Path], None]) -> list[str]:
    told = []
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        if _model(target) == _model(made):
            return []
        aside = _free(target)
        let_go(target)
        os.replace(target, aside)
        told.append(f"{target.name} was made by another model of that name; it is {aside.name} now")
    try:
        os.replace(made, target)
        return told
    except OSError:
        # Between two disks a move is a copy, which may end half-way.
        pass
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        shutil.copytree(made, partial)
        os.replace(partial, target)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    shutil.rmtree(made, ignore_errors=True)
    return told


def _model(path: Path) -> str:
    """Hash of the model that made a result; its path where that cannot be told."""
    try:
        return ResultStore.open(path).manifest.model_sha256
    except ResultError:
        return str(path)


def _free(path: Path) -> Path:
    """A name beside ``path`` that nothing has."""
    base, number = path.name.removesuffix(SUFFIX), 1
    while True:
        found = path.with_name(f"{base}.earlier-{number}{SUFFIX}")
        if not found.exists():
            return found
        number += 1
