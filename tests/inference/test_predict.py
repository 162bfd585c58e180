"""Predictions: parity between ways, damage, memory."""

from __future__ import annotations

import math
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_liverdx.core.errors import ModelFileError, PlanError
from napari_liverdx.core.grid import TileIndex
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.inference.device import DeviceChoice, choose_device
from napari_liverdx.inference.plan import RunPlan, plan_run
from napari_liverdx.inference.predict import next_batch_size, predict
from napari_liverdx.models.architectures.base import TileModel, TileOutput
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.slides.slide import Slide
from napari_liverdx.slides.tiles import read_tile
from napari_liverdx.slides.tissue import slide_tissue
from tests.support.models import make_card
from tests.support.runs import make_plan


def collect(plan: RunPlan, slide: Slide, model: LoadedModel) -> dict[TileIndex, np.ndarray]:
    return {
        tile: values
        for batch in predict(plan, slide, model)
        for tile, values in zip(batch.tiles, batch.probabilities, strict=True)
    }


def test_batched_equals_one_by_one(opened_slide: Slide, tiny: LoadedModel) -> None:
    many = collect(make_plan(opened_slide, tiny, batch_size=8), opened_slide, tiny)
    single = collect(make_plan(opened_slide, tiny, batch_size=1), opened_slide, tiny)
    assert many.keys() == single.keys()
    for tile, values in many.items():
        assert np.abs(values - single[tile]).max() < 1e-5


def test_streamed_equals_whole(opened_slide: Slide, tiny: LoadedModel) -> None:
    plan = make_plan(opened_slide, tiny)
    width, height = opened_slide.size
    pixels = np.full((height + 224, width + 224, 3), 255, np.uint8)
    pixels[:height, :width] = opened_slide.read_region(0, 0, 0, width, height)
    tiles = [
        pixels[y : y + 224, x : x + 224] for x, y, _, _ in map(plan.grid.level_rect, plan.tiles)
    ]
    batch = torch.from_numpy(np.stack(tiles)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        expected = tiny.probabilities(tiny.network(batch).scores).numpy()
    streamed = collect(plan, opened_slide, tiny)
    for tile, values in zip(plan.tiles, expected, strict=True):
        assert np.abs(streamed[tile] - values).max() < 1e-5


def test_resampled_tiles_match_a_resampled_slide(opened_slide: Slide, tiny: LoadedModel) -> None:
    from PIL import Image

    opened_slide = opened_slide.with_mpp(Mpp.square(0.25))
    card = make_card(mpp=0.375)
    plan = plan_run(opened_slide.levels, opened_slide.mpp, slide_tissue(opened_slide), card)
    assert (plan.grid.level, plan.grid.tile_width) == (0, 336)
    tile = plan.tiles[0]
    out = np.empty((224, 224, 3), np.uint8)
    read_tile(opened_slide, plan.grid, tile, out)
    x, y, w, h = plan.grid.level_rect(tile)
    peer = Image.fromarray(opened_slide.read_region(0, x, y, w, h)).resize((224, 224), Image.BOX)
    assert np.abs(out.astype(int) - np.asarray(peer)).mean() < 6


@pytest.mark.gpu
def test_gpu_equals_cpu(opened_slide: Slide, tiny: LoadedModel) -> None:
    cpu = collect(make_plan(opened_slide, tiny), opened_slide, tiny)
    for precision, tolerance in (("float32", 2e-3), ("float16", 2e-2)):
        device = choose_device("cuda", precision)
        gpu = collect(make_plan(opened_slide, tiny, device=device), opened_slide, tiny)
        assert max(np.abs(gpu[t] - cpu[t]).max() for t in cpu) < tolerance
    tiny.network.to("cpu")


def test_bfloat16_on_the_cpu_stays_close(opened_slide: Slide, tiny: LoadedModel) -> None:
    exact = collect(make_plan(opened_slide, tiny), opened_slide, tiny)
    rough = collect(
        make_plan(opened_slide, tiny, device=choose_device("cpu", "bfloat16")), opened_slide, tiny
    )
    assert max(np.abs(rough[t] - exact[t]).max() for t in exact) < 0.05


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    MemoryError(),
    # As PyTorch's allocators say it on Linux and on Windows, and libraries of CUDA and Apple.
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("MPS backend out of memory (MPS allocated: 8.88 GB)"),
]


class Hungry(TileModel):
    """Runs out of memory on more than ``limit`` tiles."""

    def __init__(self, inner: TileModel, limit: int, error: Exception = OUT_OF_MEMORY[0]) -> None:
        super().__init__()
        self.error = error
        self.inner, self.limit, self.subtiles = inner, limit, inner.subtiles
        self.tried: list[int] = []

    def forward(self, tiles: torch.Tensor) -> TileOutput:
        self.tried.append(len(tiles))
        if len(tiles) > self.limit:
            raise self.error
        return self.inner(tiles)

    def classify(self, x: torch.Tensor) -> TileOutput:
        return self.inner.classify(x)


