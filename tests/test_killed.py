"""Works that are killed at any step towards the disk go on to the same end; nothing half is shown.

`make kill` does it fifty times, training and fine-tuning among them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.kill_jobs import JOBS, write_inputs
from tests.support.killing import run_killed, steps_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL on Windows"),
]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed") / "inputs"
    write_inputs(folder)
    return folder


@pytest.mark.parametrize(("name", "kills"), [("run", 1), ("batch", 1), ("export", 1)])
def test_a_killed_work_ends_as_if_nothing_had_happened(
    tmp_path: Path, inputs: Path, name: str, kills: int
) -> None:
    job, rng = JOBS[name], np.random.default_rng(len(name))
    whole, killed = tmp_path / "whole", 0
    steps = steps_of(job.work, inputs, whole, content=False)
    for trial in range(kills):
        folder = tmp_path / str(trial)
        # Twice before it may end.
        for _ in range(2):
            step = int(rng.integers(1, steps))
            killed += run_killed(job.work, inputs, folder, step, content=False)
            job.shown(folder, whole)
        assert not run_killed(job.work, inputs, folder, 0)
        job.same(folder, whole)
    assert killed >= kills
