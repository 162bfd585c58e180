"""Which annotation belongs to which slide."""

from __future__ import annotations

import gzip
from pathlib import Path

from napari_liverdx.slides.annotations.beside import annotations_beside, may_annotate, slide_stem

MINE = {
    "a.geojson": b"",
    "a.ome.tif.geojson": b"",
    "a.fat.csv": b"",
    "a.fat.csv.gz": b"",
    "a.ome.tif.ndpa": b"",
    "a.xml": b"<?xml version='1.0'?><Annotations/>",
    "a.ome.xml": "<ASAP_Annotations/>".encode("utf-16"),
    "a.json.gz": gzip.compress(b'{"type": "FeatureCollection"}'),
    "a.GeoJSON": b"",
}
OTHERS = {
    "b.geojson": b"",
    "a.csv": b"",
    "a.b.fat.csv": b"",
    "a.json": b'{"version": 1}',
    "a.ome.tif.xml": b"<ScannerSettings/>",
    "a.ome.json.gz": b"\x1f\x8b",
    "a.txt": b"",
}


def test_annotations_are_told_by_their_names(tmp_path: Path) -> None:
    for name, content in (MINE | OTHERS).items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "a.ome.geojson").mkdir()
    slide = tmp_path / "a.ome.tif"
    found = annotations_beside(slide, sorted(tmp_path.iterdir()))
    assert {path.name for path in found} == set(MINE)
    assert all(map(may_annotate, found))
    assert not may_annotate(Path("a.svs"))
    assert slide_stem(slide) == "a"
