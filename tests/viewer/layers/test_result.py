"""Maps over slides, without a napari window."""

from __future__ import annotations

from pathlib import Path

import pytest
from napari.components import ViewerModel

from napari_liverdx.widgets.analyze_dock import LiverDxDock
from tests.support.window import analyze, wait


def test_maps_follow_a_turned_layer(
    viewer: ViewerModel, dock: LiverDxDock, sample: object, tmp_path: Path
) -> None:
    pixels = sample.read_region(0, 1900, 500, 700, 600)
    layer = viewer.add_image(
        pixels, rgb=True, name="turned", scale=(0.5, 0.5), rotate=30, units=("um", "um")
    )
    wait(lambda: not dock.controller.is_busy)
    dock.state.run.out_folder = tmp_path / "results"
    analyze(dock)
    overlay = viewer.layers["Liver with fat · turned"]
    # The first pixel of map pixel (3, 5) and the corner of that map pixel are the same place.
    corner = overlay.data_to_world((3 - 0.5 + 1 / 64, 5 - 0.5 + 1 / 64))
    assert corner == pytest.approx(layer.data_to_world((96, 160)), abs=1e-6)
