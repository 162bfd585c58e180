"""Training a recipe into a model file, with its curves beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from napari_liverdx._files import LockedError, exclusive_lock
from napari_liverdx.core.errors import DataError, ResultError, storage_errors
from napari_liverdx.models.card import Interval, ModelCard
from napari_liverdx.training.audit.audit import check_leaks
from napari_liverdx.training.audit.report import Finding
from napari_liverdx.training.calibrate import save_trained
from napari_liverdx.training.config import EpochResult
from napari_liverdx.training.curves import write_curves, write_history
from napari_liverdx.training.data._all import TileDataset
from napari_liverdx.training.distributed import distributed_run, world
from napari_liverdx.training.recipe import Recipe, recipe_split, scale_notice, train_final

__all__ = ["Notice", "TrainedFile", "train_file"]


@dataclass(frozen=True, slots=True)
class Notice:
    """What people should know of what is being done.

    Attributes
    ----------
    text : str
        A sentence or two.
    """

    text: str


@dataclass(frozen=True, slots=True)
class TrainedFile:
    """A model that was trained and written.

    Attributes
    ----------
    path : Path
        Model file.
    card : ModelCard
        As it stands in the file.
    """

    path: Path
    card: ModelCard


def train_file(
    recipe: Recipe,
    samples: TileDataset,
    device: str,
    out_file: Path,
    *,
    metrics: dict[str, Interval] | None = None,
    command: str = "",
    allow_leaks: bool = False,
) -> Iterator[Finding | Notice | EpochResult | TrainedFile]:
    """Audit the data, train a recipe, and write the model with its curves.

    A run that was stopped resumes from ``OUT.checkpoint``. Of several processes (see
    `distributed_run`), only the first yields epochs and writes.

    Parameters
    ----------
    recipe : Recipe
        What to train.
    samples : TileDataset
        The labeled pictures.
    device : str
        Where to train.
    out_file : Path
        Model file to write; ``OUT.history.csv`` and ``OUT.curves.png`` stand beside it.
    metrics : dict of str to Interval, optional
        Figures for the card.
    command : str
        How the model is made again, for the card.
    allow_leaks : bool
        Whether to go on if the data leak.

    Yields
    ------
    Finding
        Of the audit, but for mere notes.
    Notice
        Of what was left out of the data, if pictures are scaled to tiles, or the curves cannot be
        drawn.
    EpochResult
        After each epoch.
    TrainedFile
        At the end.

    Raises
    ------
    DataError
        If the data leak and that is not allowed, or cannot be split, or another program is
        training into the same file.
    ResultError, StorageFullError
        If something cannot be written, or the disk is full; a run resumes from its last epoch.
    """
    checkpoint = out_file.with_name(out_file.name + ".checkpoint")
    split = recipe_split(recipe, samples)
    yield from check_leaks(samples, split.parts, allow_leaks=allow_leaks)
    yield from map(Notice, samples.notes)
    if said := scale_notice(recipe, samples):
        yield Notice(said)
    history: list[EpochResult] = []
    with distributed_run(device) as place, _sole_trainer(out_file):
        for step in train_final(
            recipe, samples, place, metrics=metrics, command=command, checkpoint=checkpoint
        ):
            if world()[0] != 0:
                continue
            if isinstance(step, EpochResult):
                history.append(step)
                yield step
                continue
            network, trained = step
            card = save_trained(out_file, network, trained, samples, split, place)
            yield from _draw_curves(out_file, history)
            checkpoint.unlink(missing_ok=True)
            yield TrainedFile(out_file, card)


@contextmanager
def _sole_trainer(out_file: Path) -> Iterator[None]:
    """Hold the lock of a training; two would overwrite each other's checkpoints."""
    if world()[0] != 0:
        yield
        return
    with ExitStack() as held:
        with storage_errors(out_file, "nothing was lost"):
            out_file.parent.mkdir(parents=True, exist_ok=True)
            try:
                held.enter_context(exclusive_lock(out_file.with_name(out_file.name + ".lock")))
            except LockedError as error:
                raise DataError(
                    f"{out_file}: another program is training this model ({error}); wait for it, "
                    "or give another name"
                ) from error
        yield


def _draw_curves(out_file: Path, history: list[EpochResult]) -> Iterator[Notice]:
    try:
        write_history(out_file, history)
        write_curves(out_file, history)
    except (DataError, ResultError) as error:
        yield Notice(f"no image of the curves: {error}")
