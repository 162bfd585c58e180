"""Training a slide-level model from tile labels, from slide labels alone, or from both."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_liverdx.core.errors import DataError, ModelFileError
from napari_liverdx.core.grid import TileGrid, TileIndex
from napari_liverdx.mil.bags import UNKNOWN, Bag, bag_of_result
from napari_liverdx.mil.file import LoadedMilModel
from napari_liverdx.mil.loss import BagBatch, MilConfig, MilLoss, class_weights
from napari_liverdx.mil.network import SlideContext
from napari_liverdx.models.calibration import fit_temperature
from napari_liverdx.models.soundness import are_probabilities
from napari_liverdx.results.slide_prediction import SlidePrediction, TopAttentionTile
from napari_liverdx.results.store import ResultStore, TileState
from napari_liverdx.training.config import EpochResult
from napari_liverdx.training.loop import TrainTask, Validation, fit
from napari_liverdx.training.state import TrainState

__all__ = [
    "BagScores",
    "MilConfig",
    "apply_mil_model",
    "fitted_temperatures",
    "score_bags",
    "split_bags",
    "train_mil",
]


S = TypeVar("S", bound=np.generic)

_DECIDING = 10
"""Number of tiles that a call names."""


@dataclass(frozen=True, slots=True, eq=False)
class BagScores:
    """What a slide-level model says of one bag.

    Attributes
    ----------
    tile_logits : ndarray of float32, shape (classes, rows, columns)
    slide_logits : ndarray of float32, shape (slide classes,)
    attention : ndarray of float32, shape (rows, columns)
    """

    tile_logits: NDArray[np.float32]
    slide_logits: NDArray[np.float32]
    attention: NDArray[np.float32]


def split_bags(
    bags: Sequence[Bag], parts: int, seed: int = 0
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Split into training and validation bags; one of ``parts`` groups of each kind validates.

    Groups are of a kind if the same slide labels occur in them.

    Raises
    ------
    DataError
        If there are fewer than two groups.
    """
    kinds: dict[tuple[int, ...], list[str]] = defaultdict(list)
    groups = sorted({b.group for b in bags})
    if len(groups) < 2:
        raise DataError("training needs slides of at least two groups (patients), one to validate")
    for group in groups:
        labels = sorted({b.slide_label for b in bags if b.group == group})
        kinds[tuple(labels)].append(group)
    rng = np.random.default_rng(seed)
    held_out: set[str] = set()
    for members in kinds.values():
        count = round(len(members) / parts) or int(len(members) > 1)
        held_out |= set(rng.permutation(members)[:count].tolist())
    held_out = held_out or {groups[int(rng.integers(len(groups)))]}
    val = np.array([b.group in held_out for b in bags])
    return np.flatnonzero(~val), np.flatnonzero(val)


def train_mil(
    network: SlideContext,
    bags: Sequence[Bag],
    train: NDArray[np.intp],
    val: NDArray[np.intp],
    *,
    pathological: Sequence[int],
    config: MilConfig,
    device: torch.device | None = None,
) -> Iterator[EpochResult]:
    """Train ``network`` in place; stop it by closing the generator.

    Tile labels count by cross-entropy, each class with the same weight. Slide labels count in two
    ways: cross-entropy of the slide's logits (attention-based multiple-instance learning, Ilse et
    al. 2018), and through tiles: no tile of a normal slide is diseased, and the most probable
    ones of a diseased slide are (as in Sun et al. 2020, who select instances by score).

    When the generator ends the network holds the weights of the epoch with the best validation
    loss, on the CPU and in evaluation mode.

    Parameters
    ----------
    network : SlideContext
        Its statistics of the embeddings are set from the training bags.
    bags : sequence of Bag
        All slides.
    train, val : ndarray of int
        Which to learn from and which to choose the epoch by.
    pathological : sequence of int
        Tile class of each slide class after the first (normal) one.
    config : MilConfig
        Settings of the run.
    device : torch.device, optional
        CPU by default.

    Yields
    ------
    EpochResult
        Without a balanced accuracy, which is NaN.

    Raises
    ------
    DataError
        If labels are missing, a group stands on both sides, or the loss is not finite.
    """
    _check(bags, train, val, config)
    device = device or torch.device("cpu")
    network.set_statistics(*_statistics([bags[i] for i in train]))
    network.to(device)
    loss_of = MilLoss(
        config, class_weights([bags[i] for i in train], network.n_classes), tuple(pathological)
    )
    task = _BagTask([bags[i] for i in train], [bags[i] for i in val], loss_of, device)
    rates = [(network.parameters(), config.learning_rate)]
    state = TrainState.start(network, rates, config.weight_decay)
    try:
        yield from fit(network, task, config.fit_settings, state)
    finally:
        network.to("cpu")


