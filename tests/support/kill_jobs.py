"""The long works of the program as jobs that can be killed, and what must hold afterwards."""

from __future__ import annotations

import csv
import json
import threading
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import zarr
from safetensors.torch import load_file

from napari_liverdx.core.errors import ResultError
from napari_liverdx.exports.registry import EXPORTS
from napari_liverdx.inference import run as running
from napari_liverdx.models.architectures.cnn_rnn import CnnRnnClassifier
from napari_liverdx.models.file import load_model_file, read_card, save_model_file
from napari_liverdx.models.versions import trial_path
from napari_liverdx.results.store import ResultStore, TileState
from napari_liverdx.session.batch import BatchRequest, run_batch
from napari_liverdx.session.finetune import FinetuneRequest, run_finetuning
from napari_liverdx.session.result import open_result
from napari_liverdx.slides.listing import find_slides
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.sample import sample_path
from napari_liverdx.training.recipe import Recipe
from napari_liverdx.training.train_file import train_file
from tests.support.folders import RECIPE, write_folders
from tests.support.models import make_card
from tests.support.runs import run_into
from tests.support.slides import write_pyramid
from tests.support.teaching import TILE, collected

__all__ = ["JOBS", "Job", "write_inputs"]

RESULT = "run.liverdx.zarr"


@dataclass(frozen=True)
class Job:
    """A work and its checks.

    Attributes
    ----------
    work : callable
        Takes the folder of inputs and a folder to work in; the same call goes on after a kill.
    shown : callable
        Takes the folder and one in which the work was done undisturbed; fails if anything that
        people or programs can see is not as it was before the work, or as it is after it.
    same : callable
        Takes the same; fails if they differ.
    """

    work: Callable[[Path, Path], None]
    shown: Callable[[Path, Path], None]
    same: Callable[[Path, Path], None]


def write_inputs(folder: Path) -> None:
    """Write small slides, tiles and a model."""
    (folder / "slides").mkdir(parents=True)
    torch.manual_seed(0)
    card = make_card()
    save_model_file(folder / "m.safetensors", CnnRnnClassifier(3, **card.arguments), card)
    with open_slide(sample_path()) as sample:
        write_pyramid(folder / "slide.tif", sample.read_region(0, 1900, 500, 672, 448))
        for n, x in enumerate((1900, 2300)):
            pixels = sample.read_region(0, x, 700, 448, 224)
            write_pyramid(folder / "slides" / f"s{n}.tif", pixels)
        (folder / "tiles").mkdir()
        write_folders(sample, folder / "tiles")
    rng = np.random.default_rng(0)
    pixels = np.full((7 * TILE, 8 * TILE, 3), (215, 130, 175), np.uint8)
    pixels[3 * TILE + TILE // 2 :] = (120, 110, 190)
    noise = rng.integers(-12, 13, pixels.shape)
    write_pyramid(folder / "painted.tif", np.clip(pixels + noise, 0, 255).astype(np.uint8))
    with open_slide(folder / "slide.tif") as slide:
        run_into(slide, load_model_file(folder / "m.safetensors"), folder / "done.liverdx.zarr")


# -- a run --


def _run(inputs: Path, folder: Path) -> None:
    running.FLUSH_SECONDS = 0.0
    model = load_model_file(inputs / "m.safetensors")
    with open_slide(inputs / "slide.tif") as slide:
        run_into(slide, model, folder / RESULT, batch_size=1)


def _stores(folder: Path) -> list[Path]:
    return sorted(p.relative_to(folder) for p in folder.rglob("*.liverdx.zarr"))


def _stores_hold_nothing_false(folder: Path, whole: Path) -> None:
    for name in _stores(folder):
        try:
            store = ResultStore.open(folder / name)
        except ResultError:
            raise AssertionError(f"{name} does not open") from None
        other = ResultStore.open(whole / name)
        done = store.state == TileState.DONE
        assert (store.tile_probabilities[:, done] == other.tile_probabilities[:, done]).all()
        assert not store.tile_probabilities[:, ~done].any()
        k = store.manifest.subtiles
        fine = np.kron(done, np.ones((k, k), bool))
        assert (store.probabilities[:, fine] == other.probabilities[:, fine]).all()
        if store.manifest.finished:
            assert store.is_complete


def _stores_are_same(folder: Path, whole: Path) -> None:
    assert _stores(folder) == _stores(whole) != []
    for name in _stores(whole):
        found, wanted = (zarr.open_group(p / name, mode="r") for p in (folder, whole))
        files = [sorted(p.name for p in (f / name).iterdir()) for f in (folder, whole)]
        assert files[0] == files[1]
        for array in (p.name for p in (whole / name).iterdir() if p.is_dir()):
            assert found[array][...].tobytes() == wanted[array][...].tobytes(), f"{name}/{array}"
        rows = [open_result(p / name).to_rows() for p in (folder, whole)]
        assert rows[0] == rows[1]
        left = [p for p in (folder / name).rglob("*") if ".partial" in p.name]
        assert left == []


# -- a batch --


def _batch(inputs: Path, folder: Path) -> None:
    running.FLUSH_SECONDS = 0.0
    request = BatchRequest(
        find_slides(inputs / "slides"), str(inputs / "m.safetensors"), folder / "out", batch_size=1
    )
    for _ in run_batch(request, threading.Event()):
        pass


TIMED = {"seconds"}


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k not in TIMED} for row in rows]


