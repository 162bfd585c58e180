"""Speed, each as a ratio against a peer measured in the same run.

Usage: python benchmarks/bench.py [SLIDE]   (default: the Aperio test slide)
"""

from __future__ import annotations

import json
import platform
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openslide
import torch
from rich.console import Console
from rich.table import Table
from scipy.ndimage import gaussian_filter

from napari_liverdx.core.grid import TileGrid, TileIndex
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.core.tissue import TissueMask
from napari_liverdx.exports.registry import export
from napari_liverdx.inference.device import choose_device
from napari_liverdx.inference.plan import RunPlan, plan_run
from napari_liverdx.inference.predict import predict
from napari_liverdx.models.zoo import load_model
from napari_liverdx.results.manifest import RunManifest
from napari_liverdx.results.store import ResultStore
from napari_liverdx.slides.cache import TileCache
from napari_liverdx.slides.lazy import dask_levels
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.sample import sample_path
from napari_liverdx.slides.slide import Slide
from napari_liverdx.slides.tiles import read_tile
from napari_liverdx.slides.tissue import slide_tissue

CMU = Path(__file__).parent.parent / "tests" / "data" / "CMU-1-Small-Region.svs"
ROUNDS = 3
out = Console()


def rate(work: Callable[[], int]) -> float:
    """Best of a few rounds, items per second."""
    best = 0.0
    for _ in range(ROUNDS):
        start = time.perf_counter()
        count = work()
        best = max(best, count / (time.perf_counter() - start))
    return best


def reading(path: Path) -> dict[str, float]:
    """Tiles of 224 px at scattered places, without any cache between rounds."""
    rng = random.Random(0)  # noqa: S311
    with open_slide(path, cache=TileCache(0)) as probe:
        width, height = probe.size
    places = [(rng.randrange(width - 224), rng.randrange(height - 224)) for _ in range(200)]

    def ours() -> int:
        with open_slide(path) as slide:
            for x, y in places:
                slide.read_region(0, x, y, 224, 224)
        return len(places)

    def peer() -> int:
        with openslide.OpenSlide(path) as slide:
            for x, y in places:
                np.asarray(slide.read_region((x, y), 0, (224, 224)).convert("RGB"))
        return len(places)

    def lazy() -> int:
        with open_slide(path, cache=TileCache(0)) as slide:
            array = dask_levels(slide)[0]
            for x, y in places[:40]:
                array[y : y + 224, x : x + 224].compute(scheduler="synchronous")
        return 40

    return {"this reader": rate(ours), "OpenSlide": rate(peer), "dask slices": rate(lazy)}


def plan_for(slide: Slide, device: str, precision: str) -> tuple[RunPlan, object]:
    """Plan a run of the packaged model, enlarged by overlap to give enough tiles."""
    model = load_model("liver-steatosis")
    slide = slide.with_mpp(slide.mpp or Mpp.square(0.5))
    plan = plan_run(
        slide.levels,
        slide.mpp,
        slide_tissue(slide),
        model.card,
        overlap=4 / 7,
        device=choose_device(device, precision),
    )
    return plan, model


def running(device: str) -> dict[str, float]:
    """Whole runs over the sample slide: the engine, and a plain loop over the same tiles."""
    rates = {}
    with open_slide(sample_path()) as slide:
        for precision in ("float32", "bfloat16") if device == "cpu" else ("float32", "float16"):
            plan, model = plan_for(slide, device, precision)
            rates[f"engine, {precision}"] = rate(
                lambda plan=plan, model=model: sum(
                    len(b.tiles) for b in predict(plan, slide, model)
                )
            )
        plan, model = plan_for(slide, device, "float32")
        target = torch.device(plan.device.device)
        network = model.network_on(target)

        def loop() -> int:
            tiles: tuple[TileIndex, ...] = plan.tiles[:64]
            buffer = np.empty((224, 224, 3), np.uint8)
            with torch.inference_mode():
                for tile in tiles:
                    read_tile(slide, plan.grid, tile, buffer)
                    x = torch.from_numpy(buffer.copy())[None].permute(0, 3, 1, 2).to(target)
                    model.probabilities(network(x).scores).cpu()
            return len(tiles)

        rates["one tile at a time"] = rate(loop)
    return rates


def exporting() -> dict[str, float]:
    """100,000 tiles to GeoJSON: streamed to a file, and json.dumps of the same features."""
    side, classes = 317, load_model("liver-steatosis").card.classes
    grid = TileGrid(0, 1.0, 1.0, 0, 0, side * 224, side * 224, 224, 224, 224, 224, 224)
    manifest = RunManifest(
        slide_name="bench.svs",
        slide_format="none",
        slide_fingerprint="0" * 64,
        slide_size=(side * 224, side * 224),
        mpp=(0.5, 0.5),
        mpp_source="bench",
        model_name="bench",
        model_version="1",
        model_sha256="0" * 64,
        classes=classes,
        grid=grid,
        subtiles=7,
        overlap=0.0,
        regions_sha256="",
    )
    tissue = TissueMask(np.ones((side, side), bool), 224.0, 224.0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.liverdx.zarr"
        store = ResultStore.create(path, manifest, tissue, tuple(grid))
        # Patches of several map pixels, as tissue has them, and not salt and pepper.
        noise = np.random.default_rng(0).random((len(classes), side * 7, side * 7), np.float32)
        soft = np.stack([gaussian_filter(n, 4) for n in noise]) ** 30
        subtiles = (soft / soft.sum(0)).reshape(len(classes), side, 7, side, 7)
        subtiles = subtiles.transpose(1, 3, 0, 2, 4).reshape(-1, len(classes), 7, 7)
        store.add(tuple(grid), subtiles.mean((2, 3)), subtiles)

        def ours() -> int:
            export(store, "geojson", Path(folder) / "a.geojson")
            return len(grid)

        ours()
        content = json.loads((Path(folder) / "a.geojson").read_text("utf-8"))

        def peer() -> int:
            (Path(folder) / "b.geojson").write_text(json.dumps(content), "utf-8")
            return len(grid)

        return {"export, from the result": rate(ours), "json.dumps": rate(peer)}


def show(title: str, rates: dict[str, float], peer: str) -> None:
    """Print a table with the ratio to the peer."""
    table = Table(title=title, title_justify="left", box=None)
    for column in ("", "tiles/s", f"× {peer}"):
        table.add_column(column, justify="right" if column else "left")
    for name, value in rates.items():
        table.add_row(name, f"{value:,.0f}", f"{value / rates[peer]:.2f}")
    out.print(table, "")


def main() -> None:
    """Run all and print tables."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else CMU
    out.print(
        f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}",
        highlight=False,
    )
    show(f"Reading 224 px tiles of {path.name}", reading(path), "OpenSlide")
    show("GeoJSON of 100,000 tiles and their regions", exporting(), "json.dumps")
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    for device in devices:
        show(f"liver-steatosis on {device}", running(device), "one tile at a time")


if __name__ == "__main__":
    main()
