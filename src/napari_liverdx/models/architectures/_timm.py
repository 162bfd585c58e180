"""timm, imported so that it does not bring down a process that draws with Mesa; its encoders.

timm imports torchvision, which imports Triton, which carries its own LLVM. Mesa's software and
AMD drivers load another LLVM into the global symbol scope, and if they came first, as they do in
a napari window, Triton binds to the wrong one and the process dies. Deep binding makes each
library prefer its own symbols.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["grid_shape", "timm"]


@contextmanager
def _own_symbols_first() -> Iterator[None]:
    if not hasattr(os, "RTLD_DEEPBIND"):
        yield
        return
    before = sys.getdlopenflags()
    sys.setdlopenflags(before | os.RTLD_DEEPBIND)
    try:
        yield
    finally:
        sys.setdlopenflags(before)


with _own_symbols_first():
    import timm


@torch.no_grad()
def grid_shape(
    features: Callable[[Tensor], Tensor], encoder: nn.Module, size: int
) -> tuple[int, int]:
    """Return channels and side of the grid of features for a square input of ``size`` pixels."""
    training = encoder.training
    encoder.eval()
    grid = features(torch.zeros(1, 3, size, size))
    encoder.train(training)
    return int(grid.shape[1]), int(grid.shape[2])
