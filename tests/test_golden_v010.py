"""What version 0.1.0 wrote opens, resumes and keeps its identity; see data/v010/README.md."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from napari.layers import Image

from napari_liverdx import _v010
from napari_liverdx.core.grid import TileIndex
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.experiments.crossval import Fold, cross_validate, fold_parts
from napari_liverdx.experiments.keys import folds_key, reproduction_key, search_key
from napari_liverdx.experiments.search import SearchResult, Trial, search, search_split
from napari_liverdx.experiments.search_space import Range
from napari_liverdx.exports.base import result_uuid, slide_uuid
from napari_liverdx.exports.registry import export
from napari_liverdx.inference.device import choose_device
from napari_liverdx.inference.plan import RunPlan, plan_of_result, plan_run
from napari_liverdx.inference.run import make_manifest, result_location
from napari_liverdx.mil.bags import load_bags
from napari_liverdx.mil.file import load_mil_model
from napari_liverdx.models.architectures.registry import build_model
from napari_liverdx.models.file import load_model_file
from napari_liverdx.models.versions import versions_of
from napari_liverdx.results.review_log import Verdict
from napari_liverdx.results.store import ResultStore, TileState
from napari_liverdx.session.run import Progressed, Started, run
from napari_liverdx.slides.annotations import read_shapes_csv
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.slide import Slide
from napari_liverdx.slides.tissue import slide_overview, slide_tissue_map
from napari_liverdx.training.data.base import TileDataset
from napari_liverdx.training.data.splits import grouped_folds
from napari_liverdx.training.interactive.annotation_store import AnnotationFolder
from napari_liverdx.training.keys import run_key
from napari_liverdx.training.loop import fine_tune
from napari_liverdx.training.recipe import Recipe, load_recipe
from napari_liverdx.viewer.layers.slide_source import slide_of_layer

GOLDEN = Path(__file__).parent / "data" / "v010"
WROTE: dict[str, Any] = json.loads((GOLDEN / "identities.json").read_text(encoding="utf-8"))
WHOLE, PART = "slide.tiny.liverdx.zarr", "slide.tiny.bce9d7.liverdx.zarr"
BOX = np.array([(70.5, 80), (270.5, 80), (270.5, 340.25), (70.5, 340.25)])
CPU = torch.device("cpu")


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    """A copy of what 0.1.0 wrote."""
    return Path(shutil.copytree(GOLDEN, tmp_path / "v010"))


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    """Networks this small gain nothing from threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def plan(slide: Slide, golden: Path, **more: Any) -> RunPlan:
    """A plan as 0.1.0 made it for the golden results."""
    found = slide_tissue_map(slide, slide_overview(slide))
    device = replace(choose_device("cpu"), batch_size=4, adaptive=False)
    card = load_model_file(golden / "tiny.safetensors").card
    mpp = more.pop("mpp", slide.mpp)
    if more.pop("edited", False):
        labels = found.labels.copy()
        labels[: len(labels) // 2] = 0
        found = replace(found, labels=labels, edited=True)
    return plan_run(slide.levels, mpp, found, card, device=device, **more)


VARIANTS: dict[str, dict[str, Any]] = {
    "whole": {},
    "overlap": {"overlap": 0.5},
    "region": {"regions": [BOX]},
    "region and overlap": {"regions": [BOX], "overlap": 0.25},
    "other resolution": {"mpp": Mpp.square(0.4)},
    "edited tissue": {"edited": True},
}


# -- slides --


def test_fingerprints_of_slides_stay() -> None:
    told = WROTE["fingerprints"]
    for name in ("slide.tif", "pictures/normal/p0_0.png"):
        with open_slide(GOLDEN / name) as slide:
            assert slide.fingerprint() == told[name]
    pixels = (np.indices((70, 90)).sum(axis=0)[..., None] * (1, 2, 3) % 256).astype(np.uint8)
    with slide_of_layer(Image(pixels, rgb=True, name="array")) as slide:
        assert slide.fingerprint() == told["array"]


# -- results --


def test_results_open_with_all_that_is_in_them(golden: Path) -> None:
    store = ResultStore.open(golden / "results" / WHOLE)
    assert store.is_complete
    assert store.count(TileState.DONE) == 56
    assert store.manifest.model_name == "tiny"
    assert store.manifest.scheme.names == ("background", "liver", "fat")
    assert np.isfinite(store.embeddings()[:, 1:8, 1:9]).all()
    decisions = store.decisions
    assert decisions[TileIndex(1, 2)].verdict is Verdict.ACCEPTED
    assert decisions[TileIndex(5, 3)].correct == "fat"
    assert decisions[TileIndex(6, 6)].correct == ""
    call = store.slide_prediction
    assert call is not None
    assert call.context_sha256 == load_mil_model(golden / "context.safetensors").sha256
    assert store.refined()[0].shape == store.tile_probabilities.shape


def test_facts_that_stood_in_the_name_are_known(golden: Path) -> None:
    whole = ResultStore.open(golden / "results" / WHOLE).manifest
    assert (whole.stem, whole.variant, whole.restricted, whole.own_tissue) == (
        "slide", "", False, False,
    )  # fmt: skip
    part = ResultStore.open(golden / "results" / PART).manifest
    assert (part.stem, part.variant, part.restricted) == ("slide", "bce9d7", True)


def test_what_was_found_stays_after_the_result_is_renamed(golden: Path) -> None:
    """Once the facts are stored they hang on no name."""
    store = ResultStore.open(golden / "results" / PART)
    store.finish({}, device="cpu", complete=True)
    moved = store.path.rename(store.path.with_name("renamed.liverdx.zarr"))
    again = ResultStore.open(moved).manifest
    assert (again.variant, again.restricted, again.uid) == ("bce9d7", True, "")


@pytest.mark.parametrize("name", WROTE["results"])
def test_uuids_of_results_and_slides_stay(golden: Path, name: str) -> None:
    told = WROTE["results"][name]
    manifest = ResultStore.open(golden / name).manifest
    assert str(result_uuid(manifest)) == told["result_uuid"]
    for what, uid in told["slide_uuid"].items():
        assert str(slide_uuid(manifest, what)) == uid


@pytest.mark.parametrize("name", WROTE["results"])
def test_geojson_ids_stay(golden: Path, tmp_path: Path, name: str) -> None:
    told = WROTE["results"][name]
    store, file = ResultStore.open(golden / name), tmp_path / "regions.geojson"
    export(store, "geojson", file, thresholds={"fat": told["threshold"]})
    features = json.loads(file.read_text(encoding="utf-8"))["features"]
    for kind in ("annotation", "tile"):
        ids = [f["id"] for f in features if f["properties"]["objectType"] == kind]
        assert ids == told[f"geojson {kind}s"]


def test_ids_in_images_stay(golden: Path, tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    import tifffile
    from pydicom import dcmread

    told = WROTE["results"][f"results/{WHOLE}"]
    store = ResultStore.open(golden / "results" / WHOLE)
    export(store, "ome-tiff", tmp_path / "map.ome.tif", thresholds={"fat": told["threshold"]})
    with tifffile.TiffFile(tmp_path / "map.ome.tif") as tiff:
        assert f'UUID="{told["ome-tiff"]}"' in str(tiff.ome_metadata)
    export(store, "dicom", tmp_path / "dicom", thresholds={"fat": told["threshold"]})
    # What is called by its content, as a segmentation, may follow its content.
    stable = {
        "source.dcm": (
            "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID",
        ),
        "parametric-map.dcm": (
            "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID",
        ),
        "segmentation.dcm": ("StudyInstanceUID", "FrameOfReferenceUID"),
    }  # fmt: skip
    for name, words in stable.items():
        data = dcmread(tmp_path / "dicom" / name)
        assert {w: str(data[w].value) for w in words} == {w: told[name][w] for w in words}
        (specimen,) = data.SpecimenDescriptionSequence
        assert specimen.SpecimenUID == told[name]["SpecimenUID"]
        for segment in data.get("SegmentSequence", ()):
            assert segment.TrackingUID == told[name]["TrackingUID"]


@pytest.mark.parametrize("what", VARIANTS)
def test_results_are_found_under_the_names_they_have(
    golden: Path, tmp_path: Path, what: str
) -> None:
    """0.1.0 derived the name from Python's text of its objects; the manifest says the same."""
    model = load_model_file(golden / "tiny.safetensors")
    with open_slide(golden / "slide.tif") as slide:
        wanted = plan(slide, golden, **VARIANTS[what])
        made = make_manifest(wanted, slide, model)
        place = tmp_path / "results" / WROTE["names"][what]
        old = made.model_copy(update={"uid": ""})
        ResultStore.create(place, old, wanted.tissue, wanted.tiles)
        assert result_location(tmp_path / "results", wanted, slide, model) == place
        others = [w for w in VARIANTS if w != what]
        for other in others:
            found = result_location(
                tmp_path / "results", plan(slide, golden, **VARIANTS[other]), slide, model
            )
            assert found != place, other


@pytest.mark.parametrize("what", ["whole", "region"])
def test_interrupted_results_resume(golden: Path, what: str) -> None:
    folder = golden / "interrupted"
    before = sorted(p.name for p in folder.iterdir())
    with open_slide(golden / "slide.tif") as slide:
        wanted = plan(slide, golden, **VARIANTS[what])
        model = str(golden / "tiny.safetensors")
        events = list(run(wanted, slide, model, folder, threading.Event()))
    started = events[0]
    assert isinstance(started, Started)
    assert started.store.path.name == WROTE["names"][what]
    first = events[1]
    assert isinstance(first, Progressed)
    assert first.progress.done == 8, "what was done is not done again"
    assert started.store.is_complete
    assert sorted(p.name for p in folder.iterdir()) == before, "no second result is made"
    manifest = ResultStore.open(started.store.path).manifest
    told = WROTE["results"][f"interrupted/{started.store.path.name}"]
    assert str(result_uuid(manifest)) == told["result_uuid"]


def test_a_finished_result_is_not_made_again(golden: Path) -> None:
    with open_slide(golden / "slide.tif") as slide:
        for what in ("whole", "region and overlap"):
            wanted = plan(slide, golden, **VARIANTS[what])
            model = str(golden / "tiny.safetensors")
            events = run(wanted, slide, model, golden / "results", threading.Event())
            started = next(events)
            events.close()
            assert isinstance(started, Started)
            assert started.store.path.name == WROTE["names"][what]
            assert started.store.is_complete


def test_a_plan_is_rebuilt_from_the_manifest(golden: Path) -> None:
    model = load_model_file(golden / "tiny.safetensors")
    store = ResultStore.open(golden / "results" / PART)
    again = plan_of_result(store, model.card, choose_device("cpu"))
    with open_slide(golden / "slide.tif") as slide:
        wanted = plan(slide, golden, **VARIANTS["region and overlap"])
        assert set(again.tiles) == set(wanted.tiles)
        assert (again.grid, again.overlap, again.mpp) == (wanted.grid, wanted.overlap, wanted.mpp)
        assert again.restricted
        assert result_location(golden / "results", again, slide, model) == store.path


# -- training --


@pytest.fixture
def recipe(golden: Path) -> Recipe:
    return load_recipe(str(golden / "recipe.yaml"))


@pytest.fixture
def samples(golden: Path, recipe: Recipe) -> TileDataset:
    return recipe.samples(golden / "pictures")


def test_a_checkpoint_resumes(golden: Path, recipe: Recipe, samples: TileDataset) -> None:
    train, val = grouped_folds(samples, np.arange(len(samples)), 2, 0)[0]
    network, _ = recipe.network()
    key = run_key(network, samples, train, val, 32, recipe.train, 1)
    assert key.former == WROTE["training"]["run_key"]
    checkpoint = golden / "training" / "run.checkpoint"
    epochs = list(
        fine_tune(network, samples, train, val, size=32, config=recipe.train, checkpoint=checkpoint)
    )
    assert [(e.epoch, e.restored) for e in epochs] == [(1, True), (2, True), (3, False)]
    for epoch, told in zip(epochs, WROTE["training"]["epochs"], strict=False):
        assert {name: getattr(epoch, name) for name in told} == told
    again, _ = recipe.network()
    resumed = fine_tune(
        again, samples, train, val, size=32, config=recipe.train, checkpoint=checkpoint
    )
    assert all(e.restored for e in resumed), "under its new key too"


def test_folds_are_found_and_resume(golden: Path, recipe: Recipe, samples: TileDataset) -> None:
    parts = fold_parts(recipe, samples, 2)
    assert folds_key(recipe, samples, *parts).former == WROTE["training"]["folds_key"]
    folder = golden / "training" / "folds"
    (finished,) = folder.glob("*.npz")
    before = finished.stat().st_mtime_ns
    steps = list(cross_validate(recipe, samples, 2, CPU, folder))
    assert isinstance(steps[0], Fold), "the first fold is not trained again"
    epochs = [s for s in steps if not isinstance(s, Fold)]
    assert [e.restored for e in epochs] == [True, False, False]
    assert finished.stat().st_mtime_ns == before
    assert len(list(folder.iterdir())) == 2


def test_a_search_goes_on(golden: Path, recipe: Recipe, samples: TileDataset) -> None:
    pytest.importorskip("optuna")
    told = WROTE["training"]
    # In the order in which the search was asked for them.
    names = ("train.head_lr", "card.arguments.hidden")
    space = {name: Range.model_validate(told["search_space"][name]) for name in names}
    key = search_key(recipe, space, samples, search_split(recipe, samples, 5))
    assert key.former == told["search_key"]
    folder = golden / "training" / "search"
    steps = list(search(recipe, samples, CPU, folder, space=space, trials=3))
    tried = [s.number for s in steps if isinstance(s, Trial)]
    assert tried == [2], "the first two are not tried again"
    outcome = steps[-1]
    assert isinstance(outcome, SearchResult)
    assert len(outcome.trials) == 3


def test_a_reproduced_model_is_not_trained_again(recipe: Recipe, samples: TileDataset) -> None:
    text = (GOLDEN / "recipe.yaml").read_text(encoding="utf-8")
    key = reproduction_key(text, samples)
    assert key.is_of(WROTE["training"]["reproduce_key"])
    assert key.is_of(key.id)
    assert not reproduction_key(text + " ", samples).is_of(WROTE["training"]["reproduce_key"])


def _same_software() -> bool:
    from importlib.metadata import version

    told = WROTE["versions"]
    return all(version(name) == told[name] for name in ("torch", "timm"))


@pytest.mark.parametrize("name", WROTE["training"]["networks"])
def test_networks_are_written_as_they_were(name: str) -> None:
    """The names of classes of 0.1.0, which checkpoints hang on; layers of others as they are."""
    told = WROTE["training"]["networks"][name]
    if name != "rnn-subtiles" and not _same_software():
        pytest.skip("made with another torch or timm, which write their own layers")
    network = build_model(name, 3, told["arguments"], told["tile_size"])
    text = _v010.module_text(network)
    assert hashlib.sha256(text.encode()).hexdigest() == told["sha256"]


# -- models, annotations --


def test_models_and_bags_load(golden: Path) -> None:
    model = load_model_file(golden / "tiny.safetensors")
    bags = load_bags(golden / "bags")
    assert [b.name for b in bags] == ["slide0", "slide1", "slide2", "slide3"]
    assert {b.tile_sha256 for b in bags} == {model.sha256}
    context = load_mil_model(golden / "context.safetensors")
    context.check_tile_model(model.card.name, model.sha256)


def test_a_taught_version_keeps_its_lineage(golden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVERDX_MODELS", str(golden / "models"))
    model = load_model_file(golden / "tiny.safetensors")
    taught = load_model_file(golden / "models" / "tiny-v2.safetensors").card
    assert taught.parent["sha256"] == model.sha256
    assert [v.number for v in versions_of(model.card, [golden / "tiny.safetensors"])] == [1, 2]
    fingerprint = WROTE["fingerprints"]["slide.tif"][:8]
    assert set(taught.trained_on) == {fingerprint}


def test_annotations_are_found(golden: Path) -> None:
    with open_slide(golden / "slide.tif") as slide:
        taught = AnnotationFolder(golden / "models" / "teaching").of(slide)
    assert [r.name for r in taught.shapes] == ["liver", "liver", "fat", "fat"]
    assert [r.name for r in taught.tiles] == ["liver", "fat"]
    shapes = read_shapes_csv(golden / "annotations.csv", "fat").regions
    assert len(shapes) == 4
    for one, other in zip(shapes, taught.shapes, strict=True):
        assert one.area == pytest.approx(other.area)
