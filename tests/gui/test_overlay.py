"""Maps lie exactly on the tissue, and thresholds act without a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_liverdx.results.store import ResultStore
from napari_liverdx.widgets.analyze_dock import LiverDxDock
from tests.support.slides import write_pyramid
from tests.support.window import analyze, canvas, open_in, wait_paint

pytestmark = pytest.mark.gui


def stamp(store: ResultStore, subtiles: list[tuple[int, int]]) -> None:
    """Probability 1 in some map pixels, 0 in all others."""
    store.probabilities[:] = 0
    for row, col in subtiles:
        store.probabilities[2, row, col] = 1


@pytest.mark.parametrize("overlap", [0.0, 4 / 7])
def test_layer_lies_exactly_over_the_tissue(
    viewer: ViewerModel, dock: LiverDxDock, tmp_path: Path, overlap: float
) -> None:
    """Black subtiles are painted into the slide; the map must cover these pixels alone."""
    subtile = 32
    pixels = np.full((896, 1120, 3), (205, 140, 180), np.uint8)
    subtiles = [(3, 5), (10, 20), (27, 34)]
    for row, col in subtiles:
        pixels[row * subtile : (row + 1) * subtile, col * subtile : (col + 1) * subtile] = 0
    path = tmp_path / "marked.tif"
    write_pyramid(path, pixels)
    open_in(dock, path)
    dock.state.run.overlap = overlap
    analyze(dock)
    assert dock.controller.results is not None
    stamp(dock.controller.results.store, subtiles)
    dock.controller.results.refresh(tiles=False)
    layer = viewer.layers["Liver with fat · marked"]
    layer.opacity = 1.0
    viewer.reset_view()
    shown = canvas(viewer)
    layer.visible = False
    plain = canvas(viewer)
    covered = (np.abs(shown - plain) > 30).any(axis=2)
    black = (plain < 40).all(axis=2) & _inside(viewer, plain)
    assert black.sum() > 100
    # One screen pixel at the edge of a map pixel may fall to either side.
    different = covered ^ black
    assert different.sum() <= 0.12 * black.sum()
    from scipy.ndimage import binary_erosion

    assert not binary_erosion(different, np.ones((3, 3))).any()


def _inside(viewer: ViewerModel, picture: np.ndarray) -> np.ndarray:
    """Screen pixels on the slide, which is pink where it is not black."""
    pink = (picture > 100).all(axis=2)
    rows, cols = np.flatnonzero(pink.any(1)), np.flatnonzero(pink.any(0))
    inside = np.zeros(pink.shape, bool)
    inside[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1] = True
    return inside


def test_threshold_acts_on_layer_and_table_without_a_run(
    viewer: ViewerModel, dock: LiverDxDock, small_slide: Path
) -> None:
    open_in(dock, small_slide)
    analyze(dock)
    results = dock.controller.results
    assert results is not None
    values = np.linspace(0, 1, results.store.probabilities[2].size)
    results.store.probabilities[2] = values.reshape(results.store.probabilities[2].shape)
    results.refresh(tiles=False)
    layer = viewer.layers["Liver with fat · small"]
    layer.opacity = 1.0
    layer.visible = False
    plain = canvas(viewer)
    layer.visible = True
    runs: list[bool] = []
    dock.controller.about_to_run.connect(lambda: runs.append(True))
    shares, areas = [], []
    for threshold in (0.1, 0.5, 0.9):
        dock.findings_panel.sliders["fat"].setValue(threshold)
        wait_paint()
        assert tuple(layer.contrast_limits) == pytest.approx((threshold, 1.0))
        shares.append((np.abs(canvas(viewer) - plain) > 12).any(axis=2).sum())
        areas.append(float(dock.findings_panel.table.item(2, 1).text()))
    assert shares[0] > 1.5 * shares[1] > 1.5 * shares[2] > 0
    assert areas[0] > areas[1] > areas[2] > 0
    assert runs == []
    assert tuple(layer.contrast_limits_range) == (0, 1)
