"""OME-TIFF: values, names, place, pyramid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile

from napari_liverdx.results.store import ResultStore
from tests.support.exports import exported
from tests.support.models import CLASSES
from tests.support.results import CELL, MPP, oblong_result


def test_ome_tiff_has_values_names_and_place(store: ResultStore) -> None:
    path = exported(store, "ome-tiff")
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_ome
        (series,) = tiff.series
        assert series.axes == "CYX"
        assert (series.asarray() == store.probabilities).all()
        assert tiff.pages[0].is_tiled
        assert tiff.pages[0].compression.name == "ADOBE_DEFLATE"
        pixels = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]
    assert pixels["PhysicalSizeX"] == CELL * MPP[0]
    assert pixels["PhysicalSizeY"] == CELL * MPP[1]
    assert pixels["Plane"][0]["PositionX"] == 128 * MPP[0]
    assert pixels["Plane"][2]["PositionY"] == 64 * MPP[1]
    assert [c["Name"] for c in pixels["Channel"]] == [c.title for c in CLASSES]
    colors = [int(c["Color"]) & 0xFFFFFFFF for c in pixels["Channel"]]
    assert [f"#{c >> 8:06x}" for c in colors] == [c.color for c in CLASSES]


def test_large_ome_tiff_is_a_pyramid_and_bytes_on_wish(tmp_path: Path) -> None:
    store = oblong_result(tmp_path, 3, 130, subtiles=8)
    with tifffile.TiffFile(exported(store, "ome-tiff", as_bytes=True)) as tiff:
        (series,) = tiff.series
        assert [v.shape for v in series.levels] == [(3, 24, 1040), (3, 12, 520), (3, 6, 260)]
        whole, half = series.levels[0].asarray(), series.levels[1].asarray()
    assert whole.dtype == np.uint8
    assert np.abs(whole / 255 - store.probabilities).max() <= 0.5 / 255 + 1e-6
    means = store.probabilities.reshape(3, 12, 2, 520, 2).mean((2, 4))
    assert np.abs(half / 255 - means).max() <= 0.5 / 255 + 1e-6
