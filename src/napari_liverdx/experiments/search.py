"""Searching for better settings of a recipe, with the answer tested on groups it never saw."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_liverdx.core.errors import DataError, LiverDxError
from napari_liverdx.experiments.keys import search_key
from napari_liverdx.experiments.search_space import Range, default_space, with_settings
from napari_liverdx.metrics.figures import figures_of_merit
from napari_liverdx.models.architectures.registry import ARCHITECTURES
from napari_liverdx.models.card import Interval
from napari_liverdx.training.config import EpochResult
from napari_liverdx.training.data._all import TileDataset
from napari_liverdx.training.data.splits import grouped_folds, of_sources
from napari_liverdx.training.examples import predict_dataset
from napari_liverdx.training.keys import Key
from napari_liverdx.training.recipe import Recipe
from napari_liverdx.training.transfer import TrainJob, fine_tune

if TYPE_CHECKING:
    import optuna

__all__ = ["SearchResult", "Trial", "search", "search_split"]


Split = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]

_HOPELESS = 5
"""After so many failed trials without a completed one the search is given up."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One finished trial.

    Attributes
    ----------
    number : int
    settings : dict of str to value
    value : float
        Lowest validation loss; NaN if the trial failed.
    state : {"complete", "pruned", "fail"}
    best : bool
        Whether it is the best so far.
    """

    number: int
    settings: dict[str, Any]
    value: float
    state: str
    best: bool


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Outcome of a search.

    Attributes
    ----------
    recipe : Recipe
        With the best settings.
    settings : dict
        Those that were searched.
    trials : tuple of Trial
    metrics : dict of str to Interval
        Of the best settings, on the groups that were set aside before the search.
    before : dict of str to Interval
        Of the recipe as it was, on the same groups.
    """

    recipe: Recipe
    settings: dict[str, Any]
    trials: tuple[Trial, ...]
    metrics: dict[str, Interval]
    before: dict[str, Interval]


