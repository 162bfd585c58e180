"""Reading tiles and classifying them, as a stream of results."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from napari_liverdx.core.errors import ModelFileError, PlanError, TileReadError
from napari_liverdx.core.grid import TileGrid, TileIndex
from napari_liverdx.inference.plan import RunPlan
from napari_liverdx.inference.readers import Readers, are_done
from napari_liverdx.models.architectures.base import TileOutput
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.models.ood import ood_scorer
from napari_liverdx.models.soundness import are_probabilities
from napari_liverdx.slides.slide import Slide
from napari_liverdx.slides.tiles import read_tile

__all__ = ["TileBatchResult", "Waiting", "next_batch_size", "predict", "predict_watched"]

STALL_SECONDS = 5.0
"""Without a tile for so long, storage counts as not answering."""

_POLL_SECONDS = 0.5
_PREFETCH = 2
_READERS = 4
_BUFFER_BYTES, _MAPS_BYTES = 128 * 2**20, 192 * 2**20
"""Memory of one batch: of its pixels, and of what the network makes of them on the CPU."""

_QUICK, _SLOW = 0.15, 0.4
"""Seconds: batches that take less grow, those that take more shrink; a run can only be stopped
between two of them."""


@dataclass(frozen=True, slots=True, eq=False)
class TileBatchResult:
    """What came of one batch.

    Attributes
    ----------
    tiles : tuple of TileIndex
        Tiles that were classified.
    probabilities : ndarray of float32, shape (n, classes)
    subtiles : ndarray of float32, shape (n, classes, k, k), or None
    embeddings : ndarray of float32, shape (n, features)
        What the network made of each tile before its last layer.
    failed : tuple of (TileIndex, str)
        Tiles that could not be read, each with the reason.
    ood : ndarray of float32, shape (n,), or None
        How unlike the training data each tile is, 1 at the limit; None where the model holds no
        domain statistics.
    read_seconds : float
        Time the network waited for tiles.
    model_seconds : float
    """

    tiles: tuple[TileIndex, ...]
    probabilities: NDArray[np.float32]
    subtiles: NDArray[np.float32] | None
    embeddings: NDArray[np.float32]
    failed: tuple[tuple[TileIndex, str], ...]
    read_seconds: float
    model_seconds: float
    ood: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """Tiles do not come.

    Attributes
    ----------
    seconds : float
        For how long.
    """

    seconds: float


class _Batch:
    """A preallocated batch that reader threads fill."""

    def __init__(self, size: int, tile_size: int, pinned: bool) -> None:
        self.tensor = torch.empty(
            (size, tile_size, tile_size, 3), dtype=torch.uint8, pin_memory=pinned
        )
        self.array: NDArray[np.uint8] = self.tensor.numpy()
        self.tiles: Sequence[TileIndex] = ()
        self.pending: list[Future[None]] = []

    def fill(self, pool: Readers, slide: Slide, grid: TileGrid, tiles: Sequence[TileIndex]) -> None:
        self.tiles = tiles
        self.pending = [
            pool.submit(read_tile, slide, grid, tile, self.array[i]) for i, tile in enumerate(tiles)
        ]

    def is_read(self, seconds: float) -> bool:
        """Wait until all tiles are read, or so long; returns whether they are."""
        return are_done(self.pending, seconds)

    def read(self) -> tuple[list[int], list[tuple[TileIndex, str]]]:
        good: list[int] = []
        failed: list[tuple[TileIndex, str]] = []
        for i, future in enumerate(self.pending):
            try:
                future.result()
                good.append(i)
            except TileReadError as error:
                failed.append((self.tiles[i], str(error)))
        return good, failed


def predict(
    plan: RunPlan,
    slide: Slide,
    model: LoadedModel,
    tiles: Sequence[TileIndex] | None = None,
) -> Generator[TileBatchResult, None, None]:
    """Classify tiles as `predict_watched` does, without a word while the storage does not answer.

    Yields
    ------
    TileBatchResult
    """
    with closing(predict_watched(plan, slide, model, tiles)) as steps:
        for step in steps:
            if isinstance(step, TileBatchResult):
                yield step


def predict_watched(
    plan: RunPlan,
    slide: Slide,
    model: LoadedModel,
    tiles: Sequence[TileIndex] | None = None,
) -> Generator[TileBatchResult | Waiting, None, None]:
    """Classify tiles; close the generator to stop.

    Reader threads fill the next batches while the network runs. If memory runs out the batch is
    split and later batches stay small. A tile that cannot be read is reported in ``failed`` and
    the run goes on.

    Parameters
    ----------
    plan : RunPlan
        The decided run.
    slide : Slide
        The slide to read.
    model : LoadedModel
        The model, as `napari_liverdx.models.zoo.load_model` gives it.
    tiles : sequence of TileIndex, optional
        Part of the plan's tiles, for example those a resumed run still lacks.

    Yields
    ------
    TileBatchResult
    Waiting
        Again and again while tiles do not come for long: a network folder may be away. Whoever
        closes the generator then is not held up; reads that never return are left to themselves.

    Raises
    ------
    ModelFileError
        If what the model says is no probability.
    SlideReadError
        If nothing can be read any more, as when a server is away.
    """
    wanted = list(plan.tiles if tiles is None else tiles)
    runner = _Runner(model, plan)
    most = _fitting_batch(plan, model)
    taken = 0
    pinned = plan.device.device.startswith("cuda")
    most, free = _batches(most, plan.grid.tile_size, pinned)
    size = 1 if plan.device.adaptive else most
    filling: deque[_Batch] = deque()
    pool, stalled = Readers(_READERS), False
    try:
        while taken < len(wanted) or filling:
            while taken < len(wanted) and free:
                batch = free.pop()
                batch.fill(pool, slide, plan.grid, wanted[taken : taken + size])
                taken += len(batch.tiles)
                filling.append(batch)
            batch = filling.popleft()
            start = time.perf_counter()
            patience = STALL_SECONDS
            while not batch.is_read(patience):
                stalled, patience = True, min(STALL_SECONDS, _POLL_SECONDS)
                yield Waiting(time.perf_counter() - start)
            stalled = False
            good, failed = batch.read()
            read = time.perf_counter()
            rows = batch.tensor[: len(batch.tiles)]
            rows = rows if len(good) == len(batch.tiles) else rows[good]
            probabilities, subtiles, embeddings, ood = runner(rows)
            done = tuple(batch.tiles[i] for i in good)
            free.append(batch)
            model_seconds = time.perf_counter() - read
            if plan.device.adaptive:
                size = next_batch_size(size, most, model_seconds)
            yield TileBatchResult(
                done,
                probabilities,
                subtiles,
                embeddings,
                tuple(failed),
                read - start,
                model_seconds,
                ood,
            )
    finally:
        if not pool.close(0.0 if stalled else STALL_SECONDS):
            # A thread may still be within the library that reads the file.
            pool.when_ended(slide.keep_open())


def _batches(most: int, tile_size: int, pinned: bool) -> tuple[int, list[_Batch]]:
    """Return the size of batches for which there is memory, up to ``most``, and these batches."""
    while True:
        try:
            return most, [_Batch(most, tile_size, pinned) for _ in range(_PREFETCH + 1)]
        except (RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error):
                raise
            if most == 1:
                raise _too_little(torch.device("cpu"), "a single tile") from error
        most //= 2


def next_batch_size(size: int, most: int, seconds: float) -> int:
    """Return the size of the next batch: it grows while batches are quick and shrinks when slow."""
    if seconds < _QUICK:
        return min(most, 2 * size)
    return max(1, size // 2) if seconds > _SLOW else size


def _fitting_batch(plan: RunPlan, model: LoadedModel) -> int:
    """Return the largest batch that memory allows, at most the planned one."""
    most = min(plan.device.batch_size, _BUFFER_BYTES // (3 * plan.grid.tile_size**2))
    if plan.device.adaptive and model.tile_bytes:
        most = min(most, _MAPS_BYTES // model.tile_bytes)
    return max(1, most)


class _Runner:
    """The network on its device, with a batch size that shrinks when memory runs out."""

    def __init__(self, model: LoadedModel, plan: RunPlan) -> None:
        self.model = model
        self.device = torch.device(plan.device.device)
        self.dtype = getattr(torch, plan.device.precision)
        self.limit = plan.device.batch_size
        try:
            self.network = model.network_on(self.device)
        except (RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error):
                raise
            raise _too_little(self.device, "the model") from error
        self.n_classes = len(model.card.classes)
        self.scorer = ood_scorer(model.card, model.statistics)

    def __call__(
        self, tiles: torch.Tensor
    ) -> tuple[
        NDArray[np.float32],
        NDArray[np.float32] | None,
        NDArray[np.float32],
        NDArray[np.float32] | None,
    ]:
        parts: list[TileOutput] = []
        ood: list[NDArray[np.float32]] = []
        start = 0
        while start < len(tiles):
            part = tiles[start : start + self.limit]
            found = self._forward_if_it_fits(part)
            if found is None:
                # Only here, with the error and what its traceback held let go, is the memory of
                # the failed batch free again.
                self._shrink(len(part))
                continue
            output, distance = found
            parts.append(output)
            if distance is not None:
                ood.append(distance.float().cpu().numpy())
            start += len(part)
        if not parts:
            nothing = np.empty((0, 0), np.float32)
            return np.empty((0, self.n_classes), np.float32), None, nothing, None
        distances = np.concatenate(ood) if ood else None
        embeddings = np.concatenate([p.embedding.float().cpu().numpy() for p in parts])
        if distances is not None and not np.isfinite(distances).all():
            raise self._unusable("distances from the training data")
        scores = np.concatenate([self._probabilities(p.scores) for p in parts])
        if parts[0].subtile_scores is None:
            return scores, None, embeddings, distances
        subtiles = [p.subtile_scores for p in parts if p.subtile_scores is not None]
        dense = np.concatenate([self._probabilities(c) for c in subtiles])
        return scores, dense, embeddings, distances

    def _forward_if_it_fits(
        self, tiles: torch.Tensor
    ) -> tuple[TileOutput, torch.Tensor | None] | None:
        """Return what the network gives; None if memory ran out and fewer tiles may fit."""
        try:
            return self._forward(tiles)
        except (RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error):
                raise
            if len(tiles) == 1:
                raise _too_little(self.device, "a single tile") from error
            return None

    @torch.inference_mode()
    def _forward(self, tiles: torch.Tensor) -> tuple[TileOutput, torch.Tensor | None]:
        # Rows of pixels seen as channels-last need no copy.
        x = tiles.to(self.device, non_blocking=True).permute(0, 3, 1, 2)
        mixed = self.dtype is not torch.float32
        with torch.autocast(self.device.type, self.dtype if mixed else None, enabled=mixed):
            return (self.network(x), None) if self.scorer is None else self.scorer(self.network, x)

    def _probabilities(self, scores: torch.Tensor) -> NDArray[np.float32]:
        found = self.model.probabilities(scores).float().cpu()
        # Nothing else may be stored as a result.
        if not are_probabilities(found):
            raise self._unusable("probabilities")
        return np.asarray(found.numpy())

    def _unusable(self, what: str) -> ModelFileError:
        return ModelFileError(
            f"model {self.model.card.name} ({self.model.path}) gives {what} that are no finite "
            f"numbers in the right range, computed in {str(self.dtype).removeprefix('torch.')}; "
            "what was finished before is kept. Try --precision float32, or use another model"
        )

    def _shrink(self, tried: int) -> None:
        self.limit = tried // 2
        # Nothing happens where CUDA is not in use.
        torch.cuda.empty_cache()


def _too_little(device: torch.device, what: str) -> PlanError:
    other = "" if device.type == "cpu" else " or use --device cpu"
    return PlanError(
        f"not enough memory on {device} for {what}; what was finished before is kept. Close other "
        f"programs{other}, and start again to resume"
    )


_NO_MEMORY = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "_STATUS_ALLOC_FAILED",
)
"""What PyTorch's allocators and CUDA's libraries say; only some have an error of their own."""


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(words in str(error) for words in _NO_MEMORY)
