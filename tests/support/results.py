"""Results with random values."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_liverdx.core.grid import TileGrid, TileIndex, plan_grid
from napari_liverdx.core.resolution import Level, Mpp
from napari_liverdx.core.tissue import TissueMask
from napari_liverdx.results.manifest import RunManifest
from napari_liverdx.results.store import ResultStore, TileState
from napari_liverdx.slides.open import open_slide
from tests.support.models import CLASSES

MPP = (0.5, 0.25)


TILE, SUBTILES = 64, 4


CELL = TILE // SUBTILES


NAME = "Doe, Jane 1950.svs"


def oblong_result(
    folder: Path,
    rows: int = 6,
    cols: int = 8,
    *,
    subtiles: int = SUBTILES,
    slide: Path | None = None,
) -> ResultStore:
    """A result of random probabilities, on unequal µm/px unless it is of a real slide."""
    x, y = 128, 64
    grid = TileGrid(0, 1.0, 1.0, x, y, cols * TILE, rows * TILE, TILE, TILE, TILE, TILE, TILE)
    manifest = RunManifest(
        slide_name=NAME,
        slide_format="test",
        slide_fingerprint="ab12cd34" + "0" * 56,
        slide_size=(x + cols * TILE, y + rows * TILE),
        mpp=MPP,
        mpp_source="test",
        model_name="tiny",
        model_version="3",
        model_sha256="f" * 64,
        classes=CLASSES,
        grid=grid,
        subtiles=subtiles,
        overlap=0.0,
        regions_sha256="",
    )
    if slide is not None:
        with open_slide(slide) as opened:
            told = {"mpp": (0.5, 0.5), "slide_fingerprint": opened.fingerprint()}
            manifest = manifest.model_copy(update={**told, "slide_size": opened.size})
    width, height = manifest.slide_size
    tissue = TissueMask(np.ones((height // 32, width // 32), bool), 32.0, 32.0)
    tissue.mask[:, -1] = False
    tiles = [t for t in grid if t != TileIndex(0, 0)]
    store = ResultStore.create(folder / "slide.tiny.liverdx.zarr", manifest, tissue, tiles)
    rng = np.random.default_rng(0)
    values = rng.dirichlet((1, 1, 1), (len(tiles), subtiles, subtiles)).astype(np.float32)
    values = np.moveaxis(values, -1, 1)
    ood = np.where(np.arange(len(tiles)) % 2, 0.5, np.nan).astype(np.float32)
    store.add(tiles[:-1], values.mean((2, 3))[:-1], values[:-1], [tiles[-1]], ood=ood)
    store.finish({}, device="cpu", complete=True)
    return store


def patchy_result(
    folder: Path, *, overlap: float, k: int, seed: int, rows: int = 4, cols: int = 5
) -> ResultStore:
    """A result of random tiles, some of them failed or without tissue, on patchy tissue."""
    rng = np.random.default_rng(seed)
    tile, stride = (96, 84), (round(96 * (1 - overlap)), round(84 * (1 - overlap)))
    width, height = tile[0] + (cols - 1) * stride[0], tile[1] + (rows - 1) * stride[1]
    grid = TileGrid(0, 1.0, 1.0, 32, 16, width, height, *tile, *stride, 96)
    manifest = RunManifest(
        slide_name="s", slide_format="f", slide_fingerprint="ab", slide_size=(900, 800),
        mpp=(0.5, 0.25), mpp_source="test", model_name="m", model_version="1", model_sha256="0",
        classes=CLASSES, grid=grid, subtiles=k, overlap=overlap, regions_sha256="1",
    )  # fmt: skip
    tissue = TissueMask(rng.random((100, 120)) < 0.8, 8, 8)
    state = rng.choice(
        [TileState.DONE, TileState.FAILED, TileState.NO_TISSUE], (rows, cols), p=[0.7, 0.1, 0.2]
    )
    wanted = [t for t in grid if state[t.row, t.col] != TileState.NO_TISSUE]
    store = ResultStore.create(
        folder / f"{seed}-{overlap}-{k}.liverdx.zarr", manifest, tissue, wanted
    )
    done = [t for t in wanted if state[t.row, t.col] == TileState.DONE]
    values = rng.dirichlet([1, 1, 1], len(done)).astype(np.float32)
    dense = rng.dirichlet([1, 1, 1], (len(done), k, k)).transpose(0, 3, 1, 2).astype(np.float32)
    store.add(done, values, dense, failed=[t for t in wanted if t not in done])
    return store


PERSON = "Doe_John_1950.tif"


SQUARE = np.array([[100, 100], [800, 100], [800, 700], [100, 700]], float)


def square_result(path: Path, rows: int = 3, cols: int = 4, **more: object) -> ResultStore:
    """A finished result with random probabilities, tiles of 224 px at 0.5 µm/px."""
    size = (224 * cols, 224 * rows)
    grid = plan_grid(
        [Level(*size, 1.0, 1.0, 256, 256)], Mpp.square(0.5), model_mpp=0.5, tile_size=224
    )
    fields = {
        "slide_name": "a.tif",
        "slide_format": "TIFF",
        "slide_fingerprint": "0" * 64,
        "slide_size": size,
        "mpp": (0.5, 0.5),
        "mpp_source": "test",
        "model_name": "tiny",
        "model_version": "1",
        "model_sha256": "1" * 64,
        "classes": CLASSES,
        "grid": grid,
        "subtiles": 7,
        "overlap": 0.0,
        "regions_sha256": "2" * 64,
        **more,
    }
    tissue = TissueMask(np.ones((rows * 14, cols * 14), bool), 16.0, 16.0)
    store = ResultStore.create(path, RunManifest.model_validate(fields), tissue, list(grid))
    rng = np.random.default_rng(0)
    classes = len(store.manifest.classes)
    values = rng.dirichlet([1.0] * classes, rows * cols).astype(np.float32)
    store.add(list(grid), values, None, ood=rng.random(rows * cols).astype(np.float32) * 2)
    store.flush()
    return store
