"""Training on several GPUs: ``torchrun`` starts one process for each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import nn

from napari_liverdx.core.errors import PlanError

__all__ = ["average_buffers", "average_gradients", "distributed_run", "from_first", "world"]


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


def average_gradients(network: nn.Module) -> None:
    """Replace every gradient by its mean over all processes.

    One reduction for all of them: gradients are laid end to end first.
    """
    _, size = world()
    if size == 1:
        return
    gradients = []
    for parameter in network.parameters():
        if not parameter.requires_grad:
            continue
        if parameter.grad is None:
            # Another process may have a gradient here; all must reduce the same list.
            parameter.grad = torch.zeros_like(parameter)
        gradients.append(parameter.grad)
    flat = torch.cat([g.flatten().float() for g in gradients])
    dist.all_reduce(flat)
    flat /= size
    start = 0
    for gradient in gradients:
        part = flat[start : start + gradient.numel()]
        gradient.copy_(part.view_as(gradient))
        start += gradient.numel()


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
    """The first process's values, so that all decide alike."""
    _, size = world()
    if size == 1:
        return values
    box: list[object] = [values]
    dist.broadcast_object_list(box, src=0)
    first = box[0]
    assert isinstance(first, list)
    return [float(v) for v in first]
