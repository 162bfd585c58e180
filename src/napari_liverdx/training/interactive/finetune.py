"""Fine-tuning a model on annotations, and what that did to it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from napari_liverdx._version import __version__
from napari_liverdx.metrics.bootstrap import grouped_interval
from napari_liverdx.metrics.classification import balanced_accuracy
from napari_liverdx.metrics.predictions import LabeledPredictions
from napari_liverdx.models.architectures.base import TileModel
from napari_liverdx.models.card import Interval, ModelCard
from napari_liverdx.models.file import (
    LoadedModel,
    load_model_file,
    rewrite_model_file,
    save_model_file,
    writing_model,
)
from napari_liverdx.models.versions import version_fields
from napari_liverdx.training.config import EpochResult, TrainConfig
from napari_liverdx.training.examples import predict_examples
from napari_liverdx.training.interactive.corrections import AnnotationDataset
from napari_liverdx.training.interactive.head import EncodingProgress, finetune_head
from napari_liverdx.training.interactive.split import AnnotationSplit
from napari_liverdx.training.loop import OnBatch
from napari_liverdx.training.transfer import TrainJob, fine_tune

__all__ = [
    "ClassTest",
    "FinetuneResult",
    "HeldOutTest",
    "finetune",
    "finetune_config",
    "version_card",
]

_GROUPS_FOR_INTERVAL = 5
Places = dict[str, tuple[tuple[float, float, float, float], ...]]


@dataclass(frozen=True, slots=True)
class ClassTest:
    """How many held-out tiles of a class were predicted correctly.

    Attributes
    ----------
    title : str
    tiles, before, after : int
        Held out; predicted correctly by the earlier version and by the fine-tuned one.
    """

    title: str
    tiles: int
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class HeldOutTest:
    """The earlier version and the fine-tuned one on tiles that trained neither nor any before.

    That holds of fine-tuning on this page. What the model learned from before its first
    fine-tuning stands in its card alone.

    Attributes
    ----------
    by : {"slide", "place"}
        What was held out whole.
    classes : tuple of ClassTest
    before, after : Interval
        Balanced accuracy.
    """

    by: Literal["slide", "place"]
    classes: tuple[ClassTest, ...]
    before: Interval
    after: Interval

    @property
    def tiles(self) -> int:
        """Number of held-out tiles."""
        return sum(c.tiles for c in self.classes)


@dataclass(frozen=True, slots=True, eq=False)
class FinetuneResult:
    """A fine-tuned model, saved.

    Attributes
    ----------
    path : Path
    card : ModelCard
    test : HeldOutTest
    """

    path: Path
    card: ModelCard
    test: HeldOutTest


def finetune_config(epochs: int = 20) -> TrainConfig:
    """Return settings that take no more than a minute or two on two processor cores.

    The encoder stays as it is: few tiles cannot improve it, and nearly all the time goes into it.

    Parameters
    ----------
    epochs : int
        At most.
    """
    return TrainConfig(
        epochs=epochs,
        warmup_epochs=0,
        frozen_share=1.0,
        tiles_per_epoch=96,
        batch_size=16,
        ema_decay=0.95,
        patience=6,
    )


def finetune(
    model: LoadedModel,
    samples: AnnotationDataset,
    split: AnnotationSplit,
    path: Path,
    device: torch.device,
    *,
    config: TrainConfig | None = None,
    on_batch: OnBatch | None = None,
) -> Iterator[EncodingProgress | EpochResult | FinetuneResult]:
    """Tune a copy of a model, save it, and test both on what was held out.

    Parameters
    ----------
    model : LoadedModel
        Stays as it is.
    samples : AnnotationDataset
        What was annotated.
    split : AnnotationSplit
        Which of them train, choose the epoch, and are held out.
    path : Path
        Model file to write.
    device : torch.device
        Where to run.
    config : TrainConfig, optional
        `finetune_config` by default.
    on_batch : callable, optional
        See `fine_tune`.

    Yields
    ------
    Looked, EpochResult
        While it goes on.
    Lesson
        At the end; not if ``on_batch`` ended the training.
    """
    config = config or finetune_config()
    network = copy.deepcopy(model.network)
    epoch: EpochResult | None = None
    for step in _tune(model, network, samples, split, config, device, on_batch):
        yield step
        epoch = step if isinstance(step, EpochResult) else epoch
    if epoch is None or not (epoch.stopped_early or epoch.epoch >= config.epochs):
        return
    # A few tiles make a model surer of itself than it was; they are no reason to believe it.
    temperature = max(model.card.temperature, round(epoch.temperature, 4))
    card = version_card(model, samples, split, temperature)
    with writing_model(path) as partial:
        save_model_file(partial, network, card)
        test = _test(model, load_model_file(partial), samples, split, device)
        metrics = {"balanced accuracy": test.after, "balanced accuracy before": test.before}
        card = card.model_copy(update={"metrics": metrics})
        rewrite_model_file(partial, card, {}, partial)
    yield FinetuneResult(path, card, test)


def _tune(
    model: LoadedModel,
    network: TileModel,
    samples: AnnotationDataset,
    split: AnnotationSplit,
    config: TrainConfig,
    device: torch.device,
    on_batch: OnBatch | None,
) -> Iterator[EncodingProgress | EpochResult]:
    job = TrainJob(samples, split.train, split.choose, model.card.tile_size, config, device)
    if network.is_split:
        return finetune_head(model, network, job, on_batch)
    # Other architectures do not show what lies between their encoder and their heads.
    apart = replace(job, samples=_with_validation_apart(samples, split))
    return fine_tune(network, apart, on_batch=on_batch)


def _with_validation_apart(samples: AnnotationDataset, split: AnnotationSplit) -> AnnotationDataset:
    """Return the same samples with the validation tiles in groups of their own.

    They lie among those that train, and the training loop refuses a group in both parts; that
    they are no test is said in the card. The given samples stay as they are.
    """
    groups = samples.groups.astype(object)
    groups[split.choose] += " (validation)"
    apart = copy.copy(samples)
    apart.groups = groups.astype(np.str_)
    return apart


def _test(
    before: LoadedModel,
    after: LoadedModel,
    samples: AnnotationDataset,
    split: AnnotationSplit,
    device: torch.device,
) -> HeldOutTest:
    size = before.card.tile_size
    examples = [samples.eval_tiles(int(i), size, 1)[0] for i in split.held_out]
    labels = samples.labels[split.held_out]
    slides = samples.slide_of[split.held_out]
    groups = slides.astype(np.str_) if split.by == "slide" else samples.groups[split.held_out]
    scores = [
        predict_examples(m.network_on(device), examples, device).logits.softmax(1).numpy()
        for m in (before, after)
    ]
    how = _how(split, groups)
    intervals = [_interval(s.astype(np.float64), labels, groups, how) for s in scores]
    hits = [s.argmax(axis=1) == labels for s in scores]
    classes = tuple(
        ClassTest(
            samples.scheme[int(c)].title,
            int((labels == c).sum()),
            *(int(h[labels == c].sum()) for h in hits),
        )
        for c in np.unique(labels)
    )
    return HeldOutTest(split.by, classes, intervals[0], intervals[1])


def _interval(
    scores: NDArray[np.float64], labels: NDArray[np.intp], groups: NDArray[np.str_], how: str
) -> Interval:
    # With fewer groups an interval would show the draw of groups, not what it leaves unknown.
    if len(np.unique(groups)) < _GROUPS_FOR_INTERVAL:
        groups = np.arange(len(labels)).astype(np.str_)
    predictions = LabeledPredictions.of(scores, labels, groups)
    return grouped_interval(balanced_accuracy, predictions, how=how)


def _how(split: AnnotationSplit, groups: NDArray[np.str_]) -> str:
    n, count = len(split.held_out), len(np.unique(groups))
    drawn = count >= _GROUPS_FOR_INTERVAL
    where = (
        f"{n} tiles of {count} held-out slides"
        if split.by == "slide"
        else f"{n} tiles of {count} test regions on the annotated slides; a result from the "
        "same slide is optimistic"
    )
    units = "slides" if split.by == "slide" else "places"
    interval = (
        f"95 % interval over {units}"
        if drawn
        else f"too few {units} for an interval over them; over tiles it is too narrow"
    )
    return f"{where}; {interval}"


def version_card(
    model: LoadedModel, samples: AnnotationDataset, split: AnnotationSplit, temperature: float
) -> ModelCard:
    """Return the card of a version: what it was fine-tuned on, and what is no longer known."""
    old = model.card
    taught = np.setdiff1d(np.arange(len(samples)), split.held_out)
    slides = len(np.unique(samples.slide_of[taught]))
    counts = ", ".join(
        f"{n} {samples.scheme[c].title}"
        for c in range(len(samples.classes))
        if (n := np.count_nonzero(samples.labels[taught] == c))
    )
    fields = version_fields(model)
    untaught = [
        t.title for c, t in enumerate(samples.scheme) if not (samples.labels[taught] == c).any()
    ]
    outcome = (
        f"Version {fields['version']} was tuned from version {old.version} ({old.name}, SHA-256 "
        f"{model.sha256[:12]}) on {len(taught)} tiles of {slides} "
        f"{'slide' if slides == 1 else 'slides'} annotated by one person ({counts}), the encoder "
        "frozen."
    )
    doubts = (
        f"Version {fields['version']} was tuned on {slides} "
        f"{'slide' if slides == 1 else 'slides'}: whether it is better or worse than version "
        f"{old.version} elsewhere is not known, nor what it forgot of the data before. Figures, "
        "out-of-distribution statistics and error rates of the earlier version do not hold for it "
        "and "
        "are left out."
    )
    if untaught:
        doubts += f" Not annotated: {', '.join(untaught)}."
    return old.model_copy(
        update={
            **fields,
            "training_data": _joined(outcome, old.training_data),
            "limitations": _joined(doubts, old.limitations),
            "temperature": temperature,
            "metrics": {},
            "ood": {},
            "conformal": {},
            "trained_on": _trained_on(old, samples.places(taught)),
            "command": "Fine-tune page of the napari dock",
            "versions": {
                **old.versions,
                "napari-liverdx": __version__,
                "torch": torch.__version__,
                "start": f"{old.name} {old.version}",
            },
        }
    )


def _trained_on(old: ModelCard, places: Places) -> Places:
    """Return where a version and all it comes from were trained, each place once."""
    return {
        slide: tuple(dict.fromkeys((*old.trained_on.get(slide, ()), *places.get(slide, ()))))
        for slide in dict.fromkeys((*old.trained_on, *places))
    }


def _joined(*texts: str) -> str:
    return "\n".join(t for t in texts if t)