def score_bags(
    network: SlideContext, bags: Sequence[Bag], device: torch.device | None = None
) -> list[BagScores]:
    """Return what the network predicts for each bag."""
    device = device or torch.device("cpu")
    network.to(device).eval()
    scores = []
    with torch.inference_mode():
        for bag in bags:
            batch = BagBatch.of([bag], device)
            output = network(batch.embeddings, batch.logits, batch.mask)
            scores.append(BagScores(*(part[0].float().cpu().numpy() for part in output)))
    network.to("cpu")
    return scores


def fitted_temperatures(scores: Sequence[BagScores], bags: Sequence[Bag]) -> tuple[float, float]:
    """Fit temperatures of tile and slide logits on labeled bags; 1 where labels are missing."""
    tiles = [
        s.tile_logits[:, b.tile_labels != UNKNOWN].T for s, b in zip(scores, bags, strict=True)
    ]
    labels = np.concatenate([b.tile_labels[b.tile_labels != UNKNOWN] for b in bags])
    known = [i for i, b in enumerate(bags) if b.slide_label != UNKNOWN]
    slides = np.array([scores[i].slide_logits for i in known])
    called = np.array([bags[i].slide_label for i in known], dtype=np.intp)
    return (
        fit_temperature(torch.from_numpy(np.concatenate(tiles)), torch.from_numpy(labels)),
        fit_temperature(torch.from_numpy(slides), torch.from_numpy(called)),
    )


# -- running --


def apply_mil_model(
    store: ResultStore, context: LoadedMilModel, device: torch.device | None = None
) -> SlidePrediction:
    """Refine the tiles of a result, predict the slide, and store both beside the tile model's own.

    Parameters
    ----------
    store : ResultStore
        With embeddings, see `ResultStore.keep_embeddings`.
    context : LoadedMilModel
        Trained with the tile model that made the result.
    device : torch.device, optional
        CPU by default.

    Returns
    -------
    SlidePrediction

    Raises
    ------
    ModelFileError
        If the context belongs to another tile model, or gives no probabilities.
    PlanError
        If tiles overlap otherwise than those it learned from.
    ResultError
        If the result holds no embeddings or cannot be written.
    """
    manifest = store.manifest
    context.check_tile_model(manifest.model_name, manifest.model_sha256)
    context.check_overlap(manifest.overlap)
    bag = bag_of_result(store)
    if len(bag.embeddings) != context.slide.features:
        raise ModelFileError(
            f"{context.path}: wants embeddings of {context.slide.features} numbers, the tile model "
            f"gives {len(bag.embeddings)}; the file is inconsistent"
        )
    (scores,) = score_bags(context.network, [bag], device)
    logits = torch.from_numpy(scores.tile_logits)[None]
    tiles = context.tile_probabilities(logits)
    slide = context.slide_probabilities(torch.from_numpy(scores.slide_logits)[None])
    if not (are_probabilities(tiles) and are_probabilities(slide)):
        raise ModelFileError(
            f"{context.path}: what the slide-level model gives is no finite number; the result is "
            "left as it was. Use another slide-level model"
        )
    refined = tiles[0].numpy() * bag.mask
    probabilities: tuple[float, ...] = ()
    if context.gives_slide_prediction:
        probabilities = tuple(round(float(v), 6) for v in slide[0])
    call = SlidePrediction(
        context_name=context.card.name,
        context_version=context.card.version,
        context_sha256=context.sha256,
        learned_from=context.slide.learned_from,
        tiles=store.count(TileState.DONE),
        classes=context.slide.classes if context.gives_slide_prediction else (),
        probabilities=probabilities,
        deciding=_deciding(manifest.grid, scores.attention, refined)
        if context.gives_slide_prediction
        else (),
    )
    store.save_slide_prediction(call, refined.astype(np.float32), scores.attention)
    return call


