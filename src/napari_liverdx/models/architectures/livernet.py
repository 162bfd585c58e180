"""LiverNet (Aatresh et al. 2021, doi:10.1007/s11548-021-02410-4), alone and as an ensemble.

The modules follow the network that the published weights were trained with, which differs in
places from its description in the paper; comments mark where.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from napari_liverdx.models.architectures.base import CamLayer, TileModel, TileOutput

__all__ = ["LiverNet", "LiverNetEnsemble"]

# The defaults of Keras, under which the weights were trained.
_EPS = 1e-3
_MOMENTUM = 0.01
_SLOPE = 0.3


class ConvBlock(nn.Module):
    """Convolution that keeps the map's size → batch normalization → activation.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    kernel : int
        Side of the kernel; odd.
    dilation : int
    groups : int
        Patient or slide of each sample.
    bias : bool
        Of the convolution.
    activation : nn.Module, optional
        ReLU if left out.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        *,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            inputs, outputs, kernel, padding="same", dilation=dilation, groups=groups, bias=bias
        )
        self.norm = nn.BatchNorm2d(outputs, eps=_EPS, momentum=_MOMENTUM)
        self.activation = nn.ReLU() if activation is None else activation

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, inputs, h, w) to (n, outputs, h, w)."""
        y: Tensor = self.activation(self.norm(self.conv(x)))
        return y


class DenseBlock(nn.Module):
    """Linear layer → batch normalization → ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.norm = nn.BatchNorm1d(outputs, eps=_EPS, momentum=_MOMENTUM)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, inputs) to (n, outputs)."""
        y: Tensor = self.norm(self.linear(x)).relu()
        return y


class Attention(nn.Module):
    """Channel attention, then spatial attention (CBAM, Woo et al. 2018, arXiv:1807.06521).

    Parameters
    ----------
    channels : int
    ratio : int
        By how much the channel attention narrows.
    """

    def __init__(self, channels: int, ratio: int = 8) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, channels // ratio)
        self.excite = nn.Linear(channels // ratio, channels)
        self.spatial = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Weight ``x``, shape (n, channels, h, w)."""
        pooled = torch.stack([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))])
        weight = self.excite(self.squeeze(pooled).relu()).sum(dim=0)
        # Two sigmoids in a row, unlike CBAM: the published weights were trained so.
        x = x * weight.sigmoid().sigmoid()[:, :, None, None]
        summary = torch.cat([x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)], dim=1)
        y: Tensor = x * self.spatial(summary).sigmoid()
        return y


class Stage(nn.Module):
    """Convolution → attention → residual bottleneck, without change of size."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.widen = ConvBlock(inputs, outputs)
        self.attention = Attention(outputs)
        self.reduce = ConvBlock(outputs, outputs // 4, activation=nn.LeakyReLU(_SLOPE))
        self.expand = ConvBlock(outputs // 4, outputs, activation=nn.Identity())
        self.activation = nn.LeakyReLU(_SLOPE)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, inputs, h, w) to (n, outputs, h, w)."""
        x = self.attention(self.widen(x))
        y: Tensor = self.activation(x + self.expand(self.reduce(x)))
        return y


class PyramidPool(nn.Module):
    """Atrous spatial pyramid pooling as in the published weights.

    The paper has four dilated branches. In the trained network the depthwise convolutions of
    three of them are not connected, one of these three branches repeats another, and only the
    branch of dilation 8 looks beyond its pixel.

    Parameters
    ----------
    channels : int
        Of input, branches and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.points = nn.ModuleList(ConvBlock(channels, channels, 1, bias=False) for _ in range(3))
        self.dilated = nn.Sequential(
            ConvBlock(channels, channels, 3, dilation=8, groups=channels, bias=False),
            ConvBlock(channels, channels, 1, bias=False),
        )
        self.whole = ConvBlock(channels, channels, 1, bias=False)
        self.project = ConvBlock(6 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, h, w) to the same shape."""
        whole = self.whole(x.mean(dim=(2, 3), keepdim=True)).expand_as(x)
        points = [point(x) for point in self.points]
        y: Tensor = self.project(torch.cat([whole, *points, points[-1], self.dilated(x)], dim=1))
        return y


class LiverNet(TileModel):
    """Convolutional stages with attention, pyramid pooling of each, one vector of them all.

    Input is BGR on the 0 to 1 scale; sides that are multiples of 8, 224 px in training.

    Parameters
    ----------
    n_classes : int
        Number of classes.
    """

    output = "probabilities"

    def __init__(self, n_classes: int = 4) -> None:
        super().__init__()
        widths = (32, 64, 128)
        self.stem = nn.Sequential(ConvBlock(3, widths[0]), ConvBlock(widths[0], widths[0]))
        self.stages = nn.ModuleList([Stage(32, 64), Stage(64, 128)])
        # Keras pads even sides at the far end only; ceil_mode does the same.
        self.downsample = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.pyramids = nn.ModuleList(PyramidPool(width) for width in widths)
        self.hidden = nn.Sequential(
            DenseBlock(sum(widths), 256), nn.Dropout(0.3), DenseBlock(256, 256)
        )
        self.head = nn.Linear(256, n_classes)
        self.set_normalization((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "BGR")

    def embed(self, x: Tensor) -> Tensor:
        """Compute the embedding of normalized input, shape (n, 256)."""
        maps = [self.downsample(self.stem(x))]
        for stage in self.stages:
            maps.append(self.downsample(stage(maps[-1])))
        # The original upsamples to one size before it averages: the mean of a map is the same.
        pooled = [
            pyramid(grid).mean(dim=(2, 3))
            for pyramid, grid in zip(self.pyramids, maps, strict=True)
        ]
        embedding: Tensor = self.hidden(torch.cat(pooled, dim=1))
        return embedding

    def classify(self, x: Tensor) -> TileOutput:
        """Classify normalized input, shape (n, 3, h, w); scores are probabilities."""
        embedding = self.embed(x)
        return TileOutput(self.head(embedding).softmax(dim=1), embedding)


class LiverNetEnsemble(TileModel):
    """Several LiverNets, of which the probabilities are averaged.

    The embedding is the members' embeddings one after another, ``256 * members`` features:
    members trained apart share no feature space, so that their mean would mean nothing.

    Parameters
    ----------
    n_classes : int
        Number of classes.
    members : int
    """

    output = "probabilities"

    def __init__(self, n_classes: int = 4, members: int = 5) -> None:
        super().__init__()
        if not 1 <= members <= 64:
            raise ValueError(f"an ensemble has 1 to 64 members, not {members}")
        self.members = nn.ModuleList(LiverNet(n_classes) for _ in range(members))
        self.set_normalization((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "BGR")

    def classify(self, x: Tensor) -> TileOutput:
        """Classify normalized input, shape (n, 3, h, w); scores are probabilities."""
        outputs = [cast("LiverNet", member).classify(x) for member in self.members]
        scores = torch.stack([output.scores for output in outputs]).mean(dim=0)
        return TileOutput(scores, torch.cat([output.embedding for output in outputs], dim=1))

    def cam_targets(self) -> list[CamLayer]:
        """Return the last map of each member."""
        return [CamLayer(f"members.{i}", m, search=True) for i, m in enumerate(self.members)]
