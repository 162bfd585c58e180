"""From bags of embeddings to a slide-level model file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from napari_liverdx._version import __version__
from napari_liverdx.core.errors import DataError
from napari_liverdx.mil.bags import Bag, load_bags
from napari_liverdx.mil.file import ARCHITECTURE
from napari_liverdx.mil.network import SlideContext, slide_classes
from napari_liverdx.mil.train import (
    MilConfig,
    fitted_temperatures,
    score_bags,
    split_bags,
    train_mil,
)
from napari_liverdx.models.card import ModelCard, SlidePart
from napari_liverdx.models.file import LoadedModel, save_model_file
from napari_liverdx.training.config import EpochResult

__all__ = ["fit_mil_model"]

_VAL_PARTS = 5


def fit_mil_model(
    folder: Path,
    model: LoadedModel,
    out_file: Path,
    config: MilConfig,
    *,
    hidden: int = 32,
    projection: int = 64,
    device: torch.device | None = None,
    command: str = "",
) -> Iterator[EpochResult | ModelCard]:
    """Train a slide-level model on a folder of bags and write its file.

    One part in five of the groups is for validation: it chooses the epoch and calibrates.

    Parameters
    ----------
    folder : Path
        Bags, from `napari_liverdx.mil.collect.extract_bags`.
    model : LoadedModel
        The tile model they were made with.
    out_file : Path
        File to write.
    config : MilConfig
        Settings of the training.
    hidden : int
        Units of the RNN per direction; 0 for no RNN.
    projection : int
        Channels from the embedding; 0 for only the tile model's probabilities.
    device : torch.device, optional
        CPU by default.
    command : str
        For the card: what a person gave.

    Yields
    ------
    EpochResult
        After each epoch.
    ModelCard
        At the end, when the file is written.

    Raises
    ------
    DataError
        If there are no bags, they come from another tile model, or labels are missing.
    """
    scheme = model.card.scheme
    bags = load_bags(folder)
    _check_tile_model(bags[0], model, folder)
    train, val = split_bags(bags, _VAL_PARTS, config.seed)
    torch.manual_seed(config.seed)
    network = SlideContext(
        len(bags[0].embeddings),
        len(scheme),
        len(slide_classes(scheme)),
        hidden=hidden,
        projection=projection,
    )
    yield from train_mil(
        network, bags, train, val, pathological=scheme.pathological, config=config, device=device
    )
    validation = [bags[i] for i in val]
    temperatures = fitted_temperatures(score_bags(network, validation), validation)
    card = _card(model, network, bags, config, temperatures, out_file.stem, command)
    save_model_file(out_file, network, card, half=False)
    yield card


def _check_tile_model(bag: Bag, model: LoadedModel, folder: Path) -> None:
    if bag.tile_sha256 != model.sha256:
        raise DataError(
            f"{folder}: these bags were made with the tile model {bag.tile_model!r} "
            f"({bag.tile_sha256[:12]}…), not with {model.card.name!r} ({model.sha256[:12]}…); give "
            "that model with --model, or make the bags again"
        )


def _card(
    model: LoadedModel,
    network: SlideContext,
    bags: Sequence[Bag],
    config: MilConfig,
    temperatures: tuple[float, float],
    stem: str,
    command: str,
) -> ModelCard:
    tile = model.card
    name = re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).strip("-._")
    groups = len({b.group for b in bags})
    learn_from = config.learn_from
    return ModelCard(
        name=name or "slide-context",
        title=f"Slide-level model for {tile.title}",
        summary=f"Refines the tiles of {tile.name} by what lies around them; from {learn_from}",
        architecture=ARCHITECTURE,
        arguments=network.arguments,
        classes=tile.classes,
        mpp=tile.mpp,
        tile_size=tile.tile_size,
        temperature=temperatures[0],
        training_data=f"{len(bags)} slides of {groups} groups, labels of {learn_from}",
        limitations=f"Only for the tile model {tile.name}; its limits apply. {tile.limitations}",
        slide=SlidePart(
            tile_model=tile.name,
            tile_sha256=model.sha256,
            features=network.features,
            classes=slide_classes(tile.scheme),
            overlap=bags[0].overlap,
            learned_from=learn_from,
            temperature=temperatures[1],
        ),
        command=command,
        versions={"napari-liverdx": __version__, "torch": torch.__version__},
    )