def test_batches_shrink_when_memory_runs_out(opened_slide: Slide, tiny: LoadedModel) -> None:
    expected = collect(make_plan(opened_slide, tiny, batch_size=8), opened_slide, tiny)
    hungry = Hungry(tiny.network, 3)
    model = LoadedModel(tiny.card, hungry, tiny.sha256, tiny.path)
    found = collect(make_plan(opened_slide, tiny, batch_size=8), opened_slide, model)
    for tile, values in expected.items():
        assert np.abs(found[tile] - values).max() < 1e-5
    assert hungry.tried[:3] == [8, 4, 2]
    assert max(hungry.tried[3:]) == 2, "later batches stay small"


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda e: str(e)[:24])
def test_batches_shrink_to_one_tile_before_a_run_is_given_up(
    opened_slide: Slide, tiny: LoadedModel, error: Exception
) -> None:
    starving = Hungry(tiny.network, 0, error)
    model = LoadedModel(tiny.card, starving, tiny.sha256, tiny.path)
    with pytest.raises(PlanError, match=r"not enough memory on cpu for a single tile.*is kept"):
        collect(make_plan(opened_slide, tiny, batch_size=8), opened_slide, model)
    assert starving.tried == [8, 4, 2, 1]


def test_other_errors_of_a_network_are_not_taken_for_too_little_memory(
    opened_slide: Slide, tiny: LoadedModel
) -> None:
    broken = Hungry(tiny.network, 0, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    model = LoadedModel(tiny.card, broken, tiny.sha256, tiny.path)
    with pytest.raises(RuntimeError, match="mat1"):
        collect(make_plan(opened_slide, tiny, batch_size=8), opened_slide, model)
    assert broken.tried == [8]


def test_buffers_shrink_when_memory_runs_out(
    opened_slide: Slide, tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes, empty = [], torch.empty

    def scarce(shape: tuple[int, ...], **options: object) -> torch.Tensor:
        sizes.append(shape[0])
        if shape[0] > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return empty(shape, **options)

    plan = make_plan(opened_slide, tiny, batch_size=8)
    expected = collect(plan, opened_slide, tiny)
    monkeypatch.setattr(torch, "empty", scarce)
    found = collect(plan, opened_slide, tiny)
    assert found.keys() == expected.keys()
    assert sizes == [8, 4, 2, 2, 2]


def test_memory_is_made_free_once_the_failure_is_let_go(
    opened_slide: Slide, tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While an exception is handled its traceback holds the tensors of the batch that failed."""
    handled: list[BaseException | None] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: handled.append(sys.exc_info()[1]))
    model = LoadedModel(tiny.card, Hungry(tiny.network, 3), tiny.sha256, tiny.path)
    collect(make_plan(opened_slide, tiny, batch_size=8), opened_slide, model)
    assert handled == [None, None]


class Broken(TileModel):
    """A network that gives no numbers for tiles after the first batch."""

    def __init__(self, inner: TileModel) -> None:
        super().__init__()
        self.inner, self.batches = inner, 0

    def forward(self, tiles: torch.Tensor) -> TileOutput:
        self.batches += 1
        output = self.inner(tiles)
        return output if self.batches == 1 else TileOutput(output.scores * math.nan, *output[1:])

    def classify(self, x: torch.Tensor) -> TileOutput:
        return self.inner.classify(x)


def test_what_is_no_number_is_never_a_result(opened_slide: Slide, tiny: LoadedModel) -> None:
    model = LoadedModel(tiny.card, Broken(tiny.network), tiny.sha256, tiny.path)
    batches = predict(make_plan(opened_slide, tiny, batch_size=2), opened_slide, model)
    assert np.isfinite(next(batches).probabilities).all()
    with pytest.raises(ModelFileError, match=r"model tiny .* no finite numbers.*float32"):
        next(batches)


def test_batches_follow_what_a_tile_takes(opened_slide: Slide, tiny: LoadedModel) -> None:
    """A model of large tiles judges fewer of them at a time."""
    hungry = Hungry(tiny.network, 99)
    model = LoadedModel(
        tiny.card, hungry, tiny.sha256, tiny.path, tile_bytes=tiny.tile_bytes + 10**8
    )
    device = DeviceChoice("cpu", "CPU", "float32", "test", 8, adaptive=True)
    plan = replace(make_plan(opened_slide, tiny), device=device)
    collect(plan, opened_slide, model)
    assert set(hungry.tried) <= {1, 2}


@pytest.mark.parametrize(
    ("size", "seconds", "expected"),
    [(1, 0.01, 2), (16, 0.01, 16), (8, 0.2, 8), (8, 0.9, 4), (1, 5, 1)],
)
def test_batches_grow_while_they_are_quick(size: int, seconds: float, expected: int) -> None:
    assert next_batch_size(size, 16, seconds) == expected
