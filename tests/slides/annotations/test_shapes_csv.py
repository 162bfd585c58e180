"""Shapes layers that napari saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_liverdx.core.errors import DataError
from napari_liverdx.core.geometry import Rect, covered
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.slides.annotations.shapes_csv import read_shapes_csv
from tests.support.annotations import shapes_csv


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
    speck = [(1.0, 1.0), (1.0, 2.0), (1.0, 3.0)]
    shapes_csv(path, ("blob", corners), ("polygon", speck), ("polygon", corners))
    found = read_shapes_csv(path, "Tumor")
    assert (found.area, found.skipped) == (200, 2)
    path.write_text(path.read_text().replace("2,polygon,1,0.0", "2,polygon,1,x"))
    assert read_shapes_csv(path, "Tumor").skipped == 3


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
