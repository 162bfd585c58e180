"""Make the golden files in tests/data/v010 with version 0.1.0; it runs with that version alone.

Usage: git worktree add ../v010 d5678a4, then with src of that worktree on PYTHONPATH:
python scripts/make_golden_v010.py tests/data/v010

Every file is as 0.1.0 writes it. The slide and the pictures are drawn by this script. What 0.1.0
derived from them (names, UUIDs, keys) stands in identities.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import sys
import tempfile
import threading
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from npe2 import PluginManager
from PIL import Image

from napari_liverdx import __version__, cli_reproduce, cli_slide
from napari_liverdx.core.classes import ClassKind, TissueClass
from napari_liverdx.core.geometry import Rect
from napari_liverdx.core.grid import TileIndex
from napari_liverdx.core.mpp import Mpp
from napari_liverdx.engine import crossval, fine_tune, search
from napari_liverdx.engine.analyze import result_location
from napari_liverdx.engine.bags import bag_of_result, save_bag
from napari_liverdx.engine.device import choose_device
from napari_liverdx.engine.fingerprints import fingerprint
from napari_liverdx.engine.plan import plan_run
from napari_liverdx.engine.recipe import load_recipe
from napari_liverdx.engine.search_space import Range
from napari_liverdx.engine.slide_context import apply_context
from napari_liverdx.engine.taught_samples import TaughtSlide
from napari_liverdx.engine.tissue import slide_overview, slide_tissue_map
from napari_liverdx.io.basis import Basis
from napari_liverdx.io.decisions import Decision
from napari_liverdx.io.exports import export
from napari_liverdx.io.exports.base import result_uuid, slide_uuid
from napari_liverdx.io.image import slide_from_array
from napari_liverdx.io.measurements import write_measurements
from napari_liverdx.io.result import ResultStore
from napari_liverdx.io.slide import open_slide
from napari_liverdx.io.slide_list import ListedSlideFile
from napari_liverdx.io.taught import TaughtFolder, rectangle
from napari_liverdx.io.view import ViewState
from napari_liverdx.models.card import ModelCard
from napari_liverdx.models.context_file import load_context
from napari_liverdx.models.modelfile import load_model_file, save_model_file
from napari_liverdx.models.registry import build_model
from napari_liverdx.models.slide_context import SlideContext
from napari_liverdx.models.versions import keep_trial, trial_path
from napari_liverdx.session.batch import BatchRequest, run_batch
from napari_liverdx.session.measuring import Measurer
from napari_liverdx.session.runner import Progressed, Started, run
from napari_liverdx.session.teaching import TeachingRequest, run_teaching

TILE, COLS, ROWS = 64, 8, 7
MODEL = "tiny.safetensors"
CLASSES = (
    TissueClass("background", "Background", "#9aa3b2", ClassKind.BACKGROUND),
    TissueClass("liver", "Liver without fat", "#4c9f70", ClassKind.NORMAL),
    TissueClass("fat", "Liver with fat", "#0a84ff", ClassKind.PATHOLOGICAL),
)
NETWORKS: dict[str, tuple[dict[str, Any], int]] = {
    "cnn-rnn": ({"encoder": "test_efficientnet", "hidden": 4, "projection": 8}, 64),
    "rnn-subtiles": ({"cells": 4, "pixels": 2, "hidden": 4, "projection": 8, "layers": 1}, 64),
    "livernet": ({}, 64),
    "livernet-ensemble": ({}, 64),
    "cnn": ({"encoder": "test_resnet"}, 64),
    "frozen-mlp": ({"encoder": "test_resnet", "hidden": 4}, 64),
    "cnn-transformer": ({"encoder": "test_efficientnet"}, 64),
    "se-resnet": ({}, 64),
    "sk-resnet": ({}, 64),
    "cbam-resnet": ({}, 64),
}
REGIONS = (
    ("liver", 0, 0, 3, 2),
    ("liver", 4, 0, 3, 2),
    ("fat", 0, 4, 3, 3),
    ("fat", 4, 4, 3, 3),
)
"""Class, left, top, width and height in tiles within the tissue."""


def draw_slide(path: Path) -> None:
    """Pink tissue above, blue below, on white glass; coarse texture, so that it packs well."""
    rng = np.random.default_rng(0)
    pixels = np.full(((ROWS + 2) * TILE, (COLS + 2) * TILE, 3), 243, np.uint8)
    tissue = np.full((ROWS * TILE, COLS * TILE, 3), (215, 130, 175), np.int16)
    tissue[ROWS * TILE // 2 :] = (120, 110, 190)
    grain = rng.integers(-12, 13, (*(s // 8 for s in tissue.shape[:2]), 3))
    tissue += np.kron(grain, np.ones((8, 8, 1), np.int16)).astype(np.int16)
    pixels[TILE:-TILE, TILE:-TILE] = tissue
    resolution = {"resolution": (2e4, 2e4), "resolutionunit": "CENTIMETER"}
    with tifffile.TiffWriter(path) as writer:
        for level in range(2):
            writer.write(
                pixels[:: 2**level, :: 2**level],
                tile=(128, 128),
                photometric="rgb",
                compression="zlib",
                subfiletype=int(level > 0),
                metadata=None,
                **(resolution if level == 0 else {}),
            )


def draw_pictures(folder: Path) -> None:
    """Twelve pictures of two classes, of six patients."""
    rng = np.random.default_rng(1)
    for name, colour in (("normal", (215, 130, 175)), ("cancer", (120, 110, 190))):
        (folder / name).mkdir(parents=True)
        for i in range(6):
            grain = rng.integers(-20, 21, (8, 8, 3))
            small = np.clip(np.array(colour) + grain, 0, 255).astype(np.uint8)
            picture = Image.fromarray(small).resize((32, 32), Image.Resampling.NEAREST)
            picture.save(folder / name / f"p{i // 2 + 3 * (name == 'cancer')}_{i}.png")


def make_model(path: Path) -> None:
    """Write a tile model with random weights, its heads enlarged so that its answers differ."""
    torch.manual_seed(0)
    rates = (0.05, 0.1, 0.2, 0.5)
    scores = {
        "groups": 20,
        "samples": 400,
        "rates": rates,
        "quantiles": (None, 0.8, 0.6, 0.4),
    }
    arguments, _ = NETWORKS["cnn-rnn"]
    network = build_model("cnn-rnn", len(CLASSES), arguments, TILE)
    with torch.no_grad():
        network.tile_head.weight *= 20
        network.cell_head.weight *= 20
    card = ModelCard.model_validate(
        {
            "name": "tiny",
            "title": "Tiny",
            "summary": "Random weights, for tests",
            "architecture": "cnn-rnn",
            "arguments": arguments,
            "classes": CLASSES,
            "mpp": 0.5,
            "tile_size": TILE,
            "cells": network.cells,
            "conformal": {"tile": scores, "cell": scores},
            "normalisation": {
                "mean": network.mean.flatten().tolist(),
                "std": network.std.flatten().tolist(),
                "channel_order": network.channel_order,
            },
        }
    )
    save_model_file(path, network, card)


def polygon(x: float, y: float, width: float, height: float) -> np.ndarray:
    """Return a rectangle's corners."""
    return np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height)])


