"""A training recipe: what to learn, from what, how; and making a model from it."""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from napari_liverdx import __version__
from napari_liverdx.core.errors import DataError
from napari_liverdx.engine.data_config import DataConfig
from napari_liverdx.engine.fine_tune import EpochResult, TrainConfig, fine_tune, predict_samples
from napari_liverdx.engine.samples import Example, Samples
from napari_liverdx.engine.splits import grouped_folds
from napari_liverdx.models.base import TileModel
from napari_liverdx.models.card import Interval, ModelCard
from napari_liverdx.models.modelfile import load_model_file
from napari_liverdx.models.pretrained import load_imagenet_encoder
from napari_liverdx.models.registry import build_model

__all__ = ["Fold", "Recipe", "cross_validate", "load_recipe", "train_final"]


class Recipe(BaseModel):
    """A recipe file.

    Attributes
    ----------
    card : dict
        Fields of the `ModelCard` that are known beforehand.
    data : settings of the data
        ``kind`` is ``"masks"`` (see `MaskedSamples`) or ``"folders"`` (see `FolderSamples`);
        ``val_folds`` says that one of so many parts chooses the epoch and the temperature.
    train : TrainConfig
    start : str
        ``"imagenet"``, ``"scratch"`` or the path of an earlier model file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    card: dict[str, Any]
    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig()
    start: str = "imagenet"

    def model_card(self, **more: Any) -> ModelCard:
        """The card with ``more`` filled in."""
        return ModelCard.model_validate({**self.card, **more})

    def network(self) -> tuple[TileModel, str]:
        """A network to start from and where its weights came from.

        Raises
        ------
        ModelFileError
            If the starting weights cannot be had.
        """
        card = self.model_card()
        torch.manual_seed(self.train.seed)
        network = build_model(card.architecture, len(card.classes), card.arguments, card.tile_size)
        if self.start == "scratch":
            return network, "random"
        if self.start != "imagenet":
            earlier = load_model_file(Path(self.start))
            own = network.state_dict()
            fitting = {
                k: v
                for k, v in earlier.network.state_dict().items()
                if k in own and own[k].shape == v.shape
            }
            network.load_state_dict({**own, **fitting})
            return network, f"{earlier.card.name} {earlier.card.version}"
        encoder = getattr(network, "encoder", None)
        if encoder is None:
            return network, "random"
        return network, load_imagenet_encoder(encoder, card.arguments["encoder"])

    def samples(self, folder: Path) -> Samples:
        """The data in ``folder``.

        Raises
        ------
        DataError
            If it is not in the stated form.
        """
        return self.data.samples(folder, self.model_card().scheme.names)


def load_recipe(name_or_path: str) -> Recipe:
    """Load a packaged recipe by name or any by path.

    Raises
    ------
    DataError
        If it is missing or not valid; the message says where.
    """
    path = Path(name_or_path)
    packaged = files("napari_liverdx") / "recipes" / f"{name_or_path}.toml"
    source = path if path.suffix == ".toml" else packaged
    try:
        recipe = Recipe.model_validate(tomllib.loads(source.read_text(encoding="utf-8")))
        recipe.model_card()
    except OSError as error:
        raise DataError(f"{source}: the recipe cannot be read ({error.strerror})") from error
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"{source}: not valid TOML ({error})") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(f"{source}: {where}: {first['msg']}") from error
    return recipe


def _of_sources(samples: Samples, sources: tuple[str, ...]) -> NDArray[np.intp]:
    if not sources:
        return np.arange(len(samples))
    chosen = np.flatnonzero(np.isin(samples.sources, sources))
    if not len(chosen):
        raise DataError(f"no sample is of source {', '.join(sources)}")
    return chosen


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """Predictions of one fold's model on samples it did not learn from.

    Attributes
    ----------
    fold : int
    index : ndarray of int, shape (n,)
        Sample of each tile.
    scores : ndarray of float32, shape (n, classes)
    targets : ndarray of float32, shape (n, classes)
    second_index, second_scores, second_targets
        The same for the second source.
    temperature : float
    cell_scores, cell_targets : ndarray of float32, shape (n, classes, k, k), or None
    """

    fold: int
    index: NDArray[np.intp]
    scores: NDArray[np.float32]
    targets: NDArray[np.float32]
    second_index: NDArray[np.intp]
    second_scores: NDArray[np.float32]
    second_targets: NDArray[np.float32]
    temperature: float
    cell_scores: NDArray[np.float32] | None
    cell_targets: NDArray[np.float32] | None


def cross_validate(
    recipe: Recipe, samples: Samples, n_folds: int, device: torch.device, work: Path
) -> Iterator[EpochResult | Fold]:
    """Train and test on grouped folds; finished folds in ``work`` are not repeated.

    Within each fold, one grouped part of the training samples chooses the epoch and the
    temperature; the test fold decides nothing.

    Yields
    ------
    EpochResult
        While a fold trains.
    Fold
        When it is done.
    """
    card = recipe.model_card()
    chosen = _of_sources(samples, recipe.data.train_sources)
    second = _of_sources(samples, recipe.data.second_sources)
    second = second if recipe.data.second_sources else second[:0]
    work.mkdir(parents=True, exist_ok=True)
    # A fold of another recipe, data or number of folds has another name and is made anew.
    parts = (recipe.model_dump(mode="json"), n_folds, samples.names, samples.labels.tolist())
    key = hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
    for number, (rest, test) in enumerate(grouped_folds(samples, chosen, n_folds, 0)):
        path = work / f"fold{number}-{key}.npz"
        if not path.exists():
            network, _ = recipe.network()
            train, val = grouped_folds(samples, rest, recipe.data.val_folds, number)[0]
            temperature = 1.0
            for epoch in fine_tune(
                network,
                samples,
                train,
                val,
                size=card.tile_size,
                config=recipe.train,
                device=device,
                checkpoint=work / f"fold{number}-{key}.checkpoint",
            ):
                temperature = epoch.temperature
                yield epoch
            index, scores, targets, cells, cell_targets = _test(
                network, samples, test, card, device
            )
            more = _test(network, samples, second, card, device)
            arrays = {
                "index": index,
                "scores": scores,
                "targets": targets,
                "second_index": more[0],
                "second_scores": more[1],
                "second_targets": more[2],
                "temperature": np.array(temperature),
            }
            if cells is not None and cell_targets is not None:
                arrays |= {"cell_scores": cells, "cell_targets": cell_targets}
            partial = path.with_name(f"partial-{path.name}")
            np.savez(partial, **arrays)
            os.replace(partial, path)
            (work / f"fold{number}-{key}.checkpoint").unlink(missing_ok=True)
        with np.load(path) as stored:
            data = dict(stored)
        yield Fold(
            fold=number,
            temperature=float(data.pop("temperature")),
            cell_scores=data.pop("cell_scores", None),
            cell_targets=data.pop("cell_targets", None),
            **data,
        )


def _test(
    network: TileModel,
    samples: Samples,
    chosen: NDArray[np.intp],
    card: ModelCard,
    device: torch.device,
) -> tuple[
    NDArray[np.intp],
    NDArray[np.float32],
    NDArray[np.float32],
    NDArray[np.float32] | None,
    NDArray[np.float32] | None,
]:
    examples: list[Example] = []
    index: list[int] = []
    for i in chosen:
        tiles = samples.fixed(int(i), card.tile_size, network.cells)
        examples += tiles
        index += [int(i)] * len(tiles)
    if not examples:
        empty = np.empty((0, len(card.classes)), np.float32)
        return np.empty(0, np.intp), empty, empty, None, None
    scores, targets, cells = predict_samples(network, examples, device)
    cell_targets = [e.cells for e in examples if e.cells is not None]
    return (
        np.array(index),
        scores.numpy(),
        targets.numpy(),
        None if cells is None else cells.numpy(),
        np.stack(cell_targets) if len(cell_targets) == len(examples) else None,
    )


def train_final(
    recipe: Recipe,
    samples: Samples,
    device: torch.device,
    *,
    metrics: dict[str, Interval] | None = None,
    command: str = "",
    checkpoint: Path | None = None,
) -> Iterator[EpochResult | tuple[TileModel, ModelCard]]:
    """Train on all samples of the training sources but one grouped part for validation.

    Yields
    ------
    EpochResult
        After each epoch.
    (TileModel, ModelCard)
        At the end.
    """
    chosen = _of_sources(samples, recipe.data.train_sources)
    network, start = recipe.network()
    train, val = grouped_folds(samples, chosen, recipe.data.val_folds, recipe.train.seed)[0]
    temperature = 1.0
    size = recipe.model_card().tile_size
    for epoch in fine_tune(
        network,
        samples,
        train,
        val,
        size=size,
        config=recipe.train,
        device=device,
        checkpoint=checkpoint,
    ):
        temperature = epoch.temperature
        yield epoch
    mean, std = network.mean.flatten().tolist(), network.std.flatten().tolist()
    card = recipe.model_card(
        temperature=round(temperature, 4),
        cells=network.cells,
        output=network.output,
        normalisation={"mean": mean, "std": std, "channel_order": network.channel_order},
        metrics=metrics or {},
        command=command,
        versions={"napari-liverdx": __version__, "torch": torch.__version__, "start": start},
    )
    yield network, card
