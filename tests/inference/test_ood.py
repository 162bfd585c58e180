"""Out-of-distribution readings of runs and of a few tiles."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_liverdx.inference.ood import probe_ood, read_result
from napari_liverdx.inference.run import analyze, make_manifest
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.results.store import ResultStore
from napari_liverdx.slides.open import open_slide
from tests.support.runs import make_plan


def test_resumed_run_gives_the_same_reading(
    tmp_path: Path, small_slide: Path, knowing: LoadedModel
) -> None:
    with open_slide(small_slide) as slide:
        plan = make_plan(slide, knowing)
        stores = []
        for name in ("whole", "resumed"):
            path = tmp_path / f"{name}.liverdx.zarr"
            manifest = make_manifest(plan, slide, knowing)
            store = ResultStore.create(path, manifest, plan.tissue, plan.tiles)
            steps = analyze(plan, slide, knowing, store)
            if name == "resumed":
                next(steps)
                next(steps)
                steps.close()
                assert 0 < len(store.pending(plan.tiles)) < len(plan.tiles)
                store = ResultStore.open(path)
                steps = analyze(plan, slide, knowing, store)
            last = list(steps)[-1]
            assert last.ood == read_result(store, knowing.card)
            stores.append(ResultStore.open(path))
    whole, resumed = stores
    np.testing.assert_allclose(whole.ood, resumed.ood, rtol=1e-3)
    assert np.isfinite(whole.ood).sum() == len(plan.tiles)
    assert whole.manifest.ood["tiles"] == len(plan.tiles)
    assert whole.manifest.ood == resumed.manifest.ood


class Counted(np.ndarray):
    """Counts how often values are read."""

    reads = 0

    def __getitem__(self, key: object) -> object:
        Counted.reads += 1
        return np.asarray(self)[key]


def test_a_run_does_not_read_all_scores_again_for_each_batch(
    tmp_path: Path, small_slide: Path, knowing: LoadedModel
) -> None:
    with open_slide(small_slide) as slide:
        plan = make_plan(slide, knowing, batch_size=1)
        manifest = make_manifest(plan, slide, knowing)
        store = ResultStore.create(tmp_path / "x.liverdx.zarr", manifest, plan.tissue, plan.tiles)
        store.ood = store.ood.view(Counted)
        Counted.reads = 0
        steps = list(analyze(plan, slide, knowing, store))
    assert len(steps) > 4
    assert Counted.reads <= 4, "at the start, when written and at the end"
    tiles = [step.ood.tiles for step in steps if step.ood is not None]
    assert tiles == sorted(tiles)
    assert tiles[-1] == len(plan.tiles)


def test_probe_looks_at_a_few_tiles_of_the_run(small_slide: Path, knowing: LoadedModel) -> None:
    with open_slide(small_slide) as slide:
        plan = make_plan(slide, knowing)
        reading = probe_ood(plan, slide, knowing, n=6)
        assert reading is not None
        assert reading.tiles == 6
        everything = probe_ood(plan, slide, knowing, n=10_000)
        assert everything is not None
        assert everything.tiles == len(plan.tiles)
        silent = replace(knowing, card=knowing.card.model_copy(update={"ood": {}}))
        assert probe_ood(plan, slide, silent) is None


def test_a_look_that_is_ended_counts_what_it_saw(small_slide: Path, knowing: LoadedModel) -> None:
    stop = threading.Event()
    stop.set()
    with open_slide(small_slide) as slide:
        plan = make_plan(slide, knowing, batch_size=1)
        seen = probe_ood(plan, slide, knowing, n=9, stop=stop)
        assert seen is not None
        assert 0 < seen.tiles < 9
