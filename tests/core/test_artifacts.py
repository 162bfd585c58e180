"""Ink, folds and blur, and what is none of them."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from napari_liverdx.core.artifacts import find_blur, find_folds, find_pen
from napari_liverdx.core.tissue import find_tissue

STAINS = {
    "eosin": (230, 150, 190),
    "hematoxylin": (110, 80, 150),
    "dark nuclei": (60, 45, 110),
    "bile and pigment": (120, 80, 40),
    "blood": (190, 70, 85),
    "dense blood": (150, 40, 50),
    "thick H&E": (120, 20, 70),
}


@pytest.mark.parametrize("stain", STAINS)
def test_stains_and_blood_are_not_ink(stain: str) -> None:
    picture = np.full((120, 120, 3), 243, np.uint8)
    picture[20:100, 20:100] = STAINS[stain]
    tissue = find_tissue(picture, mpp=8, scale_x=1, scale_y=1).mask
    assert not find_pen(picture, tissue, mpp=8).any()


def test_another_stain_is_not_ink_all_over() -> None:
    picture = np.full((100, 100, 3), (40, 130, 80), np.uint8)
    tissue = np.ones((100, 100), bool)
    assert not find_pen(picture, tissue, mpp=8).any()
    picture[:20] = STAINS["eosin"]
    assert find_pen(picture, tissue, mpp=8)[22:].all()


def test_crowded_nuclei_are_no_fold() -> None:
    picture = np.full((100, 100, 3), (214, 150, 190), np.uint8)
    picture[40:60] = (105, 80, 150)
    tissue = np.ones((100, 100), bool)
    assert not find_folds(picture, tissue, mpp=8).any()
    thick = picture.copy()
    thick[40:60] = np.square(thick[:20] / 255.0) * 255
    assert find_folds(thick, tissue, mpp=8)[45:55, 10:90].all()


def test_blocks_without_detail_are_not_blurred() -> None:
    fine, coarse, weight = np.full((6, 6), 200.0), np.full((6, 6), 80.0), np.ones((6, 6))
    assert not find_blur(fine, coarse, weight).any()
    fine[:, :3], coarse[:, :3] = 0, 0
    assert not find_blur(fine, coarse, weight).any()
    fine[:, :3], coarse[:, :3] = 10, 40
    assert find_blur(fine, coarse, weight)[:, :2].all()
    assert not find_blur(fine, coarse, weight)[:, 4:].any()


def speckled() -> np.ndarray:
    """Tissue with holes, specks, ink, black ink beside it and a fold, 620 × 300 px, with noise."""
    picture = np.full((620, 300, 3), 243, np.uint8)
    picture[40:560, 30:260] = (205, 140, 180)
    picture[100:110, 100:110] = 243
    picture[5:12, 5:12] = (205, 140, 180)
    picture[150:190, 60:220] = (30, 60, 150)
    picture[250:275, 10:200] = (20, 20, 20)
    picture[330:360, 60:240] = np.square(picture[330:360, 60:240] / 255.0) * 255
    picture[450:470, 100:140] = (20, 140, 90)
    noise = np.random.default_rng(0).integers(-9, 10, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def test_bands_find_what_the_whole_picture_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = speckled()

    def found() -> list[np.ndarray]:
        tissue = find_tissue(picture, mpp=8, scale_x=1, scale_y=1).mask
        pen = find_pen(picture, tissue, mpp=8)
        return [tissue, pen, find_folds(picture, tissue & ~pen, mpp=8)]

    whole = found()
    assert all(mask.any() and not mask.all() for mask in whole)
    monkeypatch.setattr("napari_liverdx.core.tissue.BAND_PIXELS", 30_000)
    assert all(np.array_equal(a, b) for a, b in zip(whole, found(), strict=True))


@pytest.mark.slow
def test_memory_is_bounded_by_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """All at once, folds took a hundred bytes for each pixel."""
    monkeypatch.setattr("napari_liverdx.core.tissue.BAND_PIXELS", 90_000)
    picture = np.tile(speckled(), (5, 1, 1))
    tracemalloc.start()
    try:
        tissue = find_tissue(picture, mpp=8, scale_x=1, scale_y=1).mask
        find_folds(picture, tissue & ~find_pen(picture, tissue, mpp=8), mpp=8)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 60 * tissue.size
