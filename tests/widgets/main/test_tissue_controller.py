"""Tissue edited and analyzed, without a napari window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels

from napari_liverdx.core.tissue import TissueLabel
from napari_liverdx.results.store import TileState
from napari_liverdx.viewer.layers.tissue import find_tissue_layer
from napari_liverdx.widgets.analyze_dock import LiverDxDock
from tests.support.artifacts import INKS, inked, written
from tests.support.window import analyze, click, open_in, wait


@pytest.fixture
def marked(liver: np.ndarray, tmp_path: Path) -> Path:
    """A slide with a bar of green ink on tissue, and glass at its right."""
    rgb = np.concatenate([liver, np.full((1200, 600, 3), 243, np.uint8)], axis=1)
    return written(tmp_path / "marked.tif", inked(rgb, INKS["green"], np.s_[500:800, 100:1300]))


def tissue_of(dock: LiverDxDock) -> Labels:
    layer = find_tissue_layer(dock.viewer, dock.controller.layer)
    assert layer is not None
    return layer


def square(layer: Labels, rows: slice, cols: slice, label: int) -> None:
    """Paint a rectangle with napari's own brush, as one stroke."""
    layer.brush_size = 4
    with layer.block_history():
        for row in range(rows.start, rows.stop, 2):
            for col in range(cols.start, cols.stop, 2):
                layer.paint((row, col), label)


def test_layer_lies_exactly_over_the_slide(dock: LiverDxDock, marked: Path) -> None:
    open_in(dock, marked)
    layer, slide = tissue_of(dock), dock.controller.layer
    found = dock.state.slide.facts.tissue_map
    rows, cols = layer.data.shape
    for corner in ((0, 0), (rows, cols), (10, 40)):
        world = layer.data_to_world(np.subtract(corner, 0.5))
        place = np.asarray(slide.world_to_data(world)) + 0.5
        assert place == pytest.approx(np.multiply(corner, (found.scale_y, found.scale_x)))
    assert layer.units == slide.units


@pytest.mark.slow
def test_the_edited_tissue_is_analyzed(dock: LiverDxDock, marked: Path) -> None:
    open_in(dock, marked)
    analyze(dock)
    first = dock.controller.results.store
    layer = tissue_of(dock)
    click(dock.tissue_panel.erase_button)
    assert layer.mode == "erase"
    assert layer.unique_id == dock.viewer.layers.selection.active.unique_id
    square(layer, slice(0, 30), slice(0, 40), 0)
    click(dock.tissue_panel.brush_button)
    assert layer.mode == "paint"
    assert layer.selected_label == TissueLabel.TISSUE
    square(layer, slice(50, 74), slice(100, 124), layer.selected_label)
    # Read at the click, however soon it comes.
    analyze(dock)
    store = dock.controller.results.store
    assert store.path != first.path, "both results stand side by side"
    assert store.manifest.tissue["edited"]
    assert store.state[0, 1] == TileState.NO_TISSUE
    assert first.state[0, 1] == TileState.DONE
    assert store.state[4, 8] == TileState.DONE
    assert first.state[4, 8] == TileState.NO_TISSUE
    click(dock.tissue_panel.reset_button)
    analyze(dock)
    assert dock.controller.results.store.path == first.path, "the first result again"


def test_each_slide_keeps_its_tissue(
    viewer: ViewerModel, dock: LiverDxDock, marked: Path, small_slide: Path
) -> None:
    open_in(dock, marked)
    first, layer = dock.controller.layer, tissue_of(dock)
    layer.paint((60, 110), 1)
    wait(lambda: dock.state.slide.tissue.edited)
    open_in(dock, small_slide)
    assert find_tissue_layer(viewer, dock.controller.layer) is None, "a clean slide gets no layer"
    assert not dock.state.slide.tissue.edited
    assert dock.state.slide.tissue.labels.shape != layer.data.shape
    dock.controller.choose_layer(first)
    wait(lambda: not dock.controller.is_busy)
    assert dock.state.slide.tissue.edited
    assert (dock.state.slide.tissue.labels == layer.data).all()


def test_the_layer_goes_with_its_slide(
    viewer: ViewerModel, dock: LiverDxDock, marked: Path
) -> None:
    open_in(dock, marked)
    first, layer = dock.controller.layer, tissue_of(dock)
    layer.paint((60, 110), 1)
    wait(lambda: dock.state.slide.tissue.edited)
    viewer.layers.remove(layer)
    assert not dock.state.slide.tissue.edited, "without the layer what was found counts"
    click(dock.tissue_panel.show_box)
    assert tissue_of(dock).visible
    viewer.layers.remove(first)
    assert not [v for v in viewer.layers if v.name.startswith("Tissue")]


def test_another_resolution_moves_the_layer_and_keeps_edits(
    dock: LiverDxDock, marked: Path
) -> None:
    open_in(dock, marked)
    layer = tissue_of(dock)
    layer.paint((60, 110), 1)
    wait(lambda: dock.state.slide.tissue.edited)
    painted = layer.data.copy()
    dock.controller.set_mpp(0.25)
    wait(lambda: not dock.controller.is_busy)
    assert dock.state.slide.tissue.edited
    assert (layer.data == painted).all()
    extent = layer.extent.world[1] - layer.extent.world[0]
    slide = dock.controller.layer.extent.world
    assert extent == pytest.approx(slide[1] - slide[0], rel=0.05)
    click(dock.tissue_panel.reset_button)
    assert layer.data.shape != painted.shape
    assert layer.data.shape == dock.state.slide.facts.tissue_map.labels.shape
    assert not dock.state.slide.tissue.edited
