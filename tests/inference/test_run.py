"""Runs: damage, stopping, slides and results that change or vanish, stalled storage."""

from __future__ import annotations

import itertools
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_liverdx.core.errors import (
    ResultError,
    ResultMismatchError,
    SlideChangedError,
    SlideReadError,
)
from napari_liverdx.inference import predict as predicting
from napari_liverdx.inference.run import analyze, make_manifest
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.results.store import ResultStore, TileState
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.slide import Slide
from tests.support.runs import make_plan, run_into
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


class Storage:
    """Stands between a slide and its file: at a tile something happens, or all reads wait."""

    def __init__(self, slide: Slide) -> None:
        self.slide, self.count = slide, 0
        self.answers = threading.Event()
        self.answers.set()
        self.at: dict[int, Callable[[], None]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.slide, name)

    def read_region(self, *place: Any) -> np.ndarray:
        self.count += 1
        self.at.pop(self.count, lambda: None)()
        self.answers.wait()
        return self.slide.read_region(*place)


def started(slide: Any, model: LoadedModel, path: Path) -> tuple[ResultStore, Any]:
    plan = make_plan(slide, model, batch_size=1)
    manifest = make_manifest(plan, slide, model)
    store = ResultStore.open_or_create(path, manifest, plan.tissue, plan.tiles)
    return store, analyze(plan, slide, model, store)


def test_a_slide_removed_during_the_run_is_told_and_resumed(
    tmp_path: Path, small_slide: Path, tiny: LoadedModel
) -> None:
    path = tmp_path / "a.liverdx.zarr"
    with open_slide(small_slide) as slide:
        _, steps = started(slide, tiny, path)
        seen = list(itertools.islice(steps, 4))
        small_slide.rename(tmp_path / "away.tif")
        with pytest.raises(SlideReadError, match=r"the slide is gone.*start again to resume"):
            list(steps)
    left = ResultStore.open(path)
    assert left.count(TileState.DONE) >= seen[-1].done == 3
    (tmp_path / "away.tif").rename(small_slide)
    with open_slide(small_slide) as slide:
        whole = run_into(slide, tiny, tmp_path / "b.liverdx.zarr", batch_size=1)
        assert (
            run_into(slide, tiny, path, batch_size=1).probabilities == whole.probabilities
        ).all()


def test_unreadable_tiles_of_a_removed_slide_are_not_called_damaged(
    tmp_path: Path, small_slide: Path, tiny: LoadedModel
) -> None:
    def vanish() -> None:
        small_slide.rename(tmp_path / "away.tif")
        raise SlideReadError("no such file")

    with open_slide(small_slide) as slide:
        storage = Storage(slide)
        store, steps = started(storage, tiny, tmp_path / "a.liverdx.zarr")
        storage.at[storage.count + 5] = vanish
        with pytest.raises(SlideReadError, match="the slide is gone"):
            list(steps)
    assert ResultStore.open(store.path).count(TileState.FAILED) == 0


