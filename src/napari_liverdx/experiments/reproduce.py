"""The founding study's protocol: search, compare, train, test on independent images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from napari_liverdx._files import atomic_write
from napari_liverdx.core.errors import DataError
from napari_liverdx.experiments.compare_config import (
    Comparison,
    load_comparison,
    with_found_settings,
)
from napari_liverdx.experiments.compare_files import CompareStep, compare_files
from napari_liverdx.experiments.evaluate import Evaluation
from napari_liverdx.experiments.evaluate_files import (
    EvaluationProgress,
    evaluate_files,
    model_samples,
    samples_of_split,
)
from napari_liverdx.experiments.keys import reproduction_key
from napari_liverdx.experiments.search import SearchResult, Trial
from napari_liverdx.experiments.search_files import search_files
from napari_liverdx.models.zoo import load_model
from napari_liverdx.training.config import EpochResult
from napari_liverdx.training.recipe import Recipe, load_recipe
from napari_liverdx.training.train_file import TrainedFile, train_file

__all__ = ["ReproduceStep", "Stage", "Study", "reproduce_study", "study_recipe"]

FOUNDING = ("cnn-rnn", "cnn", "rnn-subtiles")
"""Models that the founding study compared; the first is searched and trained."""


@dataclass(frozen=True, slots=True)
class Study:
    """What is reproduced, on what, and how.

    Attributes
    ----------
    comparison : Comparison
        Its models and their settings.
    data : Path
        Folder with train/CLASS and test/CLASS, or a table that states the split.
    folder : Path
        For everything that is written.
    trials : int
        Settings tried in the search.
    all_models : bool
        Whether to compare all of the comparison's models, and not the founding study's alone.
    folds, epochs : int, optional
        Instead of the comparison's and the recipe's.
    """

    comparison: Comparison
    data: Path
    folder: Path
    trials: int = 20
    all_models: bool = False
    folds: int | None = None
    epochs: int | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the models compared."""
        models = self.comparison.models
        return tuple(m.name for m in models if self.all_models or m.name in FOUNDING)


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the study that begins; what follows is its steps.

    Attributes
    ----------
    number : int
        1 to 4.
    title : str
        What is done.
    total : int
        Trials, folds or epochs that it takes at most; 0 if none of them.
    """

    number: int
    title: str
    total: int


ReproduceStep = (
    Stage
    | CompareStep
    | tuple[int, EpochResult]
    | Trial
    | SearchResult
    | EpochResult
    | TrainedFile
    | EvaluationProgress
    | Evaluation
)


def reproduce_study(
    study: Study, device: str, *, command: str = "", allow_leaks: bool = False
) -> Iterator[ReproduceStep]:
    """Search settings, compare the models on the same folds, train the best, test it.

    All of it resumes: what stands in the folder is not done again.

    Parameters
    ----------
    study : Study
        What to do.
    device : str
        Where to train and test.
    command : str
        How the study is made again, for its files.
    allow_leaks : bool
        Whether to go on if the data leak.

    Yields
    ------
    Stage
        As each of the four begins.
    others
        The steps of `search_files`, `compare_files`, `train_file` and `evaluate_files`.

    Raises
    ------
    DataError
        If the data do not fit the protocol, leak and that is not allowed, or cannot be split.
    """
    start, place = study_recipe(study), torch.device(device)
    folder, data = study.folder, study.data
    first = folder / "recipe.yaml"
    _write(first, start.as_yaml())

    yield Stage(1, "settings of the CNN+RNN", study.trials)
    # What is searched is what stands in the file.
    recipe = load_recipe(str(first))
    yield from search_files(
        recipe,
        recipe.samples(data),
        place,
        folder / "search",
        trials=study.trials,
        command=command,
        allow_leaks=allow_leaks,
    )
    found = folder / "search" / "best.yaml"
    best = load_recipe(str(found))

    comparison = _compared(study, found, best)
    yield Stage(2, "CNN, RNN and CNN+RNN on the same folds", comparison.folds)
    shared = next(iter(comparison.recipes().values())).samples(data)
    yield from compare_files(
        comparison, shared, place, folder / "compare", command=command, allow_leaks=allow_leaks
    )

    yield Stage(3, "the model", best.train.epochs)
    model_file = folder / f"{start.card['name']}.safetensors"
    made_of = folder / "model.key"
    key = reproduction_key(found.read_text(encoding="utf-8"), start.samples(data))
    if not (model_file.exists() and made_of.exists() and key.is_of(made_of.read_text())):
        samples = best.samples(data)
        yield from train_file(
            best, samples, device, model_file, command=command, allow_leaks=allow_leaks
        )
        _write(made_of, key.id)

    yield Stage(4, "independent images", 0)
    model = load_model(str(model_file))
    tested = model_samples(model, data, best.data)
    chosen = samples_of_split(tested, data, split="test")
    yield from evaluate_files(
        model, tested, chosen, place, folder / "evaluation", data=data, command=command
    )


def study_recipe(study: Study) -> Recipe:
    """Return the recipe that the search starts from.

    Raises
    ------
    DataError
        If the comparison lacks the models, or the data state no independent images.
    """
    recipes = study.comparison.recipes()
    if len(study.names) < 2 or FOUNDING[0] not in recipes:
        raise DataError(
            f"comparison {study.comparison.title!r} has no models named {', '.join(FOUNDING)}"
        )
    recipe = recipes[FOUNDING[0]]
    if not (recipe.samples(study.data).splits == "test").any():
        raise DataError(
            f"{study.data}: the protocol needs independent images; put the images into "
            "train/CLASS and test/CLASS, or state the split in a table"
        )
    if study.epochs is not None:
        changed = recipe.train.model_copy(update={"epochs": study.epochs})
        recipe = recipe.model_copy(update={"train": changed})
    return recipe


def _compared(study: Study, found: Path, best: Recipe) -> Comparison:
    """Write the comparison under the settings found, and read it."""
    arguments = {FOUNDING[0]: best.card["arguments"]}
    changed = with_found_settings(study.comparison, found, study.names, arguments)
    if study.folds is not None:
        changed = changed.model_copy(update={"folds": study.folds})
    file = study.folder / "comparison.yaml"
    _write(file, changed.as_yaml())
    return load_comparison(str(file))


def _write(path: Path, text: str) -> None:
    try:
        with atomic_write(path, make_folder=True) as partial:
            partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error})") from error