def _deciding(
    grid: TileGrid, attention: NDArray[np.float32], refined: NDArray[np.float32]
) -> tuple[TopAttentionTile, ...]:
    order = np.argsort(-attention, axis=None, kind="stable")[:_DECIDING]
    places = [np.unravel_index(i, attention.shape) for i in order]
    return tuple(
        TopAttentionTile(
            row=int(row),
            col=int(col),
            rect=grid.rect(TileIndex(int(row), int(col))),
            weight=float(attention[row, col]),
            probabilities=tuple(float(p) for p in refined[:, row, col]),
        )
        for row, col in places
        if attention[row, col] > 0
    )


# -- inside --


class _BagTask(TrainTask[SlideContext, BagBatch]):
    """Batches of slides, each turned, mirrored and thinned at random."""

    def __init__(
        self, train: Sequence[Bag], val: Sequence[Bag], loss_of: MilLoss, device: torch.device
    ) -> None:
        self.train, self.val, self.loss_of, self.device = train, val, loss_of, device

    @property
    def steps(self) -> int:
        return -(-len(self.train) // self.loss_of.config.batch_size)

    def prepare(self, network: SlideContext, epoch: int) -> None:
        """Let all of it learn."""

    def batches(self, epoch: int) -> Iterator[BagBatch]:
        config = self.loss_of.config
        rng = np.random.default_rng((config.seed, epoch))
        torch.manual_seed(config.seed * 1_000_003 + epoch)
        order = rng.permutation(len(self.train))
        for start in range(0, len(order), config.batch_size):
            chosen = order[start : start + config.batch_size]
            varied = [_varied(self.train[i], rng, config.drop_tiles) for i in chosen]
            yield BagBatch.of(varied, self.device)

    def loss(self, network: SlideContext, batch: BagBatch) -> Tensor:
        return self.loss_of(network(batch.embeddings, batch.logits, batch.mask), batch)

    @torch.no_grad()
    def validate(self, network: SlideContext) -> Validation:
        network.eval()
        batches = [BagBatch.of([bag], self.device) for bag in self.val]
        return Validation(float(np.mean([float(self.loss(network, b)) for b in batches])))


def _varied(bag: Bag, rng: np.random.Generator, drop: float) -> Bag:
    """Return the bag turned and mirrored at random, some tiles hidden; sections have no upright."""
    turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))
    kept = bag.mask & (rng.random(bag.mask.shape) >= drop)
    kept = kept if kept.any() else bag.mask

    def moved(array: NDArray[S]) -> NDArray[S]:
        turned: NDArray[S] = np.rot90(array, turns, (-2, -1))
        return np.ascontiguousarray(turned[..., ::-1] if mirrored else turned)

    return Bag(
        bag.name,
        bag.group,
        moved(bag.embeddings),
        moved(bag.logits),
        moved(kept),
        moved(bag.tile_labels),
        bag.slide_label,
    )


def _statistics(bags: Sequence[Bag]) -> tuple[Tensor, Tensor]:
    values = np.concatenate([b.embeddings[:, b.mask].T for b in bags])
    return (
        torch.from_numpy(values.mean(axis=0, dtype=np.float64)).float(),
        torch.from_numpy(values.std(axis=0, dtype=np.float64)).float(),
    )


def _check(
    bags: Sequence[Bag], train: NDArray[np.intp], val: NDArray[np.intp], config: MilConfig
) -> None:
    if not len(train) or not len(val):
        raise DataError("training needs slides to learn from and slides to validate on")
    shared = {bags[i].group for i in train} & {bags[i].group for i in val}
    if shared:
        raise DataError(
            f"group {min(shared)!r} stands in training and validation; split by patient"
        )
    for what, part in (("training", train), ("validation", val)):
        labels = {bags[i].slide_label for i in part} - {UNKNOWN}
        tiles = any((bags[i].tile_labels != UNKNOWN).any() for i in part)
        if config.learn_from != "slides" and not tiles:
            raise DataError(
                f"no {what} slide has labeled tiles; give annotations, or learn from slides"
            )
        if config.learn_from != "tiles" and len(labels) < 2:
            raise DataError(
                f"the {what} slides have fewer than two labels; slide labels need contrast to "
                f"learn from"
            )
