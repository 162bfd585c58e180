"""A training recipe: what to learn, from what, how; and making a model from it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from napari_liverdx._version import __version__
from napari_liverdx.core.errors import DataError, ModelFileError, existing_path, first_problem
from napari_liverdx.models.architectures.base import TileModel
from napari_liverdx.models.architectures.pretrained import load_imagenet_encoder
from napari_liverdx.models.architectures.registry import build_model
from napari_liverdx.models.card import Interval, ModelCard
from napari_liverdx.models.file import load_model_file
from napari_liverdx.training.config import EpochResult, TrainConfig
from napari_liverdx.training.data._all import TileDataset
from napari_liverdx.training.data.config import DataConfig
from napari_liverdx.training.data.splits import Split, assigned_split, grouped_folds, of_sources
from napari_liverdx.training.loop import OnBatch
from napari_liverdx.training.transfer import TrainJob, fine_tune

__all__ = [
    "Recipe",
    "load_recipe",
    "packaged_recipes",
    "read_settings",
    "recipe_split",
    "scale_notice",
    "train_final",
]


class Recipe(BaseModel):
    """A recipe file.

    Attributes
    ----------
    card : dict
        Fields of the `ModelCard` that are known beforehand.
    data : settings of the data
        ``kind`` is ``"masks"`` (see `FatMaskDataset`) or ``"folders"`` (see `FolderDataset`);
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
        """Return the card with ``more`` filled in."""
        return ModelCard.model_validate({**self.card, **more})

    def as_yaml(self) -> str:
        """Return the recipe as a file for 'liverdx train'."""
        fields = self.model_dump(mode="json", exclude_defaults=True)
        return str(yaml.safe_dump(fields, sort_keys=False, allow_unicode=True))

    def network(self) -> tuple[TileModel, str]:
        """Return a network to start from and where its weights came from.

        Raises
        ------
        ModelFileError
            If the starting weights cannot be had.
        """
        card = self.model_card()
        torch.manual_seed(self.train.seed)
        network = build_model(card.architecture, len(card.classes), card.arguments, card.tile_size)
        if self.start == "scratch":
            network.pretrained = False
            return network, "random"
        if self.start != "imagenet":
            earlier = load_model_file(Path(self.start))
            own = network.state_dict()
            fitting = {
                k: v
                for k, v in earlier.network.state_dict().items()
                if k in own and own[k].shape == v.shape
            }
            foreign = [k for k in own if k.startswith("encoder.") and k not in fitting]
            if foreign or not fitting:
                raise ModelFileError(
                    f"{self.start}: its encoder does not fit {card.architecture!r} with "
                    f"{card.arguments}; start from a model with the same encoder, or from "
                    '"imagenet" or "scratch"'
                )
            network.load_state_dict({**own, **fitting})
            return network, f"{earlier.card.name} {earlier.card.version}"
        encoder = getattr(network, "encoder", None)
        if encoder is None:
            network.pretrained = False
            return network, "random"
        return network, load_imagenet_encoder(encoder, network.encoder_name)

    def samples(self, folder: Path) -> TileDataset:
        """Open the data in ``folder``.

        Raises
        ------
        DataError
            If it is not in the stated form.
        """
        card = self.model_card()
        return self.data.samples(
            folder,
            card.scheme.names,
            mpp=card.mpp,
            tile_size=card.tile_size,
            attributes=card.arguments.get("attributes", ()),
        )


def read_settings(name_or_path: str, kind: str) -> tuple[Path, dict[str, Any]]:
    """Read a TOML or YAML file, packaged under its name or anywhere under its path.

    Parameters
    ----------
    name_or_path : str
        Ends in ``.toml``, ``.yaml`` or ``.yml`` if it is a path.
    kind : str
        Folder of the packaged ones, ``"recipes"`` or ``"comparisons"``.

    Returns
    -------
    path : Path
    fields : dict

    Raises
    ------
    DataError
        If it cannot be read or parsed.
    """
    path = existing_path(name_or_path, DataError) or Path(name_or_path)
    if path.suffix not in (".toml", ".yaml", ".yml"):
        path = Path(str(files("napari_liverdx") / kind / f"{name_or_path}.toml"))
        if not path.exists():
            known = ", ".join(sorted(p.stem for p in path.parent.glob("*.toml")))
            raise DataError(
                f"there are no packaged {kind} called {name_or_path!r}, only {known}; for a file "
                "of your own give its path, ending in .toml or .yaml"
            )
    try:
        text = path.read_text(encoding="utf-8")
        fields = tomllib.loads(text) if path.suffix == ".toml" else yaml.safe_load(text)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, yaml.YAMLError) as error:
        what = "TOML" if path.suffix == ".toml" else "YAML"
        raise DataError(f"{path}: not valid {what} ({error})") from error
    if not isinstance(fields, dict):
        raise DataError(f"{path}: settings are needed, this is a {type(fields).__name__}")
    return path, fields


