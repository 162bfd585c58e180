"""Testing one model on labeled data: figures, pictures, a page."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jinja2 import ChoiceLoader, Environment, PackageLoader
from numpy.typing import NDArray
from PIL import Image

from napari_liverdx._files import write_whole
from napari_liverdx._text import storable
from napari_liverdx._version import __version__
from napari_liverdx.core.errors import DataError
from napari_liverdx.metrics.bootstrap import grouped_interval
from napari_liverdx.metrics.classification import area_under_curve, confusion_matrix
from napari_liverdx.metrics.figures import figures_of_merit
from napari_liverdx.metrics.predictions import LabeledPredictions
from napari_liverdx.models.card import Interval
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.training.data._all import TileDataset
from napari_liverdx.training.examples import DatasetOutput, predict_dataset

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "AttributeResult",
    "Evaluation",
    "WorstTile",
    "evaluate_model",
    "evaluation_json",
    "evaluation_notices",
    "evaluation_page",
    "write_evaluation",
]

_AT_ONCE = 64
_WORST = 18


@dataclass(frozen=True, slots=True, eq=False)
class WorstTile:
    """A tile of which the model is most wrongly sure.

    Attributes
    ----------
    name, group : str
        Of the sample.
    truth, answer : str
        Titles of the classes.
    probability : float
        That the model gives to the truth.
    tile : ndarray of uint8, shape (size, size, 3)
    """

    name: str
    group: str
    truth: str
    answer: str
    probability: float
    tile: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class AttributeResult:
    """How well a yes-or-no property is predicted.

    Attributes
    ----------
    auc : Interval
    yes, known : int
        Tiles that have the property, and tiles of which it is known.
    """

    auc: Interval
    yes: int
    known: int


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What a test showed.

    Attributes
    ----------
    metrics : dict of str to Interval
        On tiles whose truth is one class.
    all_metrics : dict of str to Interval
        On all tiles, each under the class it is closest to; empty if all are clear.
    confusion : ndarray of int, shape (classes, classes)
        Rows are true classes, columns predicted ones; clear tiles.
    predictions : LabeledPredictions
    worst : tuple of WorstTile
    attributes : dict of str to AttributeResult
    """

    metrics: dict[str, Interval]
    all_metrics: dict[str, Interval]
    confusion: NDArray[np.intp]
    predictions: LabeledPredictions
    worst: tuple[WorstTile, ...]
    attributes: dict[str, AttributeResult]


def evaluate_model(
    model: LoadedModel,
    samples: TileDataset,
    device: torch.device,
    chosen: NDArray[np.intp] | None = None,
    *,
    draws: int = 1000,
) -> Iterator[int | Evaluation]:
    """Test a model on samples whose classes are its own.

    Parameters
    ----------
    model : LoadedModel
        The model.
    samples : TileDataset
        Labeled pictures, with labels in the order of the model's classes.
    device : torch.device
        Where to run.
    chosen : ndarray of int, optional
        Part of the samples; all by default.
    draws : int
        Bootstrap draws.

    Yields
    ------
    int
        Samples done so far.
    Evaluation
        At the end.

    Raises
    ------
    DataError
        If there are no samples or their classes are not the model's.
    """
    index = np.arange(len(samples)) if chosen is None else chosen
    if not len(index):
        raise DataError("there are no samples to evaluate on")
    if tuple(samples.classes) != model.card.scheme.names:
        raise DataError(
            f"the data's classes are {', '.join(samples.classes)}, the model's are "
            f"{', '.join(model.card.scheme.names)}; name them alike with [data.labels] in a recipe"
        )
    network = model.network_on(device)
    parts: list[DatasetOutput] = []
    for start in range(0, len(index), _AT_ONCE):
        part = index[start : start + _AT_ONCE]
        parts.append(predict_dataset(network, samples, part, model.card.tile_size, device))
        yield min(start + _AT_ONCE, len(index))
    yield _evaluation(model, samples, parts, draws)


def _evaluation(
    model: LoadedModel, samples: TileDataset, parts: Sequence[DatasetOutput], draws: int
) -> Evaluation:
    # Logarithms of probabilities serve as logits here; see `as_logits`.
    temperature = model.card.temperature if model.card.output == "logits" else 1.0
    predictions = LabeledPredictions.joined([p.tiles(temperature) for p in parts])
    clear = predictions.only_clear()
    if not len(clear):
        raise DataError("no tile is clearly of one class; there is nothing to evaluate on")
    names = model.card.scheme.names
    return Evaluation(
        metrics=_figures(clear, names, draws),
        all_metrics={} if predictions.is_clear.all() else _figures(predictions, names, draws),
        confusion=confusion_matrix(clear.probabilities, clear.labels),
        predictions=predictions,
        worst=_worst(model, samples, predictions),
        attributes=_attributes(model.network.attributes, parts, draws),
    )


def _figures(p: LabeledPredictions, names: Sequence[str], draws: int) -> dict[str, Interval]:
    return figures_of_merit({"": p}, names, draws=draws)[""]


def _worst(
    model: LoadedModel, samples: TileDataset, p: LabeledPredictions
) -> tuple[WorstTile, ...]:
    given = p.probabilities[np.arange(len(p.labels)), p.labels]
    wrong = p.is_clear & (p.probabilities.argmax(axis=1) != p.labels)
    titles = [c.title for c in model.card.classes]
    found: list[WorstTile] = []
    for place in np.argsort(given, kind="stable"):
        if not wrong[place] or len(found) == _WORST:
            continue
        i = int(p.index[place])
        number = int(np.count_nonzero(p.index[:place] == i))
        tile = samples.eval_tiles(i, model.card.tile_size, model.network.subtiles)[number].tile
        found.append(
            WorstTile(
                samples.names[i],
                str(samples.groups[i]),
                titles[p.labels[place]],
                titles[int(p.probabilities[place].argmax())],
                float(given[place]),
                tile,
            )
        )
    return tuple(found)


