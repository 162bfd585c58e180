"""The interface every tile classifier has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

__all__ = ["CamLayer", "TileModel", "TileOutput"]


class TileOutput(NamedTuple):
    """What a tile classifier says of a batch of n tiles.

    Attributes
    ----------
    scores : Tensor, shape (n, classes), float
        Logits, or probabilities if the model card says so.
    embedding : Tensor, shape (n, features), float
        The vector from which ``scores`` follow.
    subtile_scores : Tensor or None, shape (n, classes, rows, columns), float
        The same for a regular grid of subtiles within the tile, where the model has one.
    attribute_scores : Tensor or None, shape (n, attributes), float
        Logits of yes-or-no properties beside the class, where the model predicts any.
    """

    scores: Tensor
    embedding: Tensor
    subtile_scores: Tensor | None = None
    attribute_scores: Tensor | None = None


@dataclass(frozen=True, slots=True, eq=False)
class CamLayer:
    """A place in a network where Grad-CAM looks.

    Attributes
    ----------
    name : str
        Of the module, as the network names it.
    module : Module
    of_input : bool
        Whether the map is what the module takes in, not what it gives.
    search : bool
        Whether the map is that of the last module within this one that gives a map.
    """

    name: str
    module: nn.Module
    of_input: bool = False
    search: bool = False

    def __str__(self) -> str:
        return f"map at the {'input' if self.of_input else 'output'} of {self.name}"


class TileModel(nn.Module, ABC):
    """A classifier of RGB tiles; normalization happens inside.

    A model says more of itself by methods that are optional: `features` and `heads` where its
    encoder can run apart from what follows, `cam_targets` where the last feature map is not what
    explains it best.

    Attributes
    ----------
    subtiles : int
        Side of the grid of subtiles within a tile; 1 for a model without dense output.
    output : {"logits", "probabilities"}
        What the scores are.
    channel_order : {"RGB", "BGR"}
        Order in which the network takes the channels; tiles are always RGB.
    encoder_name : str
        timm name of the encoder; empty without one.
    frozen_encoder : bool
        Whether the encoder stays as pre-trained throughout.
    pretrained : bool
        Whether the encoder holds weights worth keeping; if not, all of it is trained at once.
    attributes : tuple of str
        Names of the yes-or-no properties in ``attribute_scores``.
    made_of : mapping
        Architecture and arguments by which the registry made it; empty if it did not.
    """

    subtiles: int = 1
    encoder_name: str = ""
    frozen_encoder: bool = False
    pretrained: bool = True
    _gives_subtiles: bool = True
    attributes: tuple[str, ...] = ()
    made_of: Mapping[str, Any] = MappingProxyType({})
    output: Literal["logits", "probabilities"] = "logits"
    channel_order: Literal["RGB", "BGR"] = "RGB"
    mean: Tensor
    std: Tensor

    def set_normalization(
        self,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        channel_order: Literal["RGB", "BGR"] = "RGB",
    ) -> None:
        """Fix how raw pixels become the network's input; not part of the weights.

        Parameters
        ----------
        mean, std : tuple of float
            Per channel in the network's order, on the 0 to 1 scale.
        channel_order : {"RGB", "BGR"}
            Order in which the network takes the channels.
        """
        device = next(self.parameters()).device
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1).to(device), False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1).to(device), False)
        self.channel_order = channel_order

    def normalize(self, tiles: Tensor) -> Tensor:
        """Convert RGB tiles, uint8 0 to 255 or float 0 to 1, to network input (n, 3, h, w)."""
        if tiles.dtype == torch.uint8:
            tiles = tiles.to(self.mean.dtype) / 255
        if self.channel_order == "BGR":
            tiles = tiles.flip(1)
        return (tiles - self.mean) / self.std

    def forward(self, tiles: Tensor) -> TileOutput:
        """Classify RGB tiles, shape (n, 3, h, w), uint8 (0 to 255) or float (0 to 1)."""
        output = self.classify(self.normalize(tiles))
        return output if self._gives_subtiles else output._replace(subtile_scores=None)

    def disable_subtiles(self) -> None:
        """Give no subtile scores any more: they were not trained."""
        self._gives_subtiles = False
        self.subtiles = 1

    @abstractmethod
    def classify(self, x: Tensor) -> TileOutput:
        """Classify normalized input, shape (n, 3, h, w), float."""

    def encoder_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that come from pre-training; none by default."""
        return []

    @property
    def is_split(self) -> bool:
        """Whether there are `features` and `heads`, of which `classify` is made."""
        own = type(self)
        return own.features is not TileModel.features and own.heads is not TileModel.heads

    def features(self, x: Tensor) -> Tensor:
        """Return what the encoder makes of normalized input, shape (n, ...)."""
        raise NotImplementedError(f"{type(self).__name__} has no features apart from its heads")

    def heads(self, features: Tensor) -> TileOutput:
        """Return scores from `features`."""
        raise NotImplementedError(f"{type(self).__name__} has no heads apart from its features")

    def cam_targets(self) -> list[CamLayer]:
        """Return where Grad-CAM looks; several maps are averaged.

        By default the last map in the encoder, or in the whole network where there is none.
        """
        encoder = getattr(self, "encoder", None)
        name, module = ("", self) if encoder is None else ("encoder", encoder)
        return [CamLayer(name, module, search=True)]
