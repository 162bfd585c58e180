"""Slides opened through napari: reader, sample, other readers' layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from npe2 import PluginManager

from napari_liverdx.core.resolution import Mpp
from napari_liverdx.results.store import ResultStore
from napari_liverdx.session.state import RunStatus
from napari_liverdx.slides.open import open_slide
from napari_liverdx.viewer.reader import get_reader
from napari_liverdx.widgets.analyze_dock import LiverDxDock
from tests.support.ome_zarr import write_ome_zarr, zipped
from tests.support.paths import CMU, one
from tests.support.server import serving
from tests.support.slides import waves
from tests.support.window import analyze, wait

PIXELS = waves()


@pytest.fixture(autouse=True)
def plugins() -> None:
    """Plugins as napari's window finds them."""
    PluginManager.instance().discover()


def test_reader_gives_a_lazy_layer_in_micrometers(viewer: ViewerModel) -> None:
    (layer,) = viewer.open(str(CMU), plugin="napari-liverdx")
    assert layer.rgb
    assert tuple(layer.scale) == (0.499, 0.499)
    assert [str(u) for u in layer.units] == ["micrometer", "micrometer"]
    viewer.layers.clear()


def test_reader_steps_aside_for_what_is_no_slide(tmp_path: Path) -> None:
    text = tmp_path / "a.tif"
    text.write_text("no image")
    assert get_reader(str(text)) is None
    assert get_reader([str(CMU), str(text)]) is None
    assert get_reader(str(CMU)) is not None


def test_folders_zips_and_addresses_open_through_napari(
    viewer: ViewerModel, tmp_path: Path
) -> None:
    folder = write_ome_zarr(tmp_path / "a.ome.zarr", PIXELS)
    places = [str(folder), str(zipped(folder, tmp_path / "b.ozx"))]
    with serving(tmp_path) as server:
        for place in (*places, f"{server.url}/a.ome.zarr"):
            (layer,) = viewer.open(place, plugin="napari-liverdx")
            assert layer.rgb
            assert np.array_equal(np.asarray(layer.data[0]), PIXELS)
            viewer.layers.clear()
        viewer.layers.selection.clear()


def test_readers_know_slides_results_and_other_stores_apart(
    tmp_path: Path, twelve_tiles: ResultStore
) -> None:
    gray = write_ome_zarr(tmp_path / "gray.zarr", PIXELS[..., :1])
    assert get_reader(str(gray)) is None
    assert get_reader(str(twelve_tiles.path)) is None
    assert get_reader(str(tmp_path)) is None


def test_sample_opens_from_the_menu_entry(viewer: ViewerModel, dock: LiverDxDock) -> None:
    (layer,) = viewer.open_sample("napari-liverdx", "liver")
    assert layer.multiscale
    assert [a.shape[1] for a in layer.data] == [4224, 2112, 1056, 528]
    wait(lambda: not dock.controller.is_busy)
    assert dock.controller.layer is layer
    assert "2.11 × 1.41 mm" in dock.slide_panel.dimensions.text()
    assert dock.slide_panel.tissue.text() == "0.87 mm²"
    assert "0.5 µm/px (OME PhysicalSize)" in dock.slide_panel.mpp.text()


def test_layer_of_another_reader(
    viewer: ViewerModel, dock: LiverDxDock, sample: object, tmp_path: Path
) -> None:
    pixels = sample.read_region(0, 1900, 500, 700, 600)
    layer = viewer.add_image(pixels, rgb=True, name="foreign", scale=(0.5, 0.5), units=("um", "um"))
    wait(lambda: not dock.controller.is_busy)
    assert dock.controller.layer is layer
    assert dock.state.slide.facts.mpp == Mpp(0.5, 0.5, "layer scale")
    assert dock.slide_panel.tissue.text().endswith("mm²")
    viewer.add_image(np.zeros((30, 30)), name="gray")
    assert dock.slide_panel.choice.count() == 1
    dock.state.run.out_folder = tmp_path / "results"
    analyze(dock)
    assert dock.state.run.status is RunStatus.FINISHED
    assert one(tmp_path / "results", "foreign.tiny-*.liverdx.zarr")


def test_a_closed_slide_lets_go_of_its_file(viewer: ViewerModel, dock: LiverDxDock) -> None:
    with open_slide(CMU) as slide:
        assert slide.size == (2220, 2967)
    dock.controller.open_path(CMU)
    wait(lambda: not dock.controller.is_busy)
    viewer.layers.clear()
    assert dock.controller.layer is None
