"""Peak memory of each job on a slide of 100,000 × 100,000 pixels, each in a process of its own.

Usage: python -m benchmarks.memory [--side PIXELS] [--levels N] [STEP ...]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from benchmarks.sparse_slide import write_sparse_slide
from napari_liverdx.api import analyze_slide, explain, open_result
from napari_liverdx.core.grid import TileIndex
from napari_liverdx.exports.registry import EXPORTS, export_path
from napari_liverdx.inference.explain_sheet import write_explanation
from napari_liverdx.inference.run import RunProgress
from napari_liverdx.results.store import ResultStore
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.tissue import slide_tissue_map

__all__ = ["LIMIT_MB", "STEPS", "peak_of"]

LIMIT_MB = 1500
"""What any job may take at default settings on a processor."""

_TILES = 24
_MANY = 512


def _detect(slide: Path, folder: Path) -> None:
    with open_slide(slide) as opened:
        slide_tissue_map(opened)


def _analyze(slide: Path, folder: Path) -> None:
    """Plan the whole slide and analyze its first tiles."""
    stop = threading.Event()

    def watch(progress: RunProgress) -> None:
        if progress.done >= _TILES:
            stop.set()

    analyze_slide(slide, out=folder, on_progress=watch, stop=stop)


def _fill(slide: Path, folder: Path) -> None:
    """Put probabilities into all tiles that are left, in patches about half a millimeter wide."""
    store = ResultStore.open(_result(folder))
    rng = np.random.default_rng(0)
    k, classes = store.manifest.subtiles, len(store.manifest.classes)
    todo = store.pending([TileIndex(t.row, t.col) for t in store.manifest.grid])
    for start in range(0, len(todo), _MANY):
        tiles = todo[start : start + _MANY]
        subtiles = rng.dirichlet(np.ones(classes), (len(tiles), k, k)).astype(np.float32)
        maps = np.moveaxis(subtiles, -1, 1)
        store.add(tiles, maps.mean(axis=(2, 3)), maps, [])
    store.flush()


def _measure(slide: Path, folder: Path) -> None:
    open_result(_result(folder)).measure()


def _report(slide: Path, folder: Path) -> None:
    open_result(_result(folder), slide=slide).report(formats=("html", "csv", "pdf"))


def _explain(slide: Path, folder: Path) -> None:
    write_explanation(folder / "tile.png", explain(slide, at=(50_000, 50_000)))


def _export(name: str, slide: Path, folder: Path) -> None:
    result = open_result(_result(folder), slide=slide)
    result.export(name, export_path(result.store, name, folder / "exports"))


def _result(folder: Path) -> Path:
    return next(folder.glob("*.liverdx.zarr"))


_SMALL = {
    "detect tissue": _detect,
    "analyze": _analyze,
    "fill": _fill,
    "measure": _measure,
    "report": _report,
    "explain": _explain,
}
STEPS = (*_SMALL, *(f"export {name}" for name in EXPORTS))
"""In this order: what comes later uses the result of what came before."""


def _do(step: str, slide: Path, folder: Path) -> None:
    if step in _SMALL:
        _SMALL[step](slide, folder)
    else:
        _export(step.removeprefix("export "), slide, folder)


def peak_of(step: str, slide: Path, folder: Path) -> tuple[float, float]:
    """Run a step in a process of its own.

    Parameters
    ----------
    step : str
        One of `STEPS`.
    slide : Path
        The slide.
    folder : Path
        For results.

    Returns
    -------
    megabytes, seconds : float
        Most memory that the process held, and how long it took.

    Raises
    ------
    RuntimeError
        If the step fails.
    """
    command = [sys.executable, "-m", "benchmarks.memory", "--child", step, str(slide), str(folder)]
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"{step}: {done.stderr[-2000:]}")
    told = json.loads(done.stdout.splitlines()[-1])
    return told["megabytes"], told["seconds"]


def _child(step: str, slide: Path, folder: Path) -> None:
    import resource  # not on Windows

    start = time.perf_counter()
    _do(step, slide, folder)
    seconds = time.perf_counter() - start
    # In KiB on Linux, in bytes on macOS.
    unit = 1e6 if sys.platform == "darwin" else 1e6 / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    sys.stdout.write(json.dumps({"megabytes": peak, "seconds": seconds}) + "\n")


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=100_000)
    parser.add_argument("--levels", type=int, default=4)
    parser.add_argument("steps", nargs="*", default=STEPS)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        slide, folder = Path(place) / "sparse.tif", Path(place) / "results"
        write_sparse_slide(slide, chosen.side, levels=chosen.levels)
        for step in chosen.steps:
            megabytes, seconds = peak_of(step, slide, folder)
            too_much = "  TOO MUCH" if megabytes > LIMIT_MB else ""
            sys.stdout.write(f"{step:20} {megabytes:7.0f} MB {seconds:7.1f} s{too_much}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        _child(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
    else:
        _main()
