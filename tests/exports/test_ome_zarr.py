"""OME-Zarr, read back by ome-zarr-models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import ome_zarr_models
import pytest
import zarr

from tests.support.exports import counted, exported
from tests.support.results import MPP, oblong_result


def test_ome_zarr_is_valid_and_shows_what_is_called(tmp_path: Path) -> None:
    store = oblong_result(tmp_path, 3, 70, subtiles=8)
    path = exported(store, "ome-zarr", thresholds={"fat": 0.4})
    group = zarr.open_group(path, mode="r")
    image = ome_zarr_models.open_ome_zarr(group)
    assert type(image).__name__ == "Image"
    datasets = image.attributes.ome.multiscales[0].datasets
    assert [group[d.path].shape for d in datasets] == [(3, 24, 560), (3, 12, 280), (3, 6, 140)]
    assert (group["0"][...] == store.probabilities).all()
    called = group["labels/called"]
    labels = ome_zarr_models.open_ome_zarr(called)
    assert type(labels).__name__ == "ImageLabel"
    assert (called["0"][...] > 0).sum() == store.tissue_subtiles().sum()
    assert ((called["0"][...] == 3) == counted(store, 0.4)).all()
    about = labels.attributes.ome.image_label
    assert about.colors[2].rgba == (10, 132, 255, 255)
    assert dict(called.attrs)["ome"]["image-label"]["properties"][2]["class"] == "fat"
    # Each level covers the same place: its first corner lies half a pixel before its first center.
    for levels in (datasets, labels.attributes.ome.multiscales[0].datasets):
        for dataset in levels:
            scale, shift = dataset.coordinateTransformations
            corner = np.subtract(shift.translation[-2:], np.divide(scale.scale[-2:], 2))
            slide_corner = -np.array(MPP[::-1]) / 2
            assert corner - slide_corner == pytest.approx([64 * MPP[1], 128 * MPP[0]])