def packaged_recipes() -> list[str]:
    """Return names of the recipes in the package."""
    folder = Path(str(files("napari_liverdx") / "recipes"))
    return sorted(p.stem for p in folder.glob("*.toml"))


def load_recipe(name_or_path: str) -> Recipe:
    """Load a packaged recipe by name or any by path.

    Raises
    ------
    DataError
        If it is missing or not valid; the message says where.
    """
    source, fields = read_settings(name_or_path, "recipes")
    try:
        recipe = Recipe.model_validate(fields)
        recipe.model_card()
    except ValidationError as error:
        raise DataError(f"{source}: {first_problem(error)}") from error
    return recipe


def recipe_split(recipe: Recipe, samples: TileDataset) -> Split:
    """Return the samples that a recipe trains on, validates on, and leaves for testing.

    The data's own split is followed where they state one. Otherwise one grouped part of the
    training sources validates and the second sources are for testing.

    Raises
    ------
    DataError
        If a source is missing or there are too few groups.
    """
    chosen = of_sources(samples, recipe.data.train_sources)
    if (samples.splits[chosen] != "").any():
        return assigned_split(samples, recipe.data.val_folds, recipe.train.seed, chosen=chosen)
    train, val = grouped_folds(samples, chosen, recipe.data.val_folds, recipe.train.seed)[0]
    second = recipe.data.second_sources
    return Split(train, val, of_sources(samples, second) if second else chosen[:0])


def scale_notice(recipe: Recipe, samples: TileDataset) -> str:
    """Return a warning if pictures are scaled to tiles, whose µm/px the card states; else "".

    Parameters
    ----------
    recipe : Recipe
        Says how large the tiles are.
    samples : TileDataset
        The labeled pictures.
    """
    if recipe.data.kind not in ("folders", "table"):
        return ""
    card = recipe.model_card()
    side = float(np.median(samples.sizes))
    if abs(side / card.tile_size - 1) <= 0.02:
        return ""
    return (
        f"Images are {side:.0f} px wide and become tiles of {card.tile_size} px. "
        f"The recipe's mpp, {card.mpp:g} µm/px, must be that of the tiles: "
        f"{side / card.tile_size:.3g} times that of the images. Slides are read at it."
    )


def _trains_subtiles(
    recipe: Recipe, samples: TileDataset, train: NDArray[np.intp], network: TileModel
) -> bool:
    """Return whether a model's subtile scores were trained; labels of whole tiles do not."""
    size = recipe.model_card().tile_size
    example = samples.eval_tiles(int(train[0]), size, network.subtiles)[0]
    return example.subtiles is not None and recipe.train.subtile_weight > 0


def _lineage(samples: TileDataset, split: Split, text: str) -> str:
    counts = ", ".join(
        f"{np.count_nonzero(samples.labels[split.train] == c)} {name}"
        for c, name in enumerate(samples.classes)
    )
    groups = [len(np.unique(samples.groups[part])) for part in (split.train, split.val)]
    facts = (
        f"Trained on {len(split.train)} images of {groups[0]} groups ({counts}); epoch and "
        f"temperature chosen on {len(split.val)} images of {groups[1]} other groups."
    )
    return f"{facts} The recipe says of its data: {text}" if text else facts


def train_final(
    recipe: Recipe,
    samples: TileDataset,
    device: torch.device,
    *,
    metrics: dict[str, Interval] | None = None,
    command: str = "",
    checkpoint: Path | None = None,
    on_batch: OnBatch | None = None,
) -> Iterator[EpochResult | tuple[TileModel, ModelCard]]:
    """Train on all samples of the training sources but one grouped part for validation.

    Yields
    ------
    EpochResult
        After each epoch.
    (TileModel, ModelCard)
        At the end; not if ``on_batch`` ended the training.
    """
    network, start = recipe.network()
    split = recipe_split(recipe, samples)
    epoch: EpochResult | None = None
    size = recipe.model_card().tile_size
    job = TrainJob(samples, split.train, split.val, size, recipe.train, device)
    for epoch in fine_tune(network, job, checkpoint=checkpoint, on_batch=on_batch):
        yield epoch
    if epoch is None or not (epoch.stopped_early or epoch.epoch >= recipe.train.epochs):
        return
    if not _trains_subtiles(recipe, samples, split.train, network):
        network.disable_subtiles()
    mean, std = network.mean.flatten().tolist(), network.std.flatten().tolist()
    card = recipe.model_card(
        training_data=_lineage(samples, split, recipe.model_card().training_data),
        temperature=round(epoch.temperature, 4),
        subtiles=network.subtiles,
        output=network.output,
        normalization={"mean": mean, "std": std, "channel_order": network.channel_order},
        metrics=metrics or {},
        command=command,
        versions={"napari-liverdx": __version__, "torch": torch.__version__, "start": start},
    )
    yield network, card
