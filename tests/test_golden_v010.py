"""What version 0.1.0 wrote opens, resumes and keeps its identity; see data/v010/README.md."""

from __future__ import annotations

import csv
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.layers import Image

from napari_liverdx.core.grid import TileIndex
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.exports.base import result_uuid, slide_uuid
from napari_liverdx.exports.registry import ExportOptions, export
from napari_liverdx.inference.device import choose_device
from napari_liverdx.inference.plan import RunPlan, plan_of_result, plan_run
from napari_liverdx.inference.run import make_manifest, result_location
from napari_liverdx.mil.bags import load_bags
from napari_liverdx.mil.file import load_mil_model
from napari_liverdx.models.file import load_model_file
from napari_liverdx.models.versions import versions_of
from napari_liverdx.results.find_slide import find_slide
from napari_liverdx.results.findings import measure_result
from napari_liverdx.results.measure_settings import MeasureSettings
from napari_liverdx.results.measurement_map import MapKind
from napari_liverdx.results.review_log import Verdict
from napari_liverdx.results.store import ResultStore, TileState
from napari_liverdx.results.view_state import ViewState
from napari_liverdx.session.annotations import keep_review
from napari_liverdx.session.batch_slide import SlideState
from napari_liverdx.session.run import Progressed, Started, run
from napari_liverdx.slides.annotations.shapes_csv import read_shapes_csv
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.slide import Slide
from napari_liverdx.slides.tissue import slide_overview, slide_tissue_map
from napari_liverdx.training.interactive.annotation_store import AnnotationFolder
from napari_liverdx.viewer.layers.slide_source import slide_of_layer
from tests.support.golden import GOLDEN, WROTE

WHOLE, PART = "slide.tiny.liverdx.zarr", "slide.tiny.bce9d7.liverdx.zarr"
BOX = np.array([(70.5, 80), (270.5, 80), (270.5, 340.25), (70.5, 340.25)])


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


def fat_from(threshold: float) -> ExportOptions:
    return ExportOptions(MeasureSettings({"fat": threshold}))


@pytest.mark.parametrize("name", WROTE["results"])
def test_geojson_ids_stay(golden: Path, tmp_path: Path, name: str) -> None:
    told = WROTE["results"][name]
    store, file = ResultStore.open(golden / name), tmp_path / "regions.geojson"
    export(store, "geojson", file, fat_from(told["threshold"]))
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
    export(store, "ome-tiff", tmp_path / "map.ome.tif", fat_from(told["threshold"]))
    with tifffile.TiffFile(tmp_path / "map.ome.tif") as tiff:
        assert f'UUID="{told["ome-tiff"]}"' in str(tiff.ome_metadata)
    export(store, "dicom", tmp_path / "dicom", fat_from(told["threshold"]))
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


def test_the_view_of_a_result_is_kept(golden: Path) -> None:
    notices: list[str] = []
    view = ViewState.load(golden / "results" / WHOLE, notices)
    assert notices == []
    assert view == ViewState(
        thresholds={"fat": 0.35},
        error_rate=0.1,
        opacity=0.45,
        colormap="cividis",
        map_kind=MapKind.TILES_AVERAGED,
        slide="../slide.tif",
    )
    with open_slide(golden / "slide.tif") as slide:
        found = find_slide(ResultStore.open(golden / "results" / WHOLE))
        assert found is not None
        with found:
            assert found.fingerprint() == slide.fingerprint()


def test_measurements_on_each_map_are_those_of_0_1_0(golden: Path) -> None:
    store = ResultStore.open(golden / "results" / WHOLE)
    with (golden / "batch" / "cohort.csv").open(encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file))
    assert SlideState(row["state"]) is SlideState.DONE
    for name in ("cells", "tiles", "tiles_averaged"):
        table = golden / "results" / f"measured.{name}.csv"
        with table.open(encoding="utf-8", newline="") as file:
            told = list(csv.DictReader(file))
        kind = MapKind(told[0]["basis"])
        found = measure_result(store, MeasureSettings({"fat": 0.35}, map_kind=kind))
        areas = {row["class"]: row["area_mm2"] for row in told}
        assert {m.name: f"{m.area_mm2:.6f}" for m in found.measures} == areas


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
    folder = AnnotationFolder(golden / "models" / "teaching")
    before = {p: p.read_bytes() for p in folder.folder.iterdir()}
    with open_slide(golden / "slide.tif") as slide:
        found = folder.find(slide)
        assert found is not None
        assert [r.name for r in found.shapes] == ["liver", "liver", "fat", "fat"]
        assert [r.name for r in found.tiles] == ["liver", "fat"]
        shapes = read_shapes_csv(golden / "annotations.csv", "fat").regions
        assert len(shapes) == 4
        for one, other in zip(shapes, found.shapes, strict=True):
            assert one.area == pytest.approx(other.area)
        # Of what is changed there is one file, which holds all; the former ones stay.
        folder.keep(slide, found.shapes[:1])
        (changed,) = folder.all()
        assert [r.name for r in changed.shapes] == ["liver"]
        assert [r.name for r in changed.tiles] == ["liver", "fat"]
        assert {p: p.read_bytes() for p in before} == before
        # The review itself counts, not the copy of it.
        store = ResultStore.open(golden / "results" / WHOLE)
        store.decisions.put(TileIndex(5, 3), None)
        keep_review(folder, slide, store)
        (changed,) = folder.all()
        assert [r.name for r in changed.tiles] == ["liver"]
        store.decisions.put(TileIndex(1, 2), None)
        assert folder.all()[0].tiles == ()


# -- identities of this version --

OWN = {
    "whole": ("", "b5864320-af43-5ece-952d-64cc112741ad"),
    "region and overlap": ("75ec41f1", "abffc5ab-2b7e-50dd-a76a-9346d0083b26"),
}


@pytest.mark.parametrize("what", OWN)
def test_new_results_have_identities_that_stay(golden: Path, what: str) -> None:
    """Whatever a field or a class is called later."""
    model = load_model_file(golden / "tiny.safetensors")
    with open_slide(golden / "slide.tif") as slide:
        made = make_manifest(plan(slide, golden, **VARIANTS[what]), slide, model)
    assert (made.variant, made.uid) == OWN[what]
    assert str(result_uuid(made)) == made.uid != WROTE["results"][f"results/{WHOLE}"]["result_uuid"]
