"""How good a slide-level model is beside its tile model alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from napari_liverdx.core.errors import DataError
from napari_liverdx.metrics.bootstrap import grouped_interval
from napari_liverdx.metrics.classification import Metric, area_under_curve, balanced_accuracy
from napari_liverdx.metrics.predictions import LabeledPredictions
from napari_liverdx.mil.bags import UNKNOWN, Bag
from napari_liverdx.mil.file import LoadedMilModel
from napari_liverdx.mil.train import BagScores, score_bags
from napari_liverdx.models.card import Interval

__all__ = ["compare_bags"]

Pair = tuple[Interval | None, Interval | None]


def compare_bags(context: LoadedMilModel, bags: Sequence[Bag]) -> dict[str, tuple[str, str]]:
    """Compare the metrics of tiles and slides, of the tile model alone and with the context.

    The tile model alone predicts a slide by its highest tile probability: for each pathological
    class the largest probability of any tile, and for normal the rest of the largest of these.

    Parameters
    ----------
    context : LoadedMilModel
        The slide-level model.
    bags : sequence of Bag
        Slides it did not learn from.

    Returns
    -------
    dict of str to (str, str)
        Metric → value with interval of the tile model, and with the context; "" where it has none.

    Raises
    ------
    DataError
        If neither tiles nor slides are labeled.
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
) -> dict[str, Pair]:
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
    return _rows(
        "tiles",
        LabeledPredictions.of(before, labels, groups),
        LabeledPredictions.of(after, labels, groups),
    )


def _slides(
    context: LoadedMilModel, bags: Sequence[Bag], scores: Sequence[BagScores]
) -> dict[str, Pair]:
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
        after = LabeledPredictions.of(
            context.slide_probabilities(logits).double().numpy(), labels, groups
        )
    return _rows("slides", LabeledPredictions.of(np.array(before), labels, groups), after)


def _rows(
    what: str, before: LabeledPredictions, after: LabeledPredictions | None
) -> dict[str, Pair]:
    metrics: dict[str, Metric] = {"balanced accuracy": balanced_accuracy, "AUC": area_under_curve}
    return {
        f"{what}: {name}": (
            grouped_interval(metric, before),
            None if after is None else grouped_interval(metric, after),
        )
        for name, metric in metrics.items()
    }
