"""Planning, predicting, storing: parity, damage, memory, resuming."""

from __future__ import annotations

import itertools
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import ome_zarr_models
import pytest
import torch
import zarr

from napari_liverdx.core.errors import (
    MppError,
    NoTissueError,
    PlanError,
    ResultError,
    ResultMismatchError,
)
from napari_liverdx.core.grid import TileIndex
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.inference.device import choose_device
from napari_liverdx.inference.plan import RunPlan, plan_run
from napari_liverdx.inference.predict import _next_size, predict
from napari_liverdx.inference.run import analyze, make_manifest
from napari_liverdx.models.architectures.base import TileModel, TileOutput
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.results.store import ResultStore, TileState
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.slide import Slide
from napari_liverdx.slides.tiles import read_tile
from napari_liverdx.slides.tissue import slide_tissue

from .conftest import CMU, make_card
from .test_slides import corrupt_tile


@pytest.fixture
def slide(small_slide: Path) -> Iterator[Slide]:
    with open_slide(small_slide) as opened:
        yield opened


def make_plan(slide: Slide, model: LoadedModel, **options: object) -> RunPlan:
    device = options.pop("device", choose_device("cpu"))
    tissue = slide_tissue(slide)
    return plan_run(slide.levels, slide.mpp, tissue, model.card, device=device, **options)


def run(slide: Slide, model: LoadedModel, path: Path, **options: object) -> ResultStore:
    plan = make_plan(slide, model, **options)
    manifest = make_manifest(plan, slide, model)
    store = ResultStore.open_or_create(path, manifest, plan.tissue, plan.tiles)
    for _ in analyze(plan, slide, model, store):
        pass
    return store


def collect(plan: RunPlan, slide: Slide, model: LoadedModel) -> dict[TileIndex, np.ndarray]:
    return {
        tile: values
        for batch in predict(plan, slide, model)
        for tile, values in zip(batch.tiles, batch.probabilities, strict=True)
    }


# -- planning --


def test_plan_covers_the_tissue_and_nothing_else(slide: Slide, tiny: LoadedModel) -> None:
    plan = make_plan(slide, tiny)
    chosen = set(plan.tiles)
    assert len(chosen) == len(plan.tiles)
    for tile in plan.grid:
        assert (tile in chosen) == (plan.tissue.fraction(plan.grid.rect(tile)) >= 0.01)


def test_unknown_resolution_empty_region_and_bad_batch(slide: Slide, tiny: LoadedModel) -> None:
    tissue = slide_tissue(slide)
    with pytest.raises(MppError, match="--mpp"):
        plan_run(slide.levels, None, tissue, tiny.card)
    corner = np.array([[0, 0], [2, 0], [2, 2], [0, 2]], float)
    empty = np.zeros_like(tissue.mask)
    nothing = type(tissue)(empty, tissue.scale_x, tissue.scale_y)
    with pytest.raises(NoTissueError, match="this slide"):
        plan_run(slide.levels, slide.mpp, nothing, tiny.card)
    with pytest.raises(NoTissueError, match="chosen region"):
        plan_run(slide.levels, slide.mpp, nothing, tiny.card, regions=[corner])
    with pytest.raises(PlanError, match="at least one"):
        make_plan(slide, tiny, batch_size=0)


def test_a_coarse_slide_is_warned_about_not_refused(slide: Slide, tiny: LoadedModel) -> None:
    tissue = slide_tissue(slide)
    plan = plan_run(slide.levels, Mpp.square(1.0), tissue, tiny.card)
    assert "enlarged" in plan.warnings[0]
    assert plan.grid.tile_width == 112


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


# -- parity --


def test_batched_equals_one_by_one(slide: Slide, tiny: LoadedModel) -> None:
    many = collect(make_plan(slide, tiny, batch_size=8), slide, tiny)
    single = collect(make_plan(slide, tiny, batch_size=1), slide, tiny)
    assert many.keys() == single.keys()
    for tile, values in many.items():
        assert np.abs(values - single[tile]).max() < 1e-5