VARIANTS: dict[str, dict[str, Any]] = {
    "whole": {},
    "overlap": {"overlap": 0.5},
    "region": {"regions": [polygon(70.5, 80, 200, 260.25)]},
    "region and overlap": {"regions": [polygon(70.5, 80, 200, 260.25)], "overlap": 0.25},
    "other resolution": {"mpp": Mpp.square(0.4)},
    "edited tissue": {"edited": True},
}


def make_plan(slide: Any, card: ModelCard, *, edited: bool = False, **more: Any) -> Any:
    """Return a plan on the processor, four tiles at a time."""
    overview = slide_overview(slide)
    found = slide_tissue_map(slide, overview)
    if edited:
        labels = found.labels.copy()
        labels[: len(labels) // 2] = 0
        found = replace(found, labels=labels, edited=True)
    mpp = more.pop("mpp", slide.mpp)
    device = choose_device("cpu")
    return plan_run(slide.levels, mpp, found, card, device=device, batch_size=4, **more)


def make_results(base: Path) -> dict[str, Any]:
    """Results, finished and interrupted; what names 0.1.0 gives."""
    model = load_model_file(base / MODEL)
    names = {}
    with open_slide(base / "slide.tif") as slide:
        for what, choices in VARIANTS.items():
            plan = make_plan(slide, model.card, **choices)
            names[what] = result_location(Path(), plan, slide, model).name
        runs = (
            ("results", "whole", True),
            ("results", "region and overlap", True),
            ("interrupted", "whole", False),
            ("interrupted", "region", False),
        )
        for folder, what, whole in runs:
            plan = make_plan(slide, model.card, **VARIANTS[what])
            stop, batches = threading.Event(), 0
            for event in run(0, plan, slide, str(base / MODEL), base / folder, stop):
                if isinstance(event, Started):
                    if what == "whole" and whole:
                        event.store.keep_embeddings()
                elif isinstance(event, Progressed):
                    batches += 1
                    if batches == 3 and not whole:
                        stop.set()
    store = ResultStore.open(base / "results" / names["whole"])
    store.decisions.put(TileIndex(1, 2), Decision.accept("liver"))
    store.decisions.put(TileIndex(5, 3), Decision.reject("liver", "fat"))
    store.decisions.put(TileIndex(6, 6), Decision.reject("liver"))
    ViewState(
        thresholds={"fat": 0.35},
        error_rate=0.1,
        opacity=0.45,
        colormap="cividis",
        basis=Basis.TILES_AVERAGED.value,
        slide="../slide.tif",
    ).save(store.path)
    for basis in Basis:
        found = Measurer(store).take(basis, {"fat": 0.35}, None)
        table = base / "results" / f"measured.{basis.name.lower()}.csv"
        write_measurements(table, found.measures, basis=basis)
    return {"names": names}


def make_bags(base: Path, names: dict[str, str]) -> None:
    """Bags of tiles, a slide-level model that learned from them, and its word on a result."""
    store = ResultStore.open(base / "results" / names["whole"])
    bag = bag_of_result(store)
    rng = np.random.default_rng(0)
    for number in range(4):
        more = rng.normal(0, 0.1, bag.embeddings.shape).astype(np.float32) * bag.mask
        labels = np.where(bag.mask, np.where(np.indices(bag.mask.shape)[0] < 4, 1, 2), -1)
        made = replace(
            bag,
            name=f"slide{number}",
            group=f"patient{number}",
            embeddings=bag.embeddings + more,
            tile_labels=labels.astype(np.intp),
            slide_label=number % 2,
        )
        save_bag(base / "bags", made)
    sys.argv = ["liverdx", "context-train", "bags"]
    cli_slide.context_train(
        base / "bags",
        base / "context.safetensors",
        str(base / MODEL),
        epochs=2,
        hidden=2,
        projection=4,
        device="cpu",
    )
    apply_context(store, load_context(base / "context.safetensors"))


def make_taught(base: Path, names: dict[str, str]) -> None:
    """Write annotations of the slide, and the version fine-tuned from them."""
    from napari.layers import Image as ImageLayer

    from napari_liverdx.plugin.teaching_layer import TeachingLayer

    os.environ["LIVERDX_MODELS"] = str(base / "models")
    folder = TaughtFolder(base / "models" / "teaching")
    model = base / MODEL
    card = load_model_file(model).card
    with open_slide(base / "slide.tif") as slide:
        shapes = tuple(
            rectangle(name, *(TILE * v for v in (x + 1, y + 1, w, h)))
            for name, x, y, w, h in REGIONS
        )
        folder.keep(slide, shapes)
        store = ResultStore.open(base / "results" / names["whole"])
        tiles, at = [], []
        for tile, decision in store.decisions.items():
            if decision.correct:
                r: Rect = store.manifest.grid.rect(tile)
                tiles.append(rectangle(decision.correct, r.x, r.y, r.width, r.height))
                at.append(decision.at)
        name = store.path.name.removesuffix(".liverdx.zarr")
        folder.keep(slide, tiles, result=name, at=at)
        taught = folder.of(slide)
        on = TaughtSlide(slide, taught.key, taught.shapes, taught.tiles, taught.fingerprint)
        request = TeachingRequest(str(model), (on,), (), trial_path(card), epochs=2)
        list(run_teaching(request, threading.Event(), []))
        keep_trial(card)
        layer = ImageLayer(np.zeros((576, 640, 3), np.uint8), rgb=True, name="slide")
        drawn = TeachingLayer(layer, card.scheme, lambda _: None, lambda _: None, shapes)
        PluginManager.instance().discover()
        drawn.layer.save(str(base / "annotations.csv"), plugin="napari")


def make_batch(base: Path) -> None:
    """Write the table of a batch with a slide that fails."""
    (base / "broken.tif").write_bytes(b"not a slide")
    slides = tuple(ListedSlideFile(base / name, None) for name in ("slide.tif", "broken.tif"))
    device = replace(choose_device("cpu"), batch_size=8, adaptive=False)
    request = BatchRequest(
        slides,
        str(base / MODEL),
        base / "batch",
        thresholds={"fat": 0.35},
        error_rate=0.1,
        context=base / "context.safetensors",
        device=device,
    )
    list(run_batch(request, threading.Event()))
    for page in (base / "batch").glob("*.html"):
        page.unlink()


RECIPE = """\
start: scratch
card:
  name: pictures
  title: Pictures
  summary: Of two colours, for tests
  architecture: rnn-subtiles
  arguments: {cells: 4, pixels: 2, hidden: 4, projection: 8, layers: 1}
  classes:
    - {name: normal, title: Normal, colour: "#4c9f70", kind: normal}
    - {name: cancer, title: Cancer, colour: "#0a84ff", kind: pathological}
  mpp: 0.5
  tile_size: 32
data:
  kind: folders
  group_pattern: "^(p[0-9]+)_"
  val_folds: 2
  tiles: {max_conflict: 0.125}
train:
  epochs: 3
  warmup_epochs: 0
  tiles_per_epoch: 8
  batch_size: 4
  head_lr: 0.002
  weight_decay: 1.0e-05
  stain_sigma: 0.0
"""
SPACE = {
    "train.head_lr": Range(low=2e-4, high=4e-3, log=True),
    "card.arguments.hidden": Range(choices=(2, 4)),
}


def make_training(base: Path) -> dict[str, Any]:
    """Leave a checkpoint, folds and a search half-way; return their keys."""
    (base / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    recipe = load_recipe(str(base / "recipe.yaml"))
    samples = recipe.samples(base / "pictures")
    device = torch.device("cpu")
    (train, val), *_ = crossval.grouped_folds(
        samples, crossval.of_sources(samples, ()), recipe.data.val_folds, recipe.train.seed
    )
    network, _ = recipe.network()
    key = fine_tune._run_key(network, samples, train, val, 32, recipe.train)
    checkpoint = base / "training" / "run.checkpoint"
    epochs = fine_tune.fine_tune(
        network, samples, train, val, size=32, config=recipe.train, checkpoint=checkpoint
    )
    history = [vars_of(next(epochs)) for _ in range(2)]
    epochs.close()

    folds = base / "training" / "folds"
    for step in (steps := crossval.cross_validate(recipe, samples, 2, device, folds)):
        done = [p.name for p in folds.glob("*.npz")]
        if not isinstance(step, crossval.Fold) and done:
            break
    steps.close()

    found = base / "training" / "search"
    for event in (trying := search.search(recipe, samples, device, found, space=SPACE, trials=3)):
        if isinstance(event, search.Trial) and event.number == 1:
            break
    trying.close()
    parts = crossval.fold_parts(recipe, samples, 2)
    split = search.search_split(recipe, samples, 5)
    networks = {}
    for name, (arguments, size) in NETWORKS.items():
        torch.manual_seed(0)
        text = repr(build_model(name, 3, arguments, size))
        networks[name] = {
            "arguments": arguments,
            "tile_size": size,
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
        }
    return {
        "run_key": key,
        "epochs": history,
        "folds_key": crossval._folds_key(recipe, samples, *parts),
        "search_key": search._search_key(recipe, SPACE, samples, split),
        "search_space": {name: r.model_dump(mode="json") for name, r in SPACE.items()},
        "reproduce_key": cli_reproduce._key(base / "recipe.yaml", samples),
        "networks": networks,
        "context_network": hashlib.sha256(
            repr(SlideContext(5, 3, 2, hidden=4, projection=6)).encode()
        ).hexdigest(),
    }


def vars_of(epoch: Any) -> dict[str, Any]:
    """Return what an epoch reports."""
    names = ("epoch", "train_loss", "val_loss", "val_balanced_accuracy", "best", "temperature")
    return {name: getattr(epoch, name) for name in names}


def slide_identities(base: Path) -> dict[str, str]:
    """Fingerprints of slides and of a picture."""
    found = {}
    for name in ("slide.tif", "pictures/normal/p0_0.png"):
        with open_slide(base / name) as slide:
            found[name] = slide.fingerprint()
    pixels = (np.indices((70, 90)).sum(axis=0)[..., None] * (1, 2, 3) % 256).astype(np.uint8)
    with slide_from_array(pixels, "array") as slide:
        found["array"] = slide.fingerprint()
    found["picture digest of array"] = fingerprint(pixels)[0].decode()
    return found


def result_identities(base: Path) -> dict[str, Any]:
    """UUIDs of each result and of what its exports hold."""
    import pydicom

    found = {}
    for path in sorted(base.glob("*/*.liverdx.zarr")):
        store = ResultStore.open(path)
        told: dict[str, Any] = {
            "result_uuid": str(result_uuid(store.manifest)),
            "slide_uuid": {
                what: str(slide_uuid(store.manifest, what))
                for what in ("study", "frame of reference", "specimen")
            },
        }
        on_tissue = store.probabilities[2][store.tissue_cells()]
        cut = {"fat": round(float(np.median(on_tissue)), 3)}
        told["threshold"] = cut["fat"]
        with tempfile.TemporaryDirectory() as name:
            file = Path(name) / "regions.geojson"
            export(store, "geojson", file, thresholds=cut)
            features = json.loads(file.read_text(encoding="utf-8"))["features"]
            for kind in ("annotation", "tile"):
                told[f"geojson {kind}s"] = [
                    f["id"] for f in features if f["properties"]["objectType"] == kind
                ]
            export(store, "ome-tiff", file.with_suffix(".ome.tif"), thresholds=cut)
            with tifffile.TiffFile(file.with_suffix(".ome.tif")) as tiff:
                told["ome-tiff"] = tiff.ome_metadata.partition('UUID="')[2].partition('"')[0]
            export(store, "dicom", Path(name) / "dicom", thresholds=cut)
            for part in sorted((Path(name) / "dicom").iterdir()):
                data = pydicom.dcmread(part)
                told[part.name] = {
                    word: str(data.get(word))
                    for word in (
                        "StudyInstanceUID",
                        "SeriesInstanceUID",
                        "SOPInstanceUID",
                        "FrameOfReferenceUID",
                    )
                }
                for item in data.get("SpecimenDescriptionSequence", ()):
                    told[part.name]["SpecimenUID"] = str(item.SpecimenUID)
                for item in data.get("SegmentSequence", ()):
                    told[part.name]["TrackingUID"] = str(item.TrackingUID)
        found[path.relative_to(base).as_posix()] = told
    return found


PREFERENCES = {
    "analysis": {"model": "tiny", "device": "cpu", "results_folder": "", "threshold": 0.35},
    "display": {"opacity": 0.45, "colormap": "class colour"},
    "sharing": {"hide_names": True},
}
"""As napari 0.9 writes what was set on the plugin's page of its preferences."""


def main() -> None:
    """Make everything in a folder whose path says nothing, then move it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    if __version__ != "0.1.0":
        raise SystemExit("these files are those of 0.1.0; put its src on PYTHONPATH")
    base = Path(tempfile.gettempdir()) / "liverdx-v010"
    shutil.rmtree(base, ignore_errors=True)
    base.mkdir()
    torch.set_num_threads(1)
    draw_slide(base / "slide.tif")
    draw_pictures(base / "pictures")
    make_model(base / MODEL)
    found = make_results(base)
    make_bags(base, found["names"])
    make_taught(base, found["names"])
    make_batch(base)
    found |= {"training": make_training(base), "fingerprints": slide_identities(base)}
    found["results"] = result_identities(base)
    found["versions"] = {
        "napari-liverdx": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "timm", "numpy", "highdicom", "optuna")},
    }
    (base / "preferences.json").write_text(json.dumps(PREFERENCES, indent=1), encoding="utf-8")
    text = json.dumps(found, indent=1, sort_keys=True)
    (base / "identities.json").write_text(text + "\n", encoding="utf-8")
    for lock in base.rglob("*.lock"):
        lock.unlink()
    for old in (p for p in out.glob("*") if p.name != "README.md"):
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    shutil.copytree(base, out, dirs_exist_ok=True)
    sizes = [p.stat().st_size for p in out.rglob("*") if p.is_file()]
    print(f"{len(sizes)} files, {sum(sizes):,} bytes")  # noqa: T201


if __name__ == "__main__":
    main()