def _attributes(
    names: Sequence[str], parts: Sequence[DatasetOutput], draws: int
) -> dict[str, AttributeResult]:
    pairs = [
        (p.attribute_targets, p.attribute_logits)
        for p in parts
        if p.attribute_targets is not None and p.attribute_logits is not None
    ]
    if len(pairs) < len(parts):
        return {}
    truth, logits = (np.concatenate(column) for column in zip(*pairs, strict=True))
    yes = torch.from_numpy(logits).double().sigmoid().numpy()
    groups = np.concatenate([p.groups for p in parts])
    found = {}
    for column, name in enumerate(names):
        known = ~np.isnan(truth[:, column])
        if not known.any():
            continue
        labels = truth[known, column].astype(np.intp)
        both = np.stack([1 - yes[known, column], yes[known, column]], axis=1)
        predictions = LabeledPredictions.of(both, labels, groups[known])
        auc = grouped_interval(area_under_curve, predictions, draws=draws)
        found[name] = AttributeResult(auc, int(labels.sum()), int(known.sum()))
    return found


def evaluation_notices(
    model: LoadedModel, samples: TileDataset, chosen: NDArray[np.intp], data: Path
) -> list[str]:
    """Return what makes the figures look better, or surer, than they are."""
    notices = []
    stated = set(samples.splits[chosen]) - {"", "test"}
    if stated:
        notices.append(
            f"Samples stated to be for {' and '.join(sorted(stated))} are among those tested; with "
            "--split test only the others are."
        )
    elif data.name in model.card.command.split() and "test" not in set(samples.splits[chosen]):
        notices.append(
            f"The model was trained on data called {data.name}: if these are the same images, "
            "the figures say nothing about others."
        )
    if len(np.unique(samples.groups[chosen])) == len(chosen) > 1:
        notices.append(
            "Each image counts as a group of its own. If several come from one patient, the "
            "intervals are too narrow; state groups in a recipe (--recipe)."
        )
    return notices


def evaluation_json(result: Evaluation, model: LoadedModel, command: str) -> dict[str, Any]:
    """Return the evaluation as plain data."""
    p = result.predictions

    def plain(rows: dict[str, Interval]) -> dict[str, Any]:
        return {k: v.model_dump(exclude={"how"}) for k, v in rows.items()}

    return {
        "command": command,
        "model": {
            "name": model.card.name,
            "version": model.card.version,
            "sha256": model.sha256,
        },
        "napari-liverdx": __version__,
        "tiles": len(p.labels),
        "clear tiles": int(p.is_clear.sum()),
        "groups": len(np.unique(p.groups)),
        "classes": list(model.card.scheme.names),
        "metrics": plain(result.metrics),
        "metrics on all tiles": plain(result.all_metrics),
        "confusion": result.confusion.tolist(),
        "attributes": {
            name: {"AUC": a.auc.model_dump(exclude={"how"}), "yes": a.yes, "known": a.known}
            for name, a in result.attributes.items()
        },
        "worst": [
            {
                "name": w.name,
                "group": w.group,
                "truth": w.truth,
                "answer": w.answer,
                "probability of truth": round(w.probability, 5),
            }
            for w in result.worst
        ],
    }


def evaluation_page(
    result: Evaluation,
    model: LoadedModel,
    command: str,
    figures: dict[str, Figure],
    notices: Sequence[str] = (),
) -> str:
    """Build one HTML page that refers to no other file.

    Parameters
    ----------
    result : Evaluation
        What the test showed.
    model : LoadedModel
        The model that was tested.
    command : str
        How the page is made again.
    figures : dict of str to Figure
        By heading.
    notices : sequence of str
        Warnings to show on top.
    """
    environment = Environment(
        loader=ChoiceLoader(
            [PackageLoader("napari_liverdx.experiments"), PackageLoader("napari_liverdx.reports")]
        ),
        autoescape=True,
        trim_blocks=True,
    )
    p = result.predictions
    return environment.get_template("evaluation.html").render(
        card=model.card,
        command=command,
        notices=notices,
        metrics=result.metrics,
        all_metrics=result.all_metrics,
        attributes=result.attributes,
        counts={
            "tiles": len(p.labels),
            "certain": int(p.is_clear.sum()),
            "groups": len(np.unique(p.groups)),
        },
        figures={name: _figure_png(f) for name, f in figures.items()},
        worst=[(w, _tile_png(w.tile)) for w in result.worst],
    )


def _figure_png(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return base64.b64encode(buffer.getvalue()).decode()


def _tile_png(tile: NDArray[np.uint8]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(tile).save(buffer, format="JPEG", quality=88)
    return base64.b64encode(buffer.getvalue()).decode()


def write_evaluation(folder: Path, page: str, data: dict[str, Any]) -> None:
    """Write ``evaluation.html`` and ``evaluation.json``.

    Raises
    ------
    DataError
        If the folder cannot be written to.
    """
    try:
        write_whole(folder / "evaluation.html", storable(page))
        write_whole(folder / "evaluation.json", json.dumps(data, indent=1) + "\n")
    except OSError as error:
        raise DataError(f"{folder}: cannot be written ({error.strerror or error})") from error
