"""Two processes train one network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

WORKER = """
import sys
from pathlib import Path
import numpy as np, torch
from napari_liverdx.training.distributed import data_parallel, distributed_run, world
from napari_liverdx.training.config import TrainConfig
from napari_liverdx.training.transfer import TrainJob, fine_tune
from napari_liverdx.training.data.folders import FolderDataset
from napari_liverdx.models.architectures.registry import ARCHITECTURES, build_model

folder, out = Path(sys.argv[1]), Path(sys.argv[2])
torch.set_num_threads(1)
with distributed_run("cpu") as device:
    rank, size = world()
    assert size == 2
    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 1)
    data = torch.arange(12.0).view(4, 3)
    # Of two parameters one takes part in one process alone.
    layer.register_parameter("scale", torch.nn.Parameter(torch.ones(())))
    class Loss(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer
        def forward(self, x):
            loss = self.layer(x).square().mean()
            return loss * self.layer.scale if rank else loss
    shared = data_parallel(Loss())
    shared(data[rank::2]).backward()
    samples = FolderDataset(folder, ("normal", "cancer"), r"^(p\\d+)_")
    network = build_model("rnn-subtiles", 2, {"cells": 4, "hidden": 4, "projection": 8}, 64)
    network.pretrained = False
    config = TrainConfig(epochs=2, warmup_epochs=0, tiles_per_epoch=24, batch_size=8, ema_decay=0.5)
    train = np.flatnonzero(np.isin(samples.groups, ["p0", "p1", "p2"]))
    val = np.setdiff1d(np.arange(len(samples)), train)
    job = TrainJob(samples, train, val, 64, config, device)
    epochs = list(fine_tune(network, job, checkpoint=out / "run.checkpoint"))
    torch.save({"gradient": layer.weight.grad, "scale": layer.scale.grad,
                "weights": network.state_dict(),
                "losses": [(e.train_loss, e.val_loss) for e in epochs]}, out / f"{rank}.pt")
"""


@pytest.mark.slow
def test_two_processes_train_one_network(class_folders: Path, tmp_path: Path) -> None:
    """torchrun's own launch: gradients are those of the whole batch, weights stay alike."""
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    outcome = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
         str(script), str(class_folders), str(tmp_path)],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert outcome.returncode == 0, outcome.stderr[-3000:]
    one, two = (torch.load(tmp_path / f"{r}.pt", weights_only=True) for r in (0, 1))
    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 1)
    layer(torch.arange(12.0).view(4, 3)).square().mean().backward()
    assert layer.weight.grad is not None
    assert torch.allclose(one["gradient"], layer.weight.grad, rtol=1e-5)
    assert torch.equal(one["gradient"], two["gradient"])
    assert torch.equal(one["scale"], two["scale"])
    for name, tensor in one["weights"].items():
        assert torch.equal(tensor, two["weights"][name]), name
    assert one["losses"] == two["losses"]
    assert (tmp_path / "run.checkpoint").exists()
