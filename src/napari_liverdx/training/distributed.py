"""Training on several GPUs: ``torchrun`` starts one process for each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from napari_liverdx.core.errors import PlanError

__all__ = ["average_buffers", "data_parallel", "distributed_run", "from_first", "world"]


def world() -> tuple[int, int]:
    """Rank of this process and number of processes; (0, 1) without ``torchrun``."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


@contextmanager
def distributed_run(device: str) -> Iterator[torch.device]:
    """Join the processes that ``torchrun`` started, if it did.

    Parameters
    ----------
    device : str
        Chosen device; with several processes and CUDA each takes the GPU of its local rank.

    Yields
    ------
    torch.device

    Raises
    ------
    PlanError
        If there are more processes than GPUs.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size < 2:
        yield torch.device(device)
        return
    cuda = device.startswith("cuda")
    chosen = torch.device(device)
    if cuda:
        local = int(os.environ.get("LOCAL_RANK", "0"))
        if local >= torch.cuda.device_count():
            raise PlanError(
                f"process {local} has no GPU: this computer has {torch.cuda.device_count()}; give "
                "torchrun --nproc-per-node as many processes as there are GPUs"
            )
        chosen = torch.device("cuda", local)
        torch.cuda.set_device(chosen)
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield chosen
    finally:
        dist.destroy_process_group()


def data_parallel(module: nn.Module) -> nn.Module:
    """Return a module whose gradients are means over all processes; itself if there is but one.

    The module's output is to be the loss: a parameter that the loss does not depend on in one
    process still takes part there.
    """
    if world()[1] == 1:
        return module
    device = next(module.parameters()).device
    return DistributedDataParallel(
        module,
        device_ids=[device] if device.type == "cuda" else None,
        # Running statistics are averaged at the end of an epoch; see `average_buffers`.
        broadcast_buffers=False,
        find_unused_parameters=True,
    )


@torch.no_grad()
def average_buffers(*networks: nn.Module) -> None:
    """Replace running statistics by their mean over all processes."""
    _, size = world()
    if size == 1:
        return
    for network in networks:
        for buffer in network.buffers():
            if buffer.is_floating_point():
                dist.all_reduce(buffer)
                buffer /= size


def from_first(values: list[float]) -> list[float]:
    """Return the first process's values, so that all decide alike."""
    _, size = world()
    if size == 1:
        return values
    box: list[object] = [values]
    dist.broadcast_object_list(box, src=0)
    first = box[0]
    assert isinstance(first, list)
    return [float(v) for v in first]
