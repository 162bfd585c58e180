"""GeoJSON of QuPath and others, and anything else in its place."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_liverdx.core.errors import DataError
from napari_liverdx.core.geometry import Rect
from napari_liverdx.slides.annotations.geojson import read_geojson
from napari_liverdx.slides.annotations.shapes_csv import read_shapes_csv
from napari_liverdx.training.data.table import TableDataset
from tests.support.annotations import box, collection, feature

BROKEN = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_qupath_export(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    ring, hole = box(0, 0, 100, 100), box(10, 10, 20, 20)
    features = [
        feature("Tumor", "Polygon", [ring, hole]),
        feature("Stroma", "MultiPolygon", [[box(200, 0, 10, 10)], [box(300, 0, 10, 10), hole]]),
        feature(None, "Polygon", [ring]),
        feature("Tumor", "Point", [3, 4]),
        {"type": "Feature", "geometry": None, "properties": {"classification": {"name": "a"}}},
    ]
    path.write_text(collection(*features))
    found = read_geojson(path).classified
    assert [r.name for r in found.regions] == ["Tumor", "Stroma", "Stroma"]
    assert [len(r.rings) for r in found.regions] == [2, 1, 2]
    assert found.regions[0].rings[0].shape == (4, 2)
    assert found.skipped == 3
    path.write_text(json.dumps(features[:1]))
    assert read_geojson(path).regions[0].bounds == Rect(0, 0, 100, 100)
    path.write_text(json.dumps(features[0]))
    assert len(read_geojson(path).regions) == 1
    features[0]["properties"]["classification"] = {"names": ["Tumor", "Positive"]}
    path.write_text(json.dumps(features[:1]))
    assert read_geojson(path).regions[0].name == "Tumor: Positive"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is empty"),
        ("[" * 100_000, "not GeoJSON"),
        ("{}", "neither"),
        ("[3]", "holds no feature"),
        ('{"shapes": [], "version": "5"}', "neither"),
        (collection(feature("a", "Polygon", [box(0, 0, 9, 9)]))[:-30], "not GeoJSON"),
        ("[" * 12_000_001, "more than"),
    ],
)
def test_what_is_no_geojson_is_told(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "a.geojson"
    path.write_text(text)
    with pytest.raises(DataError, match=f"a.geojson: .*{words}"):
        read_geojson(path)


GOOD = box(0, 0, 100, 100)


@pytest.mark.parametrize(
    ("coordinates", "reason"),
    [
        ([], "without an area"),
        ({}, "without an area"),
        ([[]], "without an area"),
        ([[[0, 0], [1, 1]]], "without an area"),
        ([[[5, 5], [6, 5], [5, 5]]], "without an area"),
        ([[[0, 0], [2, 2], [1, 1], [0, 0]]], "without an area"),
        ([[[0, 0], [1, 1], ["x", 2]]], "broken corners"),
        ([[[0, 0], [1, 1], [None, 2]]], "broken corners"),
        ([[[0, 0], [1, 1], 7]], "broken corners"),
        ([[[0, 0], [1, 1], [float("nan"), 2]]], "broken corners"),
        ([[[0, 0], [1, 1], [float("inf"), 2]]], "broken corners"),
        ([[[0, 0], [1, 1], [10**4000, 2]]], "broken corners"),
        ([[[0, 0], [1, 1], [1e12, 2]]], "broken corners"),
        ([GOOD, [[0, 0], [1, 1], [float("nan"), 2]]], "broken corners"),
    ],
)
def test_one_unusable_object_is_left_out_and_counted(
    tmp_path: Path, coordinates: Any, reason: str
) -> None:
    path = tmp_path / "a.geojson"
    good, bad = feature("fat", "Polygon", [GOOD]), feature("fat", "Polygon", coordinates)
    path.write_text(collection(good, bad, good))
    found = read_geojson(path)
    assert [r.area for r in found.regions] == [10_000, 10_000]
    assert found.skipped == 1
    assert "1 object is left out: 1 " in found.note
    assert reason in found.note


def test_a_hole_without_area_is_none_and_parts_fail_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    speck = [[5, 5], [6, 5], [5, 5]]
    path.write_text(
        collection(
            feature("fat", "Polygon", [GOOD, speck, [[1, 1]], []]),
            feature("fat", "MultiPolygon", [[GOOD], [speck], 3]),
        )
    )
    found = read_geojson(path)
    assert [len(r.rings) for r in found.regions] == [1, 1]
    assert (found.area, found.skipped) == (20_000, 0)
    assert found.note.startswith("parts are left out: 2 part of an object")


def test_rings_that_cross_themselves_stay(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    eight = [[0, 0], [100, 100], [100, 0], [0, 100], [0, 0]]
    path.write_text(collection(feature("fat", "Polygon", [eight])))
    (region,) = read_geojson(path).regions
    assert region.area == pytest.approx(5000)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_the_spellings_of_a_file(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.geojson"
    one = feature("Müller", "Polygon", [[["0", "0"], ["10,5", 0], [10.5, 10, 3], [0, 10]]])
    other = {
        "type": "Feature",
        "geometry": {
            "type": "GeometryCollection",
            "geometries": [one["geometry"], {"type": "Point", "coordinates": [1, 2]}],
        },
        "properties": {"class": "Müller"},
    }
    lines = "\n".join(json.dumps(f, ensure_ascii=False) for f in (one, other))
    whole = json.dumps({"features": [one], "type": "FeatureCollection"}, ensure_ascii=False)
    for text in (lines, f"{whole}\n", json.dumps([one, other], ensure_ascii=False)):
        path.write_bytes(gzip.compress(text.encode(encoding)))
        assert {(r.name, r.area) for r in read_geojson(path).regions} == {("Müller", 105)}
    path.write_text(json.dumps(one["geometry"]))
    assert [(r.name, r.area) for r in read_geojson(path).regions] == [("", 105)]
    assert read_geojson(path).classified.reasons == {"without a class": 1}
    path.write_text('{"type": "FeatureCollection", "features": []}')
    assert read_geojson(path).regions == ()


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["type", "features", "geometry", "coordinates", "properties", "name"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@BROKEN
@given(content=JSON, kind=st.sampled_from(["Polygon", "MultiPolygon", "Nonsense"]))
def test_any_json_is_read_or_refused(tmp_path: Path, content: Any, kind: str) -> None:
    path = tmp_path / "a.geojson"
    one = feature("a", kind, content)
    named = {**one, "properties": {"classification": content}}
    for whole in (content, [one], [content], [named]):
        path.write_text(json.dumps(whole))
        try:
            found = read_geojson(path)
        except DataError:
            continue
        assert all(np.isfinite(ring).all() for r in found.regions for ring in r.rings)


@BROKEN
@given(data=st.binary(max_size=200), header=st.booleans())
def test_any_bytes_are_read_or_refused(tmp_path: Path, data: bytes, header: bool) -> None:
    path = tmp_path / "a.csv"
    for columns in ("index,shape-type,vertex-index,axis-0,axis-1", "path,label,split"):
        path.write_bytes((columns.encode() + b"\n" if header else b"") + data)
        for read in (
            lambda: read_geojson(path),
            lambda: read_shapes_csv(path, "a"),
            lambda: TableDataset(path),
        ):
            try:
                read()
            except DataError:
                continue
