"""Runs: damage, stopping, kills, full disks."""

from __future__ import annotations

import itertools
import resource
import signal
from pathlib import Path

import numpy as np
import pytest

from napari_liverdx.inference.run import analyze, make_manifest
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.results.store import ResultStore, TileState
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.slide import Slide
from tests.support.runs import child, make_plan, run_into
from tests.support.slides import corrupt_tile


def test_corrupt_tile_is_marked_and_the_run_goes_on(
    tmp_path: Path, small_slide: Path, tiny: LoadedModel
) -> None:
    with open_slide(small_slide) as good:
        whole = run_into(good, tiny, tmp_path / "good.liverdx.zarr")
    corrupt_tile(small_slide, 3 * 9 + 4)
    with open_slide(small_slide) as damaged:
        store = run_into(damaged, tiny, tmp_path / "bad.liverdx.zarr")
    assert store.count(TileState.FAILED) >= 1
    assert store.count(TileState.PENDING) == 0
    failed = store.state == TileState.FAILED
    assert np.allclose(
        store.tile_probabilities[:, ~failed], whole.tile_probabilities[:, ~failed], atol=1e-5
    )
    assert (store.tile_probabilities[:, failed] == 0).all()
    assert store.tissue_subtiles().sum() < whole.tissue_subtiles().sum()


def test_closing_stops_reading_and_keeps_what_is_done(
    tmp_path: Path, opened_slide: Slide, tiny: LoadedModel
) -> None:
    plan = make_plan(opened_slide, tiny, batch_size=2)
    path = tmp_path / "a.liverdx.zarr"
    store = ResultStore.create(
        path, make_manifest(plan, opened_slide, tiny), plan.tissue, plan.tiles
    )
    steps = analyze(plan, opened_slide, tiny, store)
    seen = list(itertools.islice(steps, 3))
    steps.close()
    assert [p.done for p in seen] == [0, 2, 4]
    again = ResultStore.open(path)
    assert again.count(TileState.DONE) == 4
    assert not again.manifest.finished
    finished = run_into(opened_slide, tiny, path, batch_size=2)
    fresh = run_into(opened_slide, tiny, tmp_path / "b.liverdx.zarr", batch_size=2)
    assert np.allclose(finished.probabilities, fresh.probabilities, atol=1e-6)
    assert finished.manifest.finished
    assert finished.manifest.timings["seconds"] > 0


@pytest.mark.slow
def test_a_killed_run_resumes_without_a_half_written_tile(
    tmp_path: Path, small_slide: Path, tiny_file: Path, tiny: LoadedModel
) -> None:
    path = tmp_path / "killed.liverdx.zarr"
    process = child(tmp_path, small_slide, tiny_file, path)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= 6:
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    with open_slide(small_slide) as slide:
        whole = run_into(slide, tiny, tmp_path / "whole.liverdx.zarr", batch_size=2)
        left = ResultStore.open(path)
        done = left.state == TileState.DONE
        assert 4 <= done.sum() < (whole.state == TileState.DONE).sum()
        assert np.allclose(
            left.tile_probabilities[:, done], whole.tile_probabilities[:, done], atol=1e-6
        )
        resumed = run_into(slide, tiny, path, batch_size=2)
    assert np.allclose(resumed.probabilities, whole.probabilities, atol=1e-6)


@pytest.mark.slow
def test_a_full_disk_is_named_and_loses_nothing(
    tmp_path: Path, small_slide: Path, tiny_file: Path, tiny: LoadedModel
) -> None:
    path = tmp_path / "full.liverdx.zarr"
    # The system refuses files beyond this size, as it refuses any file on a full disk.
    extra = (
        "import resource, itertools\n"
        "steps = analyze(plan, slide, model, store)\n"
        "list(itertools.islice(steps, 4))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60, -1))\n"
        "try:\n    list(steps)\n"
        "finally:\n    resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))\n"
    )
    process = child(tmp_path, small_slide, tiny_file, path, extra)
    _, errors = process.communicate()
    assert process.returncode == 1
    assert "StorageFullError" in errors.splitlines()[-1]
    assert "disk is full" in errors
    left = ResultStore.open(path)
    assert left.count(TileState.DONE) >= 4
    with open_slide(small_slide) as slide:
        assert run_into(slide, tiny, path, batch_size=2).is_complete


def test_limits_of_this_process_are_untouched() -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] in (resource.RLIM_INFINITY, 2**63 - 1)
