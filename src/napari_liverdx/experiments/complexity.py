"""What a network costs: parameters, operations, time."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from napari_liverdx.models.architectures.base import TileModel

__all__ = ["Complexity", "measure_complexity"]

_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class Complexity:
    """What a network costs.

    Attributes
    ----------
    parameters : int
    flops : int
        Floating-point operations for one tile; a multiplication with an addition counts as two.
    tiles_per_second : float
        In inference, float32.
    device : str
        Where that speed was measured.
    """

    parameters: int
    flops: int
    tiles_per_second: float
    device: str


@torch.inference_mode()
def measure_complexity(
    network: TileModel, size: int, device: torch.device, batch_size: int = 8
) -> Complexity:
    """Count parameters and operations, and time the network.

    Parameters
    ----------
    network : TileModel
        The network.
    size : int
        Side of a tile in pixels.
    device : torch.device
        Where to time it.
    batch_size : int
        Tiles at a time.
    """
    network = network.cpu().eval()
    tile = torch.zeros(1, 3, size, size)
    flops = _count(network, tile)
    network = network.to(device).to(memory_format=torch.channels_last)
    tiles = torch.rand(batch_size, 3, size, size, device=device)
    tiles = tiles.contiguous(memory_format=torch.channels_last)
    network(tiles)
    best, start = 0.0, time.perf_counter()
    while time.perf_counter() - start < _SECONDS:
        begun = time.perf_counter()
        network(tiles)
        if device.type != "cpu":
            getattr(torch, device.type).synchronize()
        best = max(best, batch_size / (time.perf_counter() - begun))
    name = {"cpu": "CPU", "mps": "Apple GPU"}.get(device.type, "")
    name = name or torch.cuda.get_device_name(device)
    count = sum(p.numel() for p in network.parameters())
    return Complexity(count, flops, best, f"{name}, {torch.get_num_threads()} threads")


def _count(network: TileModel, tile: torch.Tensor) -> int:
    with warnings.catch_warnings():
        # Any use of the switch warns about hardware that is not concerned.
        warnings.filterwarnings("ignore", "TF32 acceleration")
        # oneDNN's fused LSTM is not seen by the counter.
        with torch.backends.mkldnn.flags(enabled=False), FlopCounterMode(display=False) as counter:
            network(tile)
        return int(counter.get_total_flops())