def test_nothing_of_a_changed_slide_is_kept(
    tmp_path: Path, small_slide: Path, tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = small_slide.read_bytes()
    with open_slide(small_slide) as slide:
        store, steps = started(slide, tiny, tmp_path / "a.liverdx.zarr")
        list(itertools.islice(steps, 4))
        store.flush()
        next(steps)
        with small_slide.open("ab") as file:
            file.write(b"changed")
        shown = store.probabilities
        with pytest.raises(SlideChangedError, match="changed while it was analyzed"):
            list(steps)
    assert store.count(TileState.DONE) == 3
    assert store.probabilities is shown
    again = ResultStore.open(store.path)
    assert (again.state == store.state).all()
    assert np.array_equal(again.probabilities, shown)
    with open_slide(small_slide) as slide, pytest.raises(ResultMismatchError, match="slide"):
        run_into(slide, tiny, store.path)
    small_slide.write_bytes(before)
    with open_slide(small_slide) as slide:
        assert run_into(slide, tiny, store.path, batch_size=1).is_complete


def test_a_slide_written_to_without_a_change_is_noted(
    tmp_path: Path, small_slide: Path, tiny: LoadedModel
) -> None:
    with open_slide(small_slide) as slide:
        store, steps = started(slide, tiny, tmp_path / "a.liverdx.zarr")
        next(steps)
        os.utime(small_slide, ns=(0, 0))
        list(steps)
    assert (
        "was written to while it was analyzed" in ResultStore.open(store.path).manifest.warnings[0]
    )


def test_a_slide_written_to_between_runs_is_noted(
    tmp_path: Path, small_slide: Path, tiny: LoadedModel
) -> None:
    path = tmp_path / "a.liverdx.zarr"
    for touched in (False, True):
        if touched:
            os.utime(small_slide, ns=(0, 0))
        with open_slide(small_slide) as slide:
            _, steps = started(slide, tiny, path)
            list(itertools.islice(steps, 3))
            steps.close()
        found = ResultStore.open(path).manifest.warnings
        assert any("has another date than when its analysis began" in w for w in found) == touched


def test_storage_that_does_not_answer_is_told_and_can_be_left(
    tmp_path: Path, small_slide: Path, tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predicting, "STALL_SECONDS", 0.01)
    path = tmp_path / "a.liverdx.zarr"
    slide = open_slide(small_slide)
    storage = Storage(slide)
    _, steps = started(storage, tiny, path)
    storage.at[storage.count + 4] = storage.answers.clear
    stalled = next(step for step in steps if step.waiting_seconds and step.done)
    assert stalled.stall.startswith("No answer from the slide's storage for 0 s")
    later = next(steps)
    assert later.waiting_seconds > stalled.waiting_seconds
    steps.close()
    assert ResultStore.open(path).count(TileState.DONE) == stalled.done
    # The reads are still under way: closing must not take the file away from them.
    slide.close()
    assert slide.read_region(0, 0, 0, 8, 8).shape == (8, 8, 3)
    storage.answers.set()
    for thread in threading.enumerate():
        if thread.name.startswith("liverdx-read"):
            thread.join()
    monkeypatch.undo()
    with open_slide(small_slide) as again:
        assert run_into(again, tiny, path, batch_size=1).is_complete


def test_storage_that_answers_again_goes_on(
    tmp_path: Path, small_slide: Path, tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predicting, "STALL_SECONDS", 0.01)
    with open_slide(small_slide) as slide:
        storage = Storage(slide)
        store, steps = started(storage, tiny, tmp_path / "a.liverdx.zarr")
        storage.at[storage.count + 4] = storage.answers.clear
        for step in steps:
            if step.waiting_seconds:
                storage.answers.set()
    assert store.is_complete
    assert not step.stall


def test_a_result_removed_during_the_run_is_told_and_not_made_of_parts(
    tmp_path: Path, opened_slide: Slide, tiny: LoadedModel
) -> None:
    store, steps = started(opened_slide, tiny, tmp_path / "a.liverdx.zarr")
    list(itertools.islice(steps, 3))
    shutil.rmtree(store.path)
    with pytest.raises(ResultError, match="the result is gone"):
        list(steps)
    assert not store.path.exists()


def test_another_program_that_wrote_since_loses_nothing(
    tmp_path: Path, opened_slide: Slide, tiny: LoadedModel
) -> None:
    path = tmp_path / "a.liverdx.zarr"
    late, steps = started(opened_slide, tiny, path)
    _, first = started(opened_slide, tiny, path)
    list(itertools.islice(first, 6))
    first.close()
    assert late.count(TileState.DONE) == 0
    assert next(steps).done == 5
    steps.close()
    assert ResultStore.open(path).count(TileState.DONE) == 5


def test_a_clock_that_was_set_back_changes_nothing(
    tmp_path: Path, opened_slide: Slide, tiny: LoadedModel
) -> None:
    path = tmp_path / "a.liverdx.zarr"
    _, steps = started(opened_slide, tiny, path)
    list(itertools.islice(steps, 3))
    steps.close()
    for file in path.rglob("*"):
        os.utime(file, (4e9, 4e9))
    group = zarr.open_group(path, mode="r+")
    group.attrs["liverdx"] = {**group.attrs["liverdx"], "created": "2096-01-01T00:00:00+00:00"}
    again = run_into(opened_slide, tiny, path)
    assert again.is_complete
    assert again.manifest.finished < again.manifest.created
    assert ResultStore.open(path).is_complete
