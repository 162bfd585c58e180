"""Annotations are told apart by what they hold."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import napari_liverdx
from napari_liverdx.core.errors import DataError
from napari_liverdx.slides.annotations.read import read_annotations
from napari_liverdx.slides.open import open_slide
from tests.support.annotations import box, collection, feature, shapes_csv
from tests.support.vendors.mirax import write_mirax

GEOJSON = collection(feature("fat", "Polygon", [box(0, 0, 100, 100)]))
VERTICES = "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in box(0, 0, 100, 100))
IMAGESCOPE = (
    '<?xml version="1.0"?><Annotations><Annotation Name="fat"><Regions><Region><Vertices>'
    f"{VERTICES}</Vertices></Region></Regions></Annotation></Annotations>"
)
ASAP = (
    '<ASAP_Annotations><Annotations><Annotation Type="Polygon" PartOfGroup="fat"><Coordinates>'
    f"{VERTICES.replace('Vertex', 'Coordinate')}</Coordinates></Annotation></Annotations>"
    "</ASAP_Annotations>"
)


def test_the_examples(data_root: Path) -> None:
    folder = data_root / "cases" / "tables"
    expected = json.loads((folder / "expected.json").read_text())
    for name, what in expected.items():
        if what["kind"] != "annotations":
            continue
        found = napari_liverdx.read_annotations(folder / name)
        assert len(found.regions) == what["regions"], name
        assert found.skipped == what.get("skipped", 0), name
        assert found.area == what.get("area", 10_000), name


@pytest.mark.parametrize("ending", ["geojson", "xml", "csv", "txt"])
@pytest.mark.parametrize("packed", [False, True])
def test_the_ending_does_not_matter(tmp_path: Path, ending: str, packed: bool) -> None:
    path = tmp_path / f"a.fat.{ending}"
    corners = [(-0.5, -0.5), (-0.5, 99.5), (99.5, 99.5), (99.5, -0.5)]
    shapes_csv(path, ("polygon", corners))
    namespaced = IMAGESCOPE.replace("<Annotations>", '<Annotations xmlns="http://localhost/a">')
    for content in (
        path.read_bytes(),
        GEOJSON.encode(),
        GEOJSON.encode("utf-16"),
        IMAGESCOPE.encode(),
        IMAGESCOPE.encode("utf-16"),
        namespaced.encode("utf-8-sig"),
        ASAP.encode(),
    ):
        path.write_bytes(gzip.compress(content) if packed else content)
        (region,) = read_annotations(path).regions
        assert (region.name, region.area) == ("fat", 10_000)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf \n", "is empty"),
        (b"<OME/>", r"XML of another kind \(<OME>\)"),
        (b"<Annotations><Annotation>", "damaged XML"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><Annotations>&b;</Annotations>", "entities"),
        (b"path,label\na,b\n", "lacks column index"),
        (b"PK\3\4", "a spreadsheet"),
        (b"\x93NUMPY\1\0", "binary"),
    ],
)
def test_what_is_no_annotation_is_told(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "a.geojson"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"a.geojson: .*{words}"):
        read_annotations(path)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([GEOJSON, IMAGESCOPE, ASAP]),
    st.integers(0, 400),
    st.integers(0, 30),
    st.binary(max_size=20),
)
def test_damaged_files_are_read_or_refused(
    tmp_path: Path, content: str, at: int, lost: int, noise: bytes
) -> None:
    path = tmp_path / "a.fat.xml"
    whole = content.encode()
    path.write_bytes(whole[:at] + noise + whole[at + lost :])
    try:
        found = read_annotations(path)
    except DataError:
        return
    assert all(region.area > 0 for region in found.regions)


def test_regions_lie_right_on_a_slide_that_opens_at_its_bounds(tmp_path: Path) -> None:
    """ASAP and ImageScope count from the file's first pixel, a slide from its scanner's bounds."""
    file, slide = tmp_path / "a.xml", tmp_path / "a.mrxs"
    write_mirax(
        slide,
        np.full((256, 256, 3), 200, np.uint8),
        missing=tuple((row, 0) for row in range(4)),
        moved={},
    )
    with open_slide(slide) as opened:
        x, y = opened.info.origin
        assert (x, y) != (0, 0)
        for content in (ASAP, IMAGESCOPE):
            file.write_text(content)
            (plain,) = read_annotations(file).regions
            for given_slide in (opened, slide):
                (placed,) = read_annotations(file, slide=given_slide).regions
                assert np.array_equal(placed.rings[0], plain.rings[0] - (x, y))
