"""Works on a disk that is full, then read-only; run in a name space of its own by ``test_scarce``.

Takes an empty folder to mount a small disk at and the folder of inputs; prints one line for each
attempt: its name, and the error it ended in.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from napari_liverdx.core.errors import LiverDxError
from napari_liverdx.exports.registry import EXPORTS, export
from napari_liverdx.models.file import load_model_file
from napari_liverdx.results.review_log import Decision
from napari_liverdx.results.store import ResultStore, TileState
from napari_liverdx.results.view_state import ViewState
from napari_liverdx.session.batch import BatchRequest, run_batch
from napari_liverdx.session.result import open_result
from napari_liverdx.slides.listing import find_slides
from napari_liverdx.slides.open import open_slide
from napari_liverdx.training.recipe import load_recipe
from napari_liverdx.training.train_file import train_file
from tests.support.runs import run_into


def told(name: str, attempt: Callable[[], object]) -> None:
    try:
        outcome = attempt()
    except LiverDxError as error:
        outcome = f"{type(error).__name__}: {error}"
    sys.stdout.write(f"{name}: {outcome}\n")


def mount(*options: object) -> None:
    subprocess.run(["mount", *map(str, options)], check=True)


def batch(inputs: Path, out: Path) -> str:
    request = BatchRequest(find_slides(inputs / "slides"), str(inputs / "m.safetensors"), out)
    (*_, ended) = run_batch(request, threading.Event())
    return f"{ended.rows[0].problem} / {ended.summary.table_problem}"


def train(inputs: Path, out: Path) -> None:
    recipe = load_recipe(inputs / "tiny.toml")
    list(train_file(recipe, recipe.samples(inputs / "tiles"), "cpu", out / "t.safetensors"))


def attempts(title: str, disk: Path, inputs: Path) -> None:
    sys.stdout.write(f"-- {title}\n")
    model = load_model_file(inputs / "m.safetensors")
    done = ResultStore.open(inputs / "own.liverdx.zarr")
    with open_slide(inputs / "slide.tif") as slide:
        told("run", lambda: run_into(slide, model, disk / "new.liverdx.zarr").is_complete)
        told("resume", lambda: run_into(slide, model, disk / "half.liverdx.zarr").is_complete)
    told("batch", lambda: batch(inputs, disk))
    if title == "full":
        told("train", lambda: train(inputs, disk))
    for name, kind in EXPORTS.items():
        told(name, lambda n=name, k=kind: export(done, n, disk / f"e{k.suffix}"))
    own = disk / "own.liverdx.zarr"
    told("open", lambda: ResultStore.open(own).count(TileState.DONE))
    result = open_result(own, model=inputs / "m.safetensors")
    told("report", lambda: len(result.report(formats=("html", "csv", "pdf"))))
    tile = next(iter(done.manifest.grid))
    told("review", lambda: ResultStore.open(own).decisions.put(tile, Decision.accept("fat")))
    told("view", lambda: ViewState().save(own))


def main() -> None:
    disk, inputs = map(Path, sys.argv[1:])
    mount("-t", "tmpfs", "-o", "size=40m", "tmpfs", disk)
    for name in ("own", "half"):
        shutil.copytree(inputs / f"{name}.liverdx.zarr", disk / f"{name}.liverdx.zarr")
    free = shutil.disk_usage(disk).free
    (disk / "ballast").write_bytes(np.random.default_rng(0).bytes(free - 4096))
    attempts("full", disk, inputs)
    sys.stdout.write(f"-- {' '.join(sorted(p.name for p in disk.iterdir()))}\n")
    mount("-o", "remount,ro", disk)
    attempts("read-only", disk, inputs)
    mount("-o", "remount,rw", disk)
    (disk / "ballast").unlink()
    attempts("free", disk, inputs)


if __name__ == "__main__":
    main()