def search(
    recipe: Recipe,
    samples: TileDataset,
    device: torch.device,
    folder: Path,
    *,
    space: Mapping[str, Range] | None = None,
    trials: int = 20,
    test_folds: int = 5,
) -> Iterator[tuple[int, EpochResult] | Trial | SearchResult]:
    """Search settings by the validation loss, then test the best once.

    One of ``test_folds`` grouped parts is set aside before the search and decides nothing; what
    the data state to be for testing is not used. Of the rest, one of
    ``recipe.data.val_folds`` parts gives the validation loss. Trials worse than the median of
    earlier ones at the same epoch are stopped. Trials are kept in ``folder``; a search that was
    stopped goes on with what is missing.

    Parameters
    ----------
    recipe : Recipe
        Where the search starts; its own settings are the first trial.
    samples : TileDataset
        The data.
    device : torch.device
        Where to train.
    folder : Path
        Keeps the journal of trials.
    space : mapping of str to Range, optional
        Dotted names of settings; `DEFAULT_SPACE` by default.
    trials : int
        How many in all.
    test_folds : int
        One of so many parts is set aside.

    Yields
    ------
    (int, EpochResult)
        Number of the trial and what it has just done.
    Trial
        When one ends.
    SearchResult
        At the end.

    Raises
    ------
    DataError
        If Optuna is missing, or no trial could be completed.
    """
    try:
        import optuna
    except ImportError as error:
        raise DataError("searching needs Optuna; pip install 'napari-liverdx[train]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    ranges = dict(space or default_space(recipe))
    folder.mkdir(parents=True, exist_ok=True)
    split = search_split(recipe, samples, test_folds)
    # Trials of another recipe, space, data or split belong to another study.
    study = _study(folder, search_key(recipe, ranges, samples, split))
    _tidy(study, recipe, ranges)
    while (done := _finished(study)) < trials:
        # The sampler's random stream starts anew with each call; its seed goes on with the trials.
        study.sampler = optuna.samplers.TPESampler(seed=recipe.train.seed + done)
        if done >= _HOPELESS and not _completed(study):
            break
        trial = study.ask()
        yield from _run_trial(study, trial, recipe, ranges, samples, split, device)
    if not _completed(study):
        said = {str(t.user_attrs.get("error", "")) for t in study.trials} - {""}
        raise DataError(f"{folder}: no trial could be completed ({'; '.join(sorted(said))[:500]})")
    best = with_settings(recipe, study.best_params)
    names = recipe.model_card().scheme.names
    figures = {}
    for name, settled in (("best", best), ("before", recipe)):
        network, _ = settled.network()
        job = _job(settled, samples, split, device)
        yield from ((-1, epoch) for epoch in fine_tune(network, job))
        found = predict_dataset(network, samples, split[2], job.size, device)
        predictions = found.tiles().only_clear()
        figures[name] = figures_of_merit({name: predictions}, names)[name]
    ended = tuple(_as_trial(study, t) for t in study.get_trials() if t.state.is_finished())
    yield SearchResult(best, dict(study.best_params), ended, figures["best"], figures["before"])


def _study(folder: Path, key: Key) -> optuna.Study:
    """Create or load the study of a search, under 0.1.0's name where that version began it."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    storage = JournalStorage(JournalFileBackend(str(folder / "search.journal")))
    known = optuna.get_all_study_names(storage)
    former = f"liverdx-{key.former}"
    return optuna.create_study(
        study_name=former if former in known else f"liverdx-{key.id}",
        storage=storage,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=2),
        load_if_exists=True,
    )


def search_split(recipe: Recipe, samples: TileDataset, test_folds: int) -> Split:
    """Return the samples to train on, to judge a trial by, and set aside for the end.

    Raises
    ------
    DataError
        If there are too few groups.
    """
    chosen = of_sources(samples, recipe.data.train_sources)
    # What the data keep for testing stays untouched: a later test must be the first.
    chosen = chosen[samples.splits[chosen] != "test"]
    rest, test = grouped_folds(samples, chosen, test_folds, recipe.train.seed)[0]
    train, val = grouped_folds(samples, rest, recipe.data.val_folds, recipe.train.seed)[0]
    return train, val, test


def _tidy(study: optuna.Study, recipe: Recipe, ranges: Mapping[str, Range]) -> None:
    """Give up trials that a killed search left running, and queue what must be tried."""
    from optuna.trial import TrialState

    for left in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(left.number, state=TrialState.FAIL)
        if left.params:
            study.enqueue_trial(left.params, skip_if_exists=False)
    if not study.trials:
        fields = recipe.model_dump()
        card = recipe.model_card()
        factory = inspect.signature(ARCHITECTURES[card.architecture]).parameters
        stated = {n: p.default for n, p in factory.items() if p.default is not p.empty}
        fields["card"]["arguments"] = {**stated, **card.arguments}
        own = {}
        for name, values in ranges.items():
            place: Any = fields
            for part in name.split("."):
                place = place.get(part) if isinstance(place, dict) else None
            if place is not None and (not values.choices or place in values.choices):
                own[name] = place
        study.enqueue_trial(own)


def _completed(study: optuna.Study) -> bool:
    from optuna.trial import TrialState

    return bool(study.get_trials(states=(TrialState.COMPLETE,)))


def _finished(study: optuna.Study) -> int:
    from optuna.trial import TrialState

    # Failed trials count too if they failed by themselves: they would fail again.
    return sum(
        t.state in (TrialState.COMPLETE, TrialState.PRUNED)
        or (t.state is TrialState.FAIL and "error" in t.user_attrs)
        for t in study.trials
    )


def _run_trial(
    study: optuna.Study,
    trial: optuna.Trial,
    recipe: Recipe,
    ranges: Mapping[str, Range],
    samples: TileDataset,
    split: Split,
    device: torch.device,
) -> Iterator[tuple[int, EpochResult] | Trial]:
    from optuna.trial import TrialState

    settings = {name: values.suggest(trial, name) for name, values in ranges.items()}
    lowest = math.inf
    try:
        changed = with_settings(recipe, settings)
        network, _ = changed.network()
        epochs = fine_tune(network, _job(changed, samples, split, device))
        for epoch in epochs:
            lowest = min(lowest, epoch.val_loss)
            yield trial.number, epoch
            trial.report(lowest, epoch.epoch)
            if trial.should_prune():
                epochs.close()
                study.tell(trial, state=TrialState.PRUNED)
                break
        else:
            study.tell(trial, lowest)
    except (LiverDxError, RuntimeError) as error:
        # Some settings diverge or do not fit into memory; the search goes on without them.
        trial.set_user_attr("error", str(error))
        study.tell(trial, state=TrialState.FAIL)
    yield _as_trial(study, study.get_trials()[trial.number])


def _as_trial(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> Trial:
    from optuna.trial import TrialState

    reported = list(trial.intermediate_values.values())
    value = trial.value if trial.value is not None else min(reported, default=math.nan)
    complete = [t for t in study.get_trials() if t.state is TrialState.COMPLETE]
    best = bool(complete) and study.best_trial.number == trial.number
    return Trial(trial.number, dict(trial.params), float(value), trial.state.name.lower(), best)


def _job(
    recipe: Recipe, samples: TileDataset, split: Split, device: torch.device
) -> TrainJob[TileDataset]:
    size = recipe.model_card().tile_size
    return TrainJob(samples, split[0], split[1], size, recipe.train, device)
