"""Where in a tile a class score comes from: Grad-CAM on a network's last feature map."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_liverdx.core.errors import PlanError
from napari_liverdx.models.architectures.base import CamLayer, TileModel

__all__ = ["cam_layers", "grad_cam", "raw_grad_cam"]


def cam_layers(network: TileModel, x: Tensor) -> list[CamLayer]:
    """Return where Grad-CAM looks in a network: what `TileModel.cam_targets` names.

    Where a target is to be searched, it is the last module within it that gives a map of more than
    one place, found by running the network once.

    Parameters
    ----------
    network : TileModel
        The network.
    x : Tensor, shape (1, 3, h, w), float
        Normalized input.

    Raises
    ------
    PlanError
        If there is no convolutional feature map: what the network gives last are tokens, or no
        convolution looks beyond its own place.
    """
    targets = network.cam_targets()
    traces = [_Trace(t.name, t.module) for t in targets if t.search]
    if not traces:
        return targets
    with torch.no_grad():
        for trace in traces:
            trace.follow()
        try:
            network.classify(x)
        finally:
            for trace in traces:
                trace.leave()
    found = iter(traces)
    return [next(found).last() if t.search else t for t in targets]


class _Trace:
    """Watches which modules of a part of a network give maps."""

    def __init__(self, name: str, unit: nn.Module) -> None:
        self.name, self.unit = name, unit
        self._hooks: list[Any] = []
        self._given: list[tuple[str, nn.Module, bool]] = []
        self._looks_around = False

    def follow(self) -> None:
        for name, module in self.unit.named_modules():
            if name:
                full = f"{self.name}.{name}" if self.name else name
                self._hooks.append(module.register_forward_hook(partial(self._note, full)))

    def leave(self) -> None:
        for hook in self._hooks:
            hook.remove()

    def _note(self, name: str, module: nn.Module, _: Any, output: Any) -> None:
        if isinstance(module, nn.Conv2d) and max(module.kernel_size) > 1:
            self._looks_around = True
        if isinstance(output, Tensor):
            is_map = output.dim() == 4 and min(output.shape[2:]) > 1
            if is_map or (output.dim() == 3 and output.shape[1] > 1):
                self._given.append((name, module, is_map))

    def last(self) -> CamLayer:
        if not self._given or not self._given[-1][2] or not self._looks_around or self._last_axis:
            raise PlanError(
                "this model has no convolutional feature map, so Grad-CAM is not defined for it; "
                "look at its map pixels, or choose a convolutional model"
            )
        # A module that runs several times stands for several maps.
        names = [name for name, _, _ in self._given]
        once = [g for g in self._given if g[2] and names.count(g[0]) == 1]
        return CamLayer(once[-1][0], once[-1][1])

    @property
    def _last_axis(self) -> bool:
        """Whether channels stand on the last axis, as in some transformers."""
        return str(getattr(self.unit, "output_fmt", "NCHW")) not in ("NCHW", "Format.NCHW")


def raw_grad_cam(network: TileModel, x: Tensor, class_index: int, layer: CamLayer) -> Tensor:
    """Return Grad-CAM before the ReLU: channels weighted by their mean gradient, summed.

    Parameters
    ----------
    network : TileModel
        In evaluation mode.
    x : Tensor, shape (1, 3, h, w), float
        Normalized input.
    class_index : int
        Whose score (logit, or probability for a network that gives these) is explained.
    layer : CamLayer
        From `cam_layers`.

    Returns
    -------
    Tensor, shape (rows, columns), float
    """
    with torch.enable_grad(), _kept_map(layer) as kept:
        scores = network.classify(x.detach().clone().requires_grad_(True)).scores
        score = scores[0, class_index]
    (gradient,) = torch.autograd.grad(score, kept[-1])
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    return (weights * kept[-1].detach()).sum(dim=1)[0]


@contextmanager
def _kept_map(layer: CamLayer) -> Iterator[list[Tensor]]:
    """Keep the map at a layer; the network goes on with a copy, which it may change in place."""
    kept: list[Tensor] = []

    def keep_input(_: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        kept.append(given[0])
        return given[0].clone(), *given[1:]

    def keep_output(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> Tensor:
        kept.append(output)
        return output.clone()

    if layer.of_input:
        hook = layer.module.register_forward_pre_hook(keep_input)
    else:
        hook = layer.module.register_forward_hook(keep_output)
    try:
        yield kept
    finally:
        hook.remove()


def grad_cam(
    network: TileModel, x: Tensor, class_index: int, size: int
) -> tuple[NDArray[np.float32], str]:
    """Compute a tile's gradient-weighted class activation map (Selvaraju et al. 2017).

    Negative values are cut (ReLU), the rest is interpolated to the tile and divided by its largest
    value. So 1 is the place that speaks most for the class *in this tile*: maps
    say where, not how much, and are not comparable among tiles. Of an ensemble the members' maps
    are added before the ReLU, as if their channels were one map's.

    Parameters
    ----------
    network : TileModel
        In evaluation mode; no parameter keeps a gradient.
    x : Tensor, shape (1, 3, h, w), float
        Normalized input.
    class_index : int
        The class.
    size : int
        Side of the result in pixels.

    Returns
    -------
    map : ndarray of float32, shape (size, size)
        0 to 1; all 0 where nothing in the tile speaks for the class.
    where : str
        Layer and size of its map.

    Raises
    ------
    PlanError
        If the network has no convolutional feature map.
    """
    layers = cam_layers(network, x)
    with _frozen(network):
        total = sum(raw_grad_cam(network, x, class_index, layer) for layer in layers)
    found = cast("Tensor", total).relu()
    rows, columns = found.shape
    wide = nn.functional.interpolate(found[None, None], (size, size), mode="bilinear")
    top = float(wide.max())
    if top > 0:
        wide = wide / top
    where = f"{layers[0]}{f' and {len(layers) - 1} more' if len(layers) > 1 else ''}"
    return wide[0, 0].float().numpy(), f"{where}, {rows} × {columns}"


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """Ask no parameter for a gradient meanwhile: only that of the map is wanted."""
    asked = [p for p in network.parameters() if p.requires_grad]
    for parameter in asked:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in asked:
            parameter.requires_grad_(True)