def test_streamed_equals_whole(slide: Slide, tiny: LoadedModel) -> None:
    plan = make_plan(slide, tiny)
    width, height = slide.size
    pixels = np.full((height + 224, width + 224, 3), 255, np.uint8)
    pixels[:height, :width] = slide.read_region(0, 0, 0, width, height)
    tiles = [
        pixels[y : y + 224, x : x + 224] for x, y, _, _ in map(plan.grid.level_rect, plan.tiles)
    ]
    batch = torch.from_numpy(np.stack(tiles)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        expected = tiny.probabilities(tiny.network(batch).scores).numpy()
    streamed = collect(plan, slide, tiny)
    for tile, values in zip(plan.tiles, expected, strict=True):
        assert np.abs(streamed[tile] - values).max() < 1e-5


def test_resampled_tiles_match_a_resampled_slide(slide: Slide, tiny: LoadedModel) -> None:
    from PIL import Image

    slide.set_mpp(Mpp.square(0.25))
    card = make_card(mpp=0.375)
    plan = plan_run(slide.levels, slide.mpp, slide_tissue(slide), card)
    assert (plan.grid.level, plan.grid.tile_width) == (0, 336)
    tile = plan.tiles[0]
    out = np.empty((224, 224, 3), np.uint8)
    read_tile(slide, plan.grid, tile, out)
    x, y, w, h = plan.grid.level_rect(tile)
    peer = Image.fromarray(slide.read_region(0, x, y, w, h)).resize((224, 224), Image.BOX)
    assert np.abs(out.astype(int) - np.asarray(peer)).mean() < 6


@pytest.mark.gpu
def test_gpu_equals_cpu(slide: Slide, tiny: LoadedModel) -> None:
    cpu = collect(make_plan(slide, tiny), slide, tiny)
    for precision, tolerance in (("float32", 2e-3), ("float16", 2e-2)):
        device = choose_device("cuda", precision)
        gpu = collect(make_plan(slide, tiny, device=device), slide, tiny)
        assert max(np.abs(gpu[t] - cpu[t]).max() for t in cpu) < tolerance
    tiny.network.to("cpu")


def test_bfloat16_on_the_cpu_stays_close(slide: Slide, tiny: LoadedModel) -> None:
    exact = collect(make_plan(slide, tiny), slide, tiny)
    rough = collect(make_plan(slide, tiny, device=choose_device("cpu", "bfloat16")), slide, tiny)
    assert max(np.abs(rough[t] - exact[t]).max() for t in exact) < 0.05


# -- trouble on the way --


class Hungry(TileModel):
    """Runs out of memory on more than ``limit`` tiles."""

    def __init__(self, inner: TileModel, limit: int) -> None:
        super().__init__()
        self.inner, self.limit, self.cells = inner, limit, inner.cells
        self.tried: list[int] = []

    def forward(self, tiles: torch.Tensor) -> TileOutput:
        self.tried.append(len(tiles))
        if len(tiles) > self.limit:
            raise torch.OutOfMemoryError("no memory left")
        return self.inner(tiles)

    def classify(self, x: torch.Tensor) -> TileOutput:
        return self.inner.classify(x)


def test_batches_shrink_when_memory_runs_out(slide: Slide, tiny: LoadedModel) -> None:
    expected = collect(make_plan(slide, tiny, batch_size=8), slide, tiny)
    hungry = Hungry(tiny.network, 3)
    model = LoadedModel(tiny.card, hungry, tiny.sha256, tiny.path)
    found = collect(make_plan(slide, tiny, batch_size=8), slide, model)
    for tile, values in expected.items():
        assert np.abs(found[tile] - values).max() < 1e-5
    assert hungry.tried[:3] == [8, 4, 2]
    assert max(hungry.tried[3:]) == 2, "later batches stay small"
    starving = LoadedModel(tiny.card, Hungry(tiny.network, 0), tiny.sha256, tiny.path)
    with pytest.raises(PlanError, match="not enough memory"):
        collect(make_plan(slide, tiny), slide, starving)


def test_corrupt_tile_is_marked_and_the_run_goes_on(
    tmp_path: Path, small_slide: Path, tiny: LoadedModel
) -> None:
    with open_slide(small_slide) as good:
        whole = run(good, tiny, tmp_path / "good.liverdx.zarr")
    corrupt_tile(small_slide, 3 * 9 + 4)
    with open_slide(small_slide) as damaged:
        store = run(damaged, tiny, tmp_path / "bad.liverdx.zarr")
    assert store.count(TileState.FAILED) >= 1
    assert store.count(TileState.PENDING) == 0
    failed = store.state == TileState.FAILED
    assert np.allclose(
        store.tile_probabilities[:, ~failed], whole.tile_probabilities[:, ~failed], atol=1e-5
    )
    assert (store.tile_probabilities[:, failed] == 0).all()
    assert store.tissue_cells().sum() < whole.tissue_cells().sum()


def test_closing_stops_reading_and_keeps_what_is_done(
    tmp_path: Path, slide: Slide, tiny: LoadedModel
) -> None:
    plan = make_plan(slide, tiny, batch_size=2)
    path = tmp_path / "a.liverdx.zarr"
    store = ResultStore.create(path, make_manifest(plan, slide, tiny), plan.tissue, plan.tiles)
    steps = analyze(plan, slide, tiny, store)
    seen = list(itertools.islice(steps, 3))
    steps.close()
    assert [p.done for p in seen] == [0, 2, 4]
    again = ResultStore.open(path)
    assert again.count(TileState.DONE) == 4
    assert not again.manifest.finished
    finished = run(slide, tiny, path, batch_size=2)
    fresh = run(slide, tiny, tmp_path / "b.liverdx.zarr", batch_size=2)
    assert np.allclose(finished.probabilities, fresh.probabilities, atol=1e-6)
    assert finished.manifest.finished
    assert finished.manifest.timings["seconds"] > 0


@pytest.mark.parametrize(
    ("size", "seconds", "expected"),
    [(1, 0.01, 2), (16, 0.01, 16), (8, 0.2, 8), (8, 0.9, 4), (1, 5, 1)],
)
def test_batches_grow_while_they_are_quick(size: int, seconds: float, expected: int) -> None:
    assert _next_size(size, 16, seconds) == expected


# -- the store --


def test_result_is_valid_ome_zarr(tmp_path: Path, slide: Slide, tiny: LoadedModel) -> None:
    store = run(slide, tiny, tmp_path / "a.liverdx.zarr")
    group = zarr.open_group(store.path, mode="r")
    image = ome_zarr_models.open_ome_zarr(group)
    assert type(image).__name__ == "Image"
    dataset = image.attributes.ome.multiscales[0].datasets[0]
    scale, translation = dataset.coordinateTransformations
    assert scale.scale == pytest.approx([1, 16, 16])
    assert translation.translation == pytest.approx([0, 7.75, 7.75])
    assert group["probabilities"].shape == store.probabilities.shape
    assert (group["probabilities"][...] == store.probabilities).all()
    sums = store.probabilities.sum(0)[store.tissue_cells()]
    assert sums == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("overlap", [2 / 7, 4 / 7, 0.5])
def test_overlapping_tiles_are_averaged(
    tmp_path: Path, slide: Slide, tiny: LoadedModel, overlap: float
) -> None:
    store = run(slide, tiny, tmp_path / "a.liverdx.zarr", overlap=overlap)
    again = ResultStore.open(store.path)
    assert np.allclose(again.probabilities, store.probabilities, atol=1e-6)
    assert again.probabilities.sum(0)[again.tissue_cells()] == pytest.approx(1, abs=1e-4)
    plan = make_plan(slide, tiny, overlap=overlap)
    cell = plan.grid.tile_width / 7
    total, count = np.zeros_like(store.probabilities), np.zeros(store.probabilities.shape[1:])
    for batch in predict(plan, slide, tiny):
        assert batch.cells is not None
        for tile, cells in zip(batch.tiles, batch.cells, strict=True):
            x, y, _, _ = plan.grid.level_rect(tile)
            rows = slice(round((y - plan.grid.y) / cell), round((y - plan.grid.y) / cell) + 7)
            cols = slice(round((x - plan.grid.x) / cell), round((x - plan.grid.x) / cell) + 7)
            total[:, rows, cols] += cells
            count[rows, cols] += 1
    assert count.max() > 1
    assert np.allclose(store.probabilities, total / np.maximum(count, 1), atol=1e-5)


def test_another_run_in_the_folder_is_left_alone(
    tmp_path: Path, slide: Slide, tiny: LoadedModel
) -> None:
    path = tmp_path / "a.liverdx.zarr"
    run(slide, tiny, path)
    before = {p: p.read_bytes() for p in path.rglob("*") if p.is_file()}
    other = LoadedModel(tiny.card, tiny.network, "0" * 64, tiny.path)
    with pytest.raises(ResultMismatchError, match="different model"):
        run(slide, other, path)
    slide.set_mpp(Mpp.square(0.4))
    with pytest.raises(ResultMismatchError, match="µm/px"):
        run(slide, tiny, path)
    with open_slide(CMU) as another, pytest.raises(ResultMismatchError, match="slide"):
        run(another, tiny, path)
    assert before == {p: p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_two_runs_never_write_into_one_result(
    tmp_path: Path, slide: Slide, tiny: LoadedModel
) -> None:
    path = tmp_path / "r.liverdx.zarr"
    plan = make_plan(slide, tiny, batch_size=1)
    manifest = make_manifest(plan, slide, tiny)
    first = ResultStore.open_or_create(path, manifest, plan.tissue, plan.tiles)
    second = ResultStore.open(path)
    steps = analyze(plan, slide, tiny, first)
    next(steps)
    with pytest.raises(ResultError, match="another run is writing"):
        next(analyze(plan, slide, tiny, second))
    steps.close()
    for _ in analyze(plan, slide, tiny, ResultStore.open(path)):
        pass
    assert ResultStore.open(path).is_complete


def test_damaged_and_foreign_results_are_named(
    tmp_path: Path, slide: Slide, tiny: LoadedModel
) -> None:
    with pytest.raises(ResultError, match="no such result"):
        ResultStore.open(tmp_path / "none.liverdx.zarr")
    (tmp_path / "folder.liverdx.zarr").mkdir()
    with pytest.raises(ResultError, match="not a result"):
        ResultStore.open(tmp_path / "folder.liverdx.zarr")
    path = tmp_path / "a.liverdx.zarr"
    run(slide, tiny, path)
    shutil.rmtree(path / "cells")
    with pytest.raises(ResultError, match="cells"):
        ResultStore.open(path)


CHILD = """
import sys
from pathlib import Path
from napari_liverdx.inference import run as module
from napari_liverdx.inference.run import (analyze, make_manifest)
from napari_liverdx.slides.tissue import slide_tissue
from napari_liverdx.inference.device import choose_device
from napari_liverdx.inference.plan import plan_run
from napari_liverdx.results.store import ResultStore
from napari_liverdx.slides.open import open_slide
from napari_liverdx.models.file import load_model_file

module._FLUSH_SECONDS = 0.0
slide, model = open_slide(sys.argv[1]), load_model_file(Path(sys.argv[2]))
plan = plan_run(slide.levels, slide.mpp, slide_tissue(slide), model.card,
                device=choose_device("cpu"), batch_size=2)
store = ResultStore.open_or_create(
    Path(sys.argv[3]), make_manifest(plan, slide, model), plan.tissue, plan.tiles)
{extra}
for step in analyze(plan, slide, model, store):
    sys.stdout.write(f"{{step.done}}\\n")
    sys.stdout.flush()
"""


def child(
    tmp_path: Path, slide: Path, model: Path, result: Path, extra: str = ""
) -> subprocess.Popen[str]:
    script = tmp_path / "child.py"
    script.write_text(textwrap.dedent(CHILD.format(extra=extra)))
    return subprocess.Popen(
        [sys.executable, str(script), str(slide), str(model), str(result)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


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
        whole = run(slide, tiny, tmp_path / "whole.liverdx.zarr", batch_size=2)
        left = ResultStore.open(path)
        done = left.state == TileState.DONE
        assert 4 <= done.sum() < (whole.state == TileState.DONE).sum()
        assert np.allclose(
            left.tile_probabilities[:, done], whole.tile_probabilities[:, done], atol=1e-6
        )
        resumed = run(slide, tiny, path, batch_size=2)
    assert np.allclose(resumed.probabilities, whole.probabilities, atol=1e-6)


def test_a_full_disk_is_named_and_loses_nothing(
    tmp_path: Path, small_slide: Path, tiny_file: Path, tiny: LoadedModel
) -> None:
    path = tmp_path / "full.liverdx.zarr"
    # The system refuses files beyond this size, as it refuses any file on a full disk.
    extra = (
        "import resource, itertools\n"
        "steps = analyze(plan, slide, model, store)\n"
        "list(itertools.islice(steps, 4))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60, 60))\n"
        "list(steps)"
    )
    process = child(tmp_path, small_slide, tiny_file, path, extra)
    _, errors = process.communicate()
    assert process.returncode == 1
    assert "StorageFullError" in errors.splitlines()[-1]
    assert "disk is full" in errors
    left = ResultStore.open(path)
    assert left.count(TileState.DONE) >= 4
    with open_slide(small_slide) as slide:
        assert run(slide, tiny, path, batch_size=2).is_complete


def test_limits_of_this_process_are_untouched() -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] in (resource.RLIM_INFINITY, 2**63 - 1)


def test_manifest_holds_no_folder(tmp_path: Path, slide: Slide, tiny: LoadedModel) -> None:
    store = run(slide, tiny, tmp_path / "a.liverdx.zarr")
    text = json.dumps(store.manifest.model_dump(mode="json"))
    assert os.fspath(tmp_path) not in text
    assert store.manifest.slide_name == "small.tif"
    assert store.manifest.mpp_source == "TIFF resolution tag"