def _batch_is_whole(folder: Path, whole: Path) -> None:
    _stores_hold_nothing_false(folder, whole)
    for path in _visible(folder / "out"):
        if path.name == "cohort.json":
            assert json.loads(path.read_text(encoding="utf-8"))["table"] == "cohort.csv"
        elif path.suffix == ".html":
            assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")
        elif path.name == "cohort.csv":
            wanted = _table(whole / "out" / path.name)
            assert [r["slide"] for r in _table(path)] == [r["slide"] for r in wanted]
        elif path.suffix == ".csv":
            assert path.read_bytes() == (whole / "out" / path.name).read_bytes()


def _batch_is_same(folder: Path, whole: Path) -> None:
    _stores_are_same(folder, whole)
    names = [{p.name for p in _visible(f / "out")} for f in (folder, whole)]
    assert names[0] == names[1]
    tables = [_table(f / "out" / "cohort.csv") for f in (folder, whole)]
    drop = {"state", "problem", "report"}
    plain = [[{k: v for k, v in r.items() if k not in drop} for r in t] for t in tables]
    assert plain[0] == plain[1]


def _visible(folder: Path) -> list[Path]:
    if not folder.exists():
        return []
    return [p for p in sorted(folder.iterdir()) if not p.name.startswith(".")]


# -- training and fine-tuning --


def _train(inputs: Path, folder: Path) -> None:
    recipe = Recipe.model_validate(tomllib.loads(RECIPE))
    samples = recipe.samples(inputs / "tiles")
    for _ in train_file(recipe, samples, "cpu", folder / "t.safetensors"):
        pass


def _finetune(inputs: Path, folder: Path) -> None:
    model = inputs / "m.safetensors"
    with open_slide(inputs / "painted.tif") as slide:
        request = FinetuneRequest(
            str(model), collected(slide), trial_path(read_card(model)), epochs=2
        )
        for _ in run_finetuning(request, threading.Event()):
            pass


def _models(folder: Path) -> list[Path]:
    return sorted(p.relative_to(folder) for p in folder.rglob("*.safetensors"))


def _models_are_whole(folder: Path, whole: Path) -> None:
    for name in _models(folder):
        _model_is_same(folder / name, whole / name)


def _model_is_same(found: Path, wanted: Path) -> None:
    load_model_file(found)
    tensors, others = load_file(found), load_file(wanted)
    assert tensors.keys() == others.keys()
    assert all(torch.equal(tensors[name], others[name]) for name in tensors)
    cards = [read_card(p).model_dump() for p in (found, wanted)]
    for card in cards:
        card.pop("created")
    assert cards[0] == cards[1]


def _models_are_same(folder: Path, whole: Path) -> None:
    assert _models(folder) == _models(whole) != []
    _models_are_whole(folder, whole)
    files = [sorted(p.name for p in f.rglob("*") if p.is_file()) for f in (folder, whole)]
    assert files[0] == files[1]
    for path in whole.glob("*.history.csv"):
        assert (folder / path.name).read_bytes() == path.read_bytes()


# -- exports --


def _export(inputs: Path, folder: Path) -> None:
    result = open_result(inputs / "done.liverdx.zarr")
    for name, kind in EXPORTS.items():
        result.export(name, folder / f"e{kind.suffix}")


def _content(path: Path) -> dict[str, object]:
    if path.is_file():
        # DICOM holds when it was made.
        return {"": path.read_bytes() if path.suffix != ".dcm" else None}
    files = [p for p in path.rglob("*") if p.is_file()]
    return {str(p.relative_to(path)): p.read_bytes() if p.suffix != ".dcm" else None for p in files}


def _exports_are_whole(folder: Path, whole: Path) -> None:
    for path in _visible(folder):
        assert _content(path) == _content(whole / path.name), path.name


def _exports_are_same(folder: Path, whole: Path) -> None:
    assert sorted(p.name for p in folder.iterdir()) == sorted(p.name for p in whole.iterdir())
    _exports_are_whole(folder, whole)


JOBS = {
    "run": Job(_run, _stores_hold_nothing_false, _stores_are_same),
    "batch": Job(_batch, _batch_is_whole, _batch_is_same),
    "training": Job(_train, _models_are_whole, _models_are_same),
    "fine-tuning": Job(_finetune, _models_are_whole, _models_are_same),
    "export": Job(_export, _exports_are_whole, _exports_are_same),
}
