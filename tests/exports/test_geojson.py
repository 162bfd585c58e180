"""GeoJSON as QuPath reads it."""

from __future__ import annotations

import json
import tracemalloc
import uuid
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_liverdx.core.grid import TileIndex
from napari_liverdx.core.outline import label_foci
from napari_liverdx.exports.base import ExportOptions
from napari_liverdx.exports.geojson import features
from napari_liverdx.results.findings import measure_result
from napari_liverdx.results.measure_settings import MeasureSettings
from napari_liverdx.results.review_log import Decision
from napari_liverdx.results.store import ResultStore, TileState
from napari_liverdx.slides.annotations.geojson import read_geojson
from tests.support.exports import counted, exported
from tests.support.models import CLASSES
from tests.support.results import CELL, MPP, oblong_result


@settings(max_examples=40)
@given(data=st.data(), threshold=st.sampled_from([0.25, 0.5, 0.75]))
def test_regions_come_back_with_the_same_cells(
    shared: ResultStore, data: st.DataObject, threshold: float
) -> None:
    store = shared
    shape = store.probabilities.shape[1:]
    store.probabilities[2] = data.draw(
        hnp.arrays(np.float32, shape, elements=st.sampled_from([0, 0.25, 0.5, 0.75, 1]))
    )
    path = exported(store, "geojson", thresholds={"fat": threshold})
    tiles = store.count(TileState.DONE)
    regions = read_geojson(path).regions[:-tiles]
    assert {r.name for r in regions} <= {"fat"}
    wanted = counted(store, threshold)
    xs = store.origin[0] + (np.arange(shape[1]) + 0.5) * CELL
    ys = store.origin[1] + (np.arange(shape[0]) + 0.5) * CELL
    covered = np.zeros(shape, bool)
    area = 0.0
    for region in regions:
        covered ^= region.contains(xs, ys)
        area += sum(_area(r) for r in region.rings)
    assert (covered == wanted).all()
    assert area == wanted.sum() * CELL * CELL


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> ResultStore:
    """A result whose probabilities a property test fills anew."""
    return oblong_result(tmp_path_factory.mktemp("shared"), 3, 4)


def _area(ring: np.ndarray) -> float:
    x, y = ring.T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def test_geojson_has_what_qupath_reads(store: ResultStore) -> None:
    tile = TileIndex(1, 2)
    called = CLASSES[int(store.tile_probabilities[:, 1, 2].argmax())].name
    store.decisions.put(tile, Decision.reject(called, "liver"))
    content = json.loads(exported(store, "geojson", thresholds={"fat": 0.4}).read_text("utf-8"))
    assert content["type"] == "FeatureCollection"
    found = content["features"]
    ids = [uuid.UUID(f["id"]) for f in found]
    assert len(set(ids)) == len(ids)
    assert {i.version for i in ids} == {5}
    annotations = [f for f in found if f["properties"]["objectType"] == "annotation"]
    tiles = [f for f in found if f["properties"]["objectType"] == "tile"]
    assert annotations + tiles == found
    labels, count = label_foci(counted(store, 0.4))
    assert len(annotations) == count
    for n, feature in enumerate(annotations, 1):
        p = feature["properties"]
        assert p["classification"] == {"name": "fat", "color": [10, 132, 255]}
        assert p["name"] == f"Liver with fat {n}"
        assert p["isLocked"] is True
        values = store.probabilities[2][labels == n]
        assert p["measurements"]["Cells"] == len(values)
        mm2 = len(values) * CELL * CELL * MPP[0] * MPP[1] / 1e6
        assert p["measurements"]["Area mm^2"] == pytest.approx(mm2)
        assert p["measurements"]["Mean probability"] == pytest.approx(values.mean(), abs=1e-5)
    found = measure_result(store, MeasureSettings({"fat": 0.4})).measures
    (row,) = [m for m in found if m.name == "fat"]
    total = sum(f["properties"]["measurements"]["Area mm^2"] for f in annotations)
    assert total == pytest.approx(row.area_mm2)


def test_geojson_tiles(store: ResultStore) -> None:
    tile = TileIndex(1, 2)
    store.decisions.put(tile, Decision.reject("fat", "liver"))
    content = json.loads(exported(store, "geojson").read_text("utf-8"))
    tiles = [f for f in content["features"] if f["properties"]["objectType"] == "tile"]
    done = [TileIndex(*p) for p in np.argwhere(store.state == TileState.DONE).tolist()]
    assert len(tiles) == len(done) == 6 * 8 - 2
    for feature, at in zip(tiles, done, strict=True):
        rect = store.manifest.grid.rect(at)
        shape = shapely.geometry.shape(feature["geometry"])
        assert shape.bounds == (rect.x, rect.y, rect.right, rect.bottom)
        p = feature["properties"]
        values = store.tile_probabilities[:, at.row, at.col]
        predicted = 2 if values[2] >= 0.5 else values[:2].argmax()
        assert p["classification"]["name"] == CLASSES[predicted].name
        numbers = p["measurements"]
        for c, value in zip(CLASSES, values, strict=True):
            assert numbers[f"Probability {c.name}"] == pytest.approx(value, abs=1e-6)
        known = np.isfinite(store.ood[at.row, at.col])
        assert numbers.get("Unlike training data") == (0.5 if known else None)
        assert ("Review accepted" in numbers) == (at == tile)
    (reviewed,) = [t["properties"] for t in tiles if "metadata" in t["properties"]]
    assert reviewed["measurements"]["Review accepted"] == 0
    assert reviewed["metadata"]["Correct class"] == "liver"


@pytest.mark.slow
def test_many_tiles_stream_in_little_memory(tmp_path: Path) -> None:
    store = oblong_result(tmp_path, 80, 80, subtiles=1)
    assert store.decisions == {}
    count = written = 0
    tracemalloc.start()
    for text in features(store, ExportOptions(MeasureSettings({"fat": 1.0}))):
        count, written = count + 1, written + len(text)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 80 * 80 - 2
    assert peak < written / 2


def test_geojson_tells_where_the_slide_begins_in_its_file(store: ResultStore) -> None:
    head = json.loads(exported(store, "geojson").read_text("utf-8"))["liverdx"]
    assert not {"slide_origin_px", "scene"} & head.keys()
    store.manifest = store.manifest.model_copy(update={"slide_origin": (512, 256), "scene": 1})
    head = json.loads(exported(store, "geojson").read_text("utf-8"))["liverdx"]
    assert (head["slide_origin_px"], head["scene"]) == ([512, 256], 1)
