"""The trial of a model, a version nobody has decided on yet, and the results it made."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable
from pathlib import Path

from napari_liverdx.core.errors import ModelFileError
from napari_liverdx.models.card import ModelCard
from napari_liverdx.models.file import file_sha256
from napari_liverdx.models.versions import accept_trial, discard_trial, trial_path
from napari_liverdx.results.locate import results_of_model
from napari_liverdx.results.review_log import has_review

__all__ = ["accept", "discard", "remove_results", "trial_results"]


def trial_results(
    card: ModelCard, folder: Path | None, shown: Collection[Path] = ()
) -> tuple[Path, ...]:
    """Return the results that go with the trial: nobody reviewed them, and none is shown.

    Parameters
    ----------
    card : ModelCard
        Of any version of the model.
    folder : Path, optional
        Folder of results; without it there are none.
    shown : collection of Path
        Results that are open and stay.
    """
    if folder is None:
        return ()
    try:
        made = results_of_model(folder, file_sha256(trial_path(card)))
    except ModelFileError:
        return ()
    return tuple(path for path in made if path not in shown and not has_review(path))


def remove_results(paths: Iterable[Path]) -> None:
    """Remove results; what cannot be removed stays."""
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)


def accept(card: ModelCard, folder: Path | None, shown: Collection[Path] = ()) -> Path:
    """Make the trial the next version of its model; return its model file.

    Its results are its own from the start and stay where they are, unless another version took its
    number meanwhile: then it becomes another file, which its results do not know.

    Raises
    ------
    ModelFileError
        If the trial is gone, damaged, or cannot be moved.
    """
    made = trial_results(card, folder, shown)
    trial = file_sha256(trial_path(card))
    path = accept_trial(card)
    if file_sha256(path) != trial:
        remove_results(made)
    return path


def discard(card: ModelCard, folder: Path | None, shown: Collection[Path] = ()) -> None:
    """Remove the trial and the results it made; without a trial nothing happens."""
    made = trial_results(card, folder, shown)
    discard_trial(card)
    remove_results(made)
