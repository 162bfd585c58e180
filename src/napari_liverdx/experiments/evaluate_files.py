"""A test of a model with its files: the page and the figures as plain data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from napari_liverdx.core.errors import DataError
from napari_liverdx.experiments.evaluate import (
    Evaluation,
    evaluate_model,
    evaluation_json,
    evaluation_notices,
    evaluation_page,
    write_evaluation,
)
from napari_liverdx.experiments.plots import confusion_figure, reliability_figure, roc_figure
from napari_liverdx.experiments.written import Written
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.training.data._all import TileDataset
from napari_liverdx.training.data.config import DataConfig
from napari_liverdx.training.data.splits import of_sources
from napari_liverdx.training.train_file import Notice

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "EvaluationProgress",
    "evaluate_files",
    "evaluation_figures",
    "model_samples",
    "samples_of_split",
]


@dataclass(frozen=True, slots=True)
class EvaluationProgress:
    """How far a test is.

    Attributes
    ----------
    done, total : int
        Samples.
    """

    done: int
    total: int


def model_samples(model: LoadedModel, data: Path, config: DataConfig) -> TileDataset:
    """Return labeled data as tiles of a model: its classes, pixel size and tile size.

    Raises
    ------
    DataError
        If the data are not as ``config`` says, or their classes are not the model's.
    """
    card = model.card
    return config.samples(
        data,
        card.scheme.names,
        mpp=card.mpp,
        tile_size=card.tile_size,
        attributes=model.network.attributes if config.kind == "table" else (),
    )


def samples_of_split(
    samples: TileDataset, data: Path, sources: Sequence[str] = (), split: str | None = None
) -> NDArray[np.intp]:
    """Return the indices of the samples of some sources and a split.

    Parameters
    ----------
    samples : TileDataset
        The labeled pictures.
    data : Path
        Where they are, for messages.
    sources : sequence of str
        All if none is named.
    split : str, optional
        ``train``, ``val`` or ``test``; all by default.

    Raises
    ------
    DataError
        If there is no such sample.
    """
    chosen = of_sources(samples, sources)
    if split is not None:
        chosen = chosen[samples.splits[chosen] == split]
        if not len(chosen):
            raise DataError(f"{data}: no sample belongs to the split {split!r}")
    return chosen


def evaluate_files(
    model: LoadedModel,
    samples: TileDataset,
    chosen: NDArray[np.intp],
    device: torch.device,
    folder: Path,
    *,
    data: Path,
    command: str = "",
) -> Iterator[EvaluationProgress | Notice | Evaluation | Written]:
    """Test a model on samples and write ``evaluation.html`` and ``evaluation.json``.

    Parameters
    ----------
    model, samples, chosen, device
        See `evaluate_model`.
    folder : Path
        Of the files.
    data : Path
        Where the samples are, for notices.
    command : str
        How the test is made again, for its files.

    Yields
    ------
    EvaluationProgress
        While the model runs.
    Notice
        What makes the figures look better, or surer, than they are.
    Evaluation, Written
        At the end.

    Raises
    ------
    DataError
        See `evaluate_model`; or if the folder cannot be written to.
    """
    for step in evaluate_model(model, samples, device, chosen):
        if not isinstance(step, Evaluation):
            yield EvaluationProgress(step, len(chosen))
            continue
        notices = evaluation_notices(model, samples, chosen, data)
        yield from map(Notice, notices)
        page = evaluation_page(step, model, command, evaluation_figures(step, model), notices)
        write_evaluation(folder, page, evaluation_json(step, model, command))
        yield step
    yield Written((folder / "evaluation.html", folder / "evaluation.json"))


def evaluation_figures(result: Evaluation, model: LoadedModel) -> dict[str, Figure]:
    """Return the figures of a test by their headings.

    Raises
    ------
    DataError
        If matplotlib is not installed.
    """
    clear = result.predictions.only_clear()
    titles = [c.title for c in model.card.classes]
    return {
        "Confusion": confusion_figure(result.confusion, titles),
        "ROC": roc_figure(clear.probabilities.astype("float64"), clear.labels, titles),
        "Reliability": reliability_figure(clear.probabilities, clear.labels),
    }
