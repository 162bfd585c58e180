"""Layers saved from napari's menu in every format."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel

from napari_liverdx.core.errors import ResultError
from napari_liverdx.exports.registry import EXPORTS
from napari_liverdx.results.view_state import ViewState
from napari_liverdx.slides.open import open_slide
from tests.support.results import CELL, NAME, oblong_result


@pytest.fixture
def shown(viewer: ViewerModel, small_slide: Path, tmp_path: Path) -> Iterator[ViewerModel]:
    """A viewer with a slide, its probability layer at threshold 0.3 and its tile layer."""
    from napari_liverdx.viewer.layers.base import probability_layer, tile_layer

    result = oblong_result(tmp_path, slide=small_slide)
    (slide,) = viewer.open(str(small_slide), plugin="napari-liverdx")
    viewer.add_layer(probability_layer(result, 2, slide, 0.3))
    viewer.add_layer(tile_layer(result, slide))
    yield viewer
    viewer.layers.clear()


def test_layers_are_saved_in_every_format(shown: ViewerModel, tmp_path: Path) -> None:
    hd = pytest.importorskip("highdicom")
    for name, entry in EXPORTS.items():
        path = tmp_path / f"saved{entry.suffix}"
        assert shown.layers.save(str(path)) == [str(path)], name
        assert path.exists()
    content = json.loads((tmp_path / "saved.geojson").read_text("utf-8"))
    assert content["liverdx"]["thresholds"]["fat"] == pytest.approx(0.3)
    # The slide was saved along, so its image is in the DICOM image; alone it is a drawing.
    shown.layers[1].save(str(tmp_path / "alone.dicom"))
    rgb, drawn = (
        hd.imread(tmp_path / n / "source.dcm").get_total_pixel_matrix().astype(int)
        for n in ("saved.dicom", "alone.dicom")
    )
    with open_slide(tmp_path / "small.tif") as slide:
        wanted = slide.overview(CELL).rgb[64 // CELL :, 128 // CELL :][: len(rgb), : rgb.shape[1]]
    assert np.abs(rgb - wanted).mean() < 12
    assert np.abs(drawn - wanted).mean() > 20


def test_saving_knows_kept_thresholds_and_hides_names_on_wish(
    shown: ViewerModel, tmp_path: Path, own_settings: None
) -> None:
    from napari.settings import get_plugin_settings

    path = tmp_path / "saved.geojson"
    view = ViewState(thresholds={"fat": 0.45, "gone": 0.2, "liver": 0.3})
    view.save(tmp_path / "slide.tiny.liverdx.zarr")
    tiles_only = shown.layers[2]
    tiles_only.save(str(path))
    assert json.loads(path.read_text("utf-8"))["liverdx"]["thresholds"] == {"fat": 0.45}
    shown.layers[1].save(str(path))
    told = json.loads(path.read_text("utf-8"))["liverdx"]
    assert told["thresholds"] == {"fat": pytest.approx(0.3)}
    assert told["slide"] == NAME
    sharing = get_plugin_settings("napari-liverdx").sharing
    sharing.hide_names = True
    try:
        tiles_only.save(str(path))
    finally:
        sharing.hide_names = False
    assert json.loads(path.read_text("utf-8"))["liverdx"]["slide"] != NAME
    assert "Jane" not in path.read_text("utf-8")


def test_one_layer_is_saved_where_napari_draws_it(shown: ViewerModel, tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="none of these layers shows"):
        shown.layers[0].save(str(tmp_path / "a.geojson"))
    assert not (tmp_path / "a.geojson").exists()
    layer = shown.layers[1]
    path = tmp_path / "saved.liverdx.ome.tif"
    layer.save(str(path))
    with tifffile.TiffFile(path) as tiff:
        pixels = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]
    size = np.array([pixels["PhysicalSizeY"], pixels["PhysicalSizeX"]])
    corner = np.array([pixels["Plane"][0]["PositionY"], pixels["Plane"][0]["PositionX"]])
    assert size == pytest.approx(layer.scale)
    # napari's world has its origin in the center of the slide's first pixel.
    slide_pixel = np.array(shown.layers[0].scale)
    assert corner == pytest.approx(layer.data_to_world((-0.5, -0.5)) + slide_pixel / 2)
