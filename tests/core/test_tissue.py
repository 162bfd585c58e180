"""Tissue is found, measured and restricted."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import ndimage

from napari_liverdx.core import tissue
from napari_liverdx.core.errors import PlanError
from napari_liverdx.core.geometry import Rect
from napari_liverdx.core.tissue import (
    TissueLabel,
    TissueMask,
    bounding_rect,
    find_tissue,
    grow,
    restrict,
)
from tests.support.artifacts import some_map


def slide_picture(mpp: float) -> np.ndarray:
    """A pink disc of 400 µm radius with a 50 µm hole on glass, a speck, a gray smear."""
    size = int(2000 / mpp)
    y, x = (np.mgrid[:size, :size] - size / 2) * mpp
    picture = np.full((size, size, 3), 243, np.uint8)
    picture[np.hypot(x, y) < 400] = (205, 140, 180)
    picture[np.hypot(x - 100, y) < 25] = 243
    picture[np.hypot(x - 800, y - 800) < 10] = (205, 140, 180)
    picture[:, : int(80 / mpp)] = 90
    return picture


@pytest.mark.parametrize("mpp", [4.0, 8.0, 16.0])
def test_tissue_is_found_alike_at_any_resolution(mpp: float) -> None:
    found = find_tissue(slide_picture(mpp), mpp=mpp, scale_x=1, scale_y=1)
    area = found.mask.sum() * mpp**2
    assert area == pytest.approx(np.pi * 400**2, rel=0.1)
    center = found.mask.shape[0] // 2
    assert found.mask[center, center + int(100 / mpp)], "small holes belong to the tissue"
    assert not found.mask[:, 0].any(), "gray is not tissue"


@pytest.mark.parametrize("seed", range(3))
def test_empty_glass_has_no_tissue(seed: int) -> None:
    rng = np.random.default_rng(seed)
    glass = rng.integers(236, 248, (200, 300, 1), np.uint8).repeat(3, axis=2)
    glass = glass + rng.integers(0, 4, glass.shape, np.uint8)
    assert not find_tissue(glass, mpp=8, scale_x=16, scale_y=16).mask.any()


def test_fraction_and_sample_agree_with_the_mask() -> None:
    mask = np.zeros((10, 10), bool)
    mask[2:6, 3:7] = True
    tissue = TissueMask(mask, 4.0, 4.0)
    assert tissue.fraction(Rect(12, 8, 16, 16)) == 1.0
    assert tissue.fraction(Rect(12, 8, 32, 16)) == 0.5
    assert tissue.fraction(Rect(36, 36, 40, 40)) == 0.0
    assert tissue.fraction(Rect(100, 100, 4, 4)) == 0.0
    xs = ys = np.arange(10) * 4.0 + 2
    assert (tissue.sample(xs, ys) == mask).all()
    assert not tissue.sample(np.array([-1.0, 1000.0]), ys).any()


def test_restricting_to_polygons() -> None:
    tissue = TissueMask(np.ones((20, 20), bool), 2.0, 2.0)
    square = np.array([[10, 4], [30, 4], [30, 14], [10, 14]], float)
    inside = restrict(tissue, [square]).mask
    assert inside.sum() == 10 * 5
    assert inside[2:7, 5:15].all()
    assert bounding_rect([square]) == Rect(10, 4, 20, 10)
    with pytest.raises(PlanError, match="no region"):
        bounding_rect([])


def test_kept_artifacts_count_as_tissue() -> None:
    found = some_map()
    assert found.analyzed.mask.sum() == 50 * 50
    assert found.keeping({TissueLabel.PEN}).analyzed.mask.sum() == 50 * 70
    assert found.keeping({TissueLabel.FOLD, TissueLabel.GLASS}).analyzed.mask.sum() == 50 * 50
    assert found.areas_mm2(0.25)[TissueLabel.PEN] == pytest.approx(50 * 20 * 64e-6)
    other = found.labels.copy()
    other[0, 0] = 9
    assert dataclasses.replace(found, labels=other).analyzed.mask[0, 0], "any other label is tissue"


def test_labels_are_stored_as_in_0_1_0() -> None:
    assert [label.id for label in TissueLabel] == ["glass", "tissue", "pen", "fold", "blur"]


@pytest.mark.parametrize("radius", [0.0, 1.0, 3.7, 40.0])
def test_growing_in_strips_is_growing_at_once(
    monkeypatch: pytest.MonkeyPatch, radius: float
) -> None:
    mask = np.random.default_rng(3).random((157, 90)) < 0.004
    expected = ndimage.distance_transform_edt(~mask) <= radius
    monkeypatch.setattr(tissue, "BAND_PIXELS", 90 * 11)
    assert (grow(mask, radius) == expected).all()
    assert not grow(mask & False, radius).any()
