"""Tissue of slides, and what spoils it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_liverdx.core.resolution import Mpp
from napari_liverdx.core.tissue import ARTIFACTS, TissueLabel, find_tissue
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.slide import Slide
from napari_liverdx.slides.tissue import slide_overview, slide_tissue, slide_tissue_map
from tests.support.artifacts import INKS, blurred, folded, inked, labels_at, written
from tests.support.paths import CMU
from tests.support.slides import corrupt_tile


@pytest.mark.parametrize("ink", INKS)
def test_ink_over_tissue_is_found(liver: np.ndarray, ink: str, tmp_path: Path) -> None:
    stroke = np.s_[500:740, 100:1300]
    path = written(tmp_path / "inked.tif", inked(liver, INKS[ink], stroke))
    with open_slide(path) as slide:
        found = slide_tissue_map(slide)
    inside = labels_at(found, stroke)
    assert (inside == TissueLabel.PEN).mean() > 0.9
    assert not found.analyzed.mask[35:42, 10:70].any()
    apart = np.r_[found.labels[:24], found.labels[54:]]
    assert not np.isin(apart, list(ARTIFACTS)).any(), "nothing else is ink"


def test_a_fold_is_found_where_tissue_lies_on_itself(liver: np.ndarray, tmp_path: Path) -> None:
    # Where no vacuoles thin it out, as in most livers.
    solid = np.where((liver.min(axis=2) > 200)[..., None], (205, 150, 190), liver).astype(np.uint8)
    band = np.s_[560:740, 100:1300]
    with open_slide(written(tmp_path / "folded.tif", folded(solid, band, 300))) as slide:
        found = slide_tissue_map(slide)
    assert (labels_at(found, band) == TissueLabel.FOLD).mean() > 0.8
    assert not (np.r_[found.labels[:28], found.labels[54:]] == TissueLabel.FOLD).any()


@pytest.mark.parametrize("sigma", [4, 8])
def test_blur_is_found_and_vacuoles_are_not_blur(
    liver: np.ndarray, sigma: float, tmp_path: Path
) -> None:
    half = np.s_[:, :700]
    with open_slide(written(tmp_path / "blurred.tif", blurred(liver, sigma, half))) as slide:
        found = slide_tissue_map(slide)
    columns = np.arange(found.labels.shape[1]) * found.scale_x
    inside, outside = found.labels[:, columns < 600], found.labels[:, columns > 800]
    assert (inside == TissueLabel.BLUR).mean() > 0.9
    assert not (outside == TissueLabel.BLUR).any()


def test_a_slide_soft_everywhere_is_not_thrown_away(liver: np.ndarray, tmp_path: Path) -> None:
    soft = blurred(liver, 5, np.s_[:, :])
    with open_slide(written(tmp_path / "soft.tif", soft)) as slide:
        assert not (slide_tissue_map(slide).labels == TissueLabel.BLUR).any()


def test_clean_slides_stay_whole(sample: Slide) -> None:
    found = slide_tissue_map(sample)
    overview = slide_overview(sample)
    plain = find_tissue(overview.rgb, mpp=8, scale_x=overview.scale_x, scale_y=overview.scale_y)
    assert (found.analyzed.mask == plain.mask).all()
    assert (slide_tissue(sample).mask == plain.mask).all()


@pytest.mark.slow
def test_real_slides_lose_little(data_root: Path, tmp_path: Path) -> None:
    paths = [*sorted((data_root / "liver_he").glob("*.jpg")), data_root / "slides/tcga-cr-7395.svs"]
    tiles = sorted((data_root / "liver_steatosis" / "images").iterdir())[:80:5]
    pictures = [np.asarray(Image.open(p).convert("RGB"))[:416, :416] for p in tiles]
    rows = [np.concatenate(pictures[i : i + 4], axis=1) for i in range(0, 16, 4)]
    Image.fromarray(np.concatenate(rows)).save(tmp_path / "tiles.png")
    for path in (*paths, tmp_path / "tiles.png"):
        with open_slide(path, mpp=Mpp.square(0.5)) as slide:
            found = slide_tissue_map(slide)
        share = np.isin(found.labels, list(ARTIFACTS)).sum() / (found.labels > 0).sum()
        assert share < 0.02, path.name


def test_a_damaged_tile_does_not_end_the_look(tmp_path: Path) -> None:
    path = tmp_path / "corrupt.svs"
    path.write_bytes(CMU.read_bytes())
    corrupt_tile(path, 54)
    with open_slide(path) as slide:
        assert slide_tissue_map(slide).analyzed.mask.any()
