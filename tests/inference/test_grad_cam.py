"""Grad-CAM against its definition."""

from __future__ import annotations

import copy

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from napari_liverdx.core.grid import TileGrid
from napari_liverdx.inference.explain import explain_tile
from napari_liverdx.inference.grad_cam import grad_cam, raw_grad_cam
from napari_liverdx.models.architectures.base import CamLayer, TileModel, TileOutput
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.slides.slide import Slide
from tests.support.explanations import FAT, FATTY
from tests.support.pictures import noise


def test_grad_cam_is_the_gradient_weighted_sum(tiny: LoadedModel) -> None:
    network = copy.deepcopy(tiny.network)
    x = network.normalize(torch.from_numpy(noise()).permute(2, 0, 1)[None])
    shown, where = grad_cam(network, x, FAT, 224)
    features = network.features(x).detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(network.heads(features).scores[0, FAT], features)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    expected = (weights * features.detach()).sum(dim=1, keepdim=True).relu()
    expected = nn.functional.interpolate(expected, (224, 224), mode="bilinear")[0, 0]
    assert expected.max() > 0
    assert np.allclose(shown, (expected / expected.max()).numpy(), atol=1e-5)
    assert shown.max() == 1
    assert where == "map at the input of project, 7 × 7"


class WritesInPlace(TileModel):
    """Changes the map of its convolution in place, as many encoders do."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)
        self.rest = nn.Sequential(nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.head = nn.Linear(16, 3)

    def classify(self, x: Tensor) -> TileOutput:
        return TileOutput(self.head(self.rest(self.convolution(x))), x)


def test_grad_cam_at_an_output_takes_the_values_that_the_layer_gave() -> None:
    torch.manual_seed(0)
    network = WritesInPlace().eval()
    x = torch.randn(1, 3, 12, 12)
    found = raw_grad_cam(network, x, FAT, CamLayer("convolution", network.convolution))
    values = network.convolution(x).detach()[0]
    assert (values < 0).any()
    # Each of 10 × 10 places is averaged in one of 2 × 2 fields, if it is positive.
    weights = network.head.weight[FAT].detach().reshape(4, 2, 2) / 25
    gradient = weights.repeat_interleave(5, 1).repeat_interleave(5, 2) * (values > 0)
    expected = (gradient.mean(dim=(1, 2))[:, None, None] * values).sum(dim=0)
    assert torch.allclose(found, expected, atol=1e-6)


def test_random_last_layers_change_the_map(
    packaged: LoadedModel, sample: Slide, grid: TileGrid
) -> None:
    """Adebayo et al. 2018: a map that does not depend on what was learned explains nothing."""
    explanation = explain_tile(sample, grid, FATTY, packaged, FAT)
    assert explanation.cam is not None
    alike = []
    for seed in range(3):
        network = copy.deepcopy(packaged.network)
        torch.manual_seed(seed)
        for part in (network.tile_head, network.pool):
            for module in part.modules():
                if hasattr(module, "reset_parameters"):
                    module.reset_parameters()
        x = network.normalize(torch.from_numpy(explanation.pixels).permute(2, 0, 1)[None])
        cam, _ = grad_cam(network, x, FAT, 224)
        values = spearmanr(cam[::16, ::16].ravel(), explanation.cam[::16, ::16].ravel())
        alike.append(np.nan_to_num(values.statistic))
    assert np.mean(alike) < 0.6


def test_grad_cam_gives_back_what_it_froze(tiny: LoadedModel) -> None:
    network = tiny.network
    network.project.requires_grad_(False)
    asked = [p.requires_grad for p in network.parameters()]
    assert len(set(asked)) == 2
    x = network.normalize(torch.from_numpy(noise()).permute(2, 0, 1)[None])
    with torch.no_grad():
        grad_cam(network, x, 0, 224)
    assert [p.requires_grad for p in network.parameters()] == asked
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
