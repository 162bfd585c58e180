"""Annotations of QuPath and napari, and anything else in their place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_liverdx.core.errors import DataError
from napari_liverdx.core.geometry import Rect, covered
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.slides.annotations import read_geojson, read_shapes_csv
from napari_liverdx.training.data.table import TableDataset
from tests.support.annotations import box, collection, feature, shapes_csv

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
    found = read_geojson(path)
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
        ("", "not GeoJSON"),
        ("[" * 100_000, "not GeoJSON"),
        ("{}", "neither"),
        ("[3]", "not a GeoJSON feature"),
        (collection(feature("a", "Polygon", [])).replace("[]", "{}"), "without coordinates"),
        (collection(feature("a", "Polygon", [[[0, 0], [1, 1]]])), "fewer than three"),
        (collection(feature("a", "Polygon", [[[0, 0], [1, 1], ["x", 2]]])), "pair of numbers"),
        (collection(feature("a", "Polygon", [[[0, 0], [1, 1], [1e999, 2]]])), "no place"),
        (collection(feature("a", "MultiPolygon", [[]])), "no corners"),
    ],
)
def test_broken_geojson_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "a.geojson"
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        read_geojson(path)


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


def test_napari_shapes(tmp_path: Path) -> None:
    """In napari (0, 0) is the center of the first pixel."""
    path = tmp_path / "s.Tumor.csv"
    corners = [(0.0, 0.0), (0.0, 20.0), (10.0, 20.0), (10.0, 0.0)]
    shapes_csv(path, ("rectangle", corners), ("ellipse", corners), ("path", corners))
    found = read_shapes_csv(path, "Tumor")
    assert found.skipped == 1
    assert found.regions[0].bounds == Rect(0.5, 0.5, 20, 10)
    assert found.regions[1].bounds.width == pytest.approx(20)
    ellipse = covered([found.regions[1]], Rect(0.5, 0.5, 20, 10))
    assert ellipse == pytest.approx(np.pi / 4, abs=0.02)
    in_um = read_shapes_csv(path, "Tumor", units="um", mpp=Mpp.square(0.5))
    assert in_um.regions[0].bounds == Rect(0.5, 0.5, 40, 20)
    with pytest.raises(DataError, match="resolution"):
        read_shapes_csv(path, "Tumor", units="um")
    shapes_csv(path, ("blob", corners))
    with pytest.raises(DataError, match="blob"):
        read_shapes_csv(path, "Tumor")


def test_shapes_as_napari_itself_saves_them(tmp_path: Path) -> None:
    from napari.layers import Shapes
    from napari_builtins.io import napari_write_shapes

    layer = Shapes(scale=(0.5, 0.5))
    layer.add_rectangles(np.array([[2.0, 4], [2, 24], [12, 24], [12, 4]]))
    path = tmp_path / "s.Tumor.csv"
    data, attributes, _ = layer.as_layer_data_tuple()
    assert napari_write_shapes(str(path), data, attributes) == str(path)
    (region,) = read_shapes_csv(path, "Tumor").regions
    assert region.bounds == Rect(4.5, 2.5, 20, 10)
