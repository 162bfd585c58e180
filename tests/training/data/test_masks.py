"""Tiles with masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_liverdx.core.errors import DataError
from napari_liverdx.training.data.masks import FatMaskDataset, LabelRule, blank_pixels


def test_label_rule_passes_from_class_to_class() -> None:
    rule = LabelRule()
    blank = np.array([0, 0, 0, 1, 0.5, 0], np.float32)
    fat = np.array([0, 0.5, 0.0125, 0, 0, 0.02], np.float32)
    target = rule.targets(blank, fat, subtile=False)
    assert target.sum(0) == pytest.approx(1)
    assert target[:, 0] == pytest.approx([0, 1, 0])
    assert target[:, 1] == pytest.approx([0, 0, 1])
    assert target[:, 2] == pytest.approx([0, 0.5, 0.5], abs=1e-5)
    assert target[:, 3] == pytest.approx([1, 0, 0])
    assert target[:, 4] == pytest.approx([0.5, 0.5, 0], abs=1e-5)
    assert target[:, 5] == pytest.approx([0, 0, 1])


def test_glass_is_blank_and_vacuoles_and_slits_are_not() -> None:
    image = np.full((200, 200, 3), (200, 130, 170), np.uint8)
    image[:, :80] = 243
    image[100:120, 150:170] = 243
    image[:, 120:124] = 243
    fat = np.zeros((200, 200), bool)
    blank = blank_pixels(image, fat)
    assert blank[:, 5:70].all()
    assert not blank[:, 90:].any()
    fat[:100, :80] = True
    assert not blank_pixels(image, fat)[:95, :70].any()


def test_masked_samples_follow_their_masks(masked_samples: FatMaskDataset) -> None:
    assert len(masked_samples) == 16
    assert set(masked_samples.sources) == {"A", "T"}
    for i in range(len(masked_samples)):
        for example in masked_samples.eval_tiles(i, 224, 7):
            assert example.tile.shape == (224, 224, 3)
            assert example.target.sum() == pytest.approx(1, abs=1e-5)
            assert example.subtiles is not None
            assert example.subtiles.sum(0) == pytest.approx(1, abs=1e-5)
    assert (masked_samples.labels[12:] == 0).all(), "glass is background"
    assert (masked_samples.labels[:12] == 2).sum() >= 10, "the sample is fatty"


def test_truth_does_not_depend_on_the_model(masked_samples: FatMaskDataset) -> None:
    """Models with other subtiles are tested on the same labels."""
    for i in range(len(masked_samples)):
        targets = [
            [e.target for e in masked_samples.eval_tiles(i, 128, subtiles)]
            for subtiles in (1, 4, 7, 14)
        ]
        for other in targets[1:]:
            assert np.array_equal(targets[0], other)


def test_bad_data_is_named(tmp_path: Path, masked_tiles: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        FatMaskDataset(tmp_path / "nowhere")
    (masked_tiles / "masks" / "t3.png").unlink()
    with pytest.raises(DataError, match="no image for tile 't3'"):
        FatMaskDataset(masked_tiles)
    Image.new("L", (10, 10)).save(masked_tiles / "masks" / "t3.png")
    with pytest.raises(DataError, match="same size"):
        FatMaskDataset(masked_tiles)
    (masked_tiles / "masks" / "t3.png").write_bytes(b"junk")
    with pytest.raises(DataError, match="damaged"):
        FatMaskDataset(masked_tiles)
    (masked_tiles / "tiles.csv").write_text("tile,source\na,b\n")
    with pytest.raises(DataError, match="column group"):
        FatMaskDataset(masked_tiles)
