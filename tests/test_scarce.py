"""A disk that is full, then read-only, then free again: one message each, nothing lost."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from napari_liverdx.exports.registry import EXPORTS
from napari_liverdx.inference.run import analyze, make_manifest
from napari_liverdx.models.file import load_model_file
from napari_liverdx.results.store import ResultStore
from napari_liverdx.slides.open import open_slide
from tests.support.folders import RECIPE
from tests.support.kill_jobs import write_inputs
from tests.support.paths import REPOSITORY
from tests.support.runs import make_plan

APART = ("unshare", "--user", "--map-root-user", "--mount")
"""A mount in there is seen by nobody else and needs no rights."""


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """Slides, tiles, a model, a whole result and one begun."""
    probe = [*APART, "mount", "-t", "tmpfs", "tmpfs", str(tmp_path)]
    if shutil.which("unshare") is None or subprocess.run(probe, check=False).returncode:
        pytest.skip("no disk of a chosen size can be mounted here")
    folder = tmp_path / "inputs"
    write_inputs(folder)
    (folder / "done.liverdx.zarr").rename(folder / "own.liverdx.zarr")
    (folder / "tiny.toml").write_text(RECIPE)
    model = load_model_file(folder / "m.safetensors")
    with open_slide(folder / "slide.tif") as slide:
        plan = make_plan(slide, model, batch_size=1)
        manifest, path = make_manifest(plan, slide, model), folder / "half.liverdx.zarr"
        store = ResultStore.create(path, manifest, plan.tissue, plan.tiles)
        steps = analyze(plan, slide, model, store)
        list(itertools.islice(steps, 3))
        steps.close()
    return folder


@pytest.mark.slow
def test_a_scarce_disk_is_told_and_loses_nothing(tmp_path: Path, inputs: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    paths = os.pathsep.join([str(REPOSITORY), *filter(None, sys.path)])
    told = subprocess.run(
        [*APART, sys.executable, "-m", "tests.support.scarce", str(disk), str(inputs)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    parts = told.stdout.split("-- ")[1:]
    full, left, fixed, free = (
        dict(line.split(": ", 1) for line in p.splitlines()[1:]) for p in parts
    )
    assert "half.liverdx.zarr own.liverdx.zarr" in parts[1]
    assert ".partial" not in parts[1]
    assert not left
    works = {"run", "resume", "report", "review", "view", *EXPORTS}
    for work in works:
        assert full[work].startswith("StorageFullError: "), full[work]
        assert "the disk is full" in full[work]
        assert fixed[work].startswith("ResultError: "), fixed[work]
        assert "cannot be written (Read-only file system)" in fixed[work]
    assert "t.safetensors: the disk is full" in full["train"]
    assert full["batch"].count("the disk is full") == 2
    assert fixed["batch"].count("Read-only file system") == 2
    assert full["open"] == fixed["open"] == free["open"]
    assert free["run"] == free["resume"] == "True"
    assert free["batch"] == " / "
    assert free["report"] == "3"
    assert {free[name] for name in (*EXPORTS, "review", "view")} == {"None"}
