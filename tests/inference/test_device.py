"""Devices are chosen with a reason."""

from __future__ import annotations

import pytest
import torch

from napari_liverdx.core.errors import PlanError
from napari_liverdx.inference.device import choose_device


@pytest.mark.parametrize("bad", ["tpu", "cuda:77", "cuda"])
def test_absent_devices_are_refused_with_a_reason(bad: str) -> None:
    if bad == "cuda" and torch.cuda.is_available():
        pytest.skip("CUDA is here")
    with pytest.raises(PlanError, match=r"unknown|CUDA was asked for|there is no"):
        choose_device(bad)
    with pytest.raises(PlanError, match="precision"):
        choose_device("cpu", "int3")


def test_the_cpu_says_why() -> None:
    if torch.cuda.is_available():
        pytest.skip("CUDA is here")
    assert "CUDA" in choose_device().reason or "NVIDIA" in choose_device().reason
