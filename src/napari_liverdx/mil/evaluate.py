"""How good a slide context is beside its tile model alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from napari_liverdx.core.errors import DataError
from napari_liverdx.metrics.bootstrap import balanced_accuracy, grouped_interval
from napari_liverdx.metrics.classification import area_under_curve
from napari_liverdx.mil.bags import UNKNOWN, Bag
from napari_liverdx.mil.file import LoadedMilModel
from napari_liverdx.mil.train import BagScores, score_bags
from napari_liverdx.models.card import Interval

__all__ = ["compare_bags"]

Measure = Callable[[NDArray[np.float64], NDArray[np.intp]], float]


def compare_bags(context: LoadedMilModel, bags: Sequence[Bag]) -> dict[str, tuple[str, str]]:
    """Metrics of tiles and slides, of the tile model alone and with the context.

    The tile model alone calls a slide by its most suspicious tile: for each pathological class
    the largest probability of any tile, and for normal the rest of the largest of these.

    Parameters
    ----------
    context : LoadedMilModel
        The slide context.
    bags : sequence of Bag
        Slides it did not learn from.

    Returns
    -------
    dict of str to (str, str)
        Metric → value with interval of the tile model, and with the context; "" where it has none.

    Raises
    ------
    DataError
        If neither tiles nor slides are labelled.
    """
    scores = score_bags(context.network, bags)
    rows = {**_tiles(context, bags, scores), **_slides(context, bags, scores)}
    if not rows:
        raise DataError("neither a tile nor a slide of these bags has a label to test against")
    return {
        name: ("" if before is None else str(before), "" if after is None else str(after))
        for name, (before, after) in rows.items()
    }


def _tiles(
    context: LoadedMilModel, bags: Sequence[Bag], scores: Sequence[BagScores]
) -> dict[str, tuple[Interval | None, Interval | None]]:
    known = [b.tile_labels != UNKNOWN for b in bags]
    labels = np.concatenate([b.tile_labels[k] for b, k in zip(bags, known, strict=True)])
    if not len(labels):
        return {}
    groups = np.concatenate(
        [np.full(int(k.sum()), b.group) for b, k in zip(bags, known, strict=True)]
    )
    alone = np.concatenate([b.logits[:, k].T for b, k in zip(bags, known, strict=True)])
    refined = np.concatenate([s.tile_logits[:, k].T for s, k in zip(scores, known, strict=True)])
    before = torch.from_numpy(alone).softmax(dim=1).double().numpy()
    after = context.tile_probabilities(torch.from_numpy(refined)).double().numpy()
    return {
        "tiles: balanced accuracy": _pair(balanced_accuracy, before, after, labels, groups),
        "tiles: AUC": _pair(area_under_curve, before, after, labels, groups),
    }


def _slides(
    context: LoadedMilModel, bags: Sequence[Bag], scores: Sequence[BagScores]
) -> dict[str, tuple[Interval | None, Interval | None]]:
    known = [i for i, b in enumerate(bags) if b.slide_label != UNKNOWN]
    labels = np.array([bags[i].slide_label for i in known], dtype=np.intp)
    if len(np.unique(labels)) < 2:
        return {}
    groups = np.array([bags[i].group for i in known])
    pathological = context.card.scheme.pathological
    before = []
    for i in known:
        tiles = torch.from_numpy(bags[i].logits[:, bags[i].mask]).softmax(dim=0).double().numpy()
        largest = tiles[list(pathological)].max(axis=1)
        before.append([1 - largest.max(), *largest])
    after = None
    if context.gives_slide_prediction:
        logits = torch.from_numpy(np.stack([scores[i].slide_logits for i in known]))
        after = context.slide_probabilities(logits).double().numpy()
    return {
        "slides: balanced accuracy": _pair(
            balanced_accuracy, np.array(before), after, labels, groups
        ),
        "slides: AUC": _pair(area_under_curve, np.array(before), after, labels, groups),
    }


def _pair(
    metric: Measure,
    before: NDArray[np.float64],
    after: NDArray[np.float64] | None,
    labels: NDArray[np.intp],
    groups: NDArray[np.str_],
) -> tuple[Interval | None, Interval | None]:
    return (
        grouped_interval(metric, before, labels, groups),
        None if after is None else grouped_interval(metric, after, labels, groups),
    )
