"""A folder for each class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_liverdx.core.errors import DataError
from napari_liverdx.training.data.folders import FolderDataset


def test_folders_under_other_names(pictures: Path) -> None:
    samples = FolderDataset(
        pictures / "tiles", ("healthy", "tumor"), r"^(p\d)", labels={"HCC": "tumor"}
    )
    assert samples.labels.tolist() == [0] * 6 + [1] * 6
    (pictures / "tiles" / "other").mkdir()
    samples = FolderDataset(pictures / "tiles", ("healthy", "HCC"))
    assert samples.notes == ("folder other is no class and is left out",)
    assert (samples.splits == "").all()


def test_folders_of_classes(tmp_path: Path) -> None:
    for name in ("cancer", "normal"):
        (tmp_path / name).mkdir()
        for i in range(4):
            Image.new("RGB", (64, 64), (i, 0, 0)).save(tmp_path / name / f"p{i // 2}_{i}.png")
    samples = FolderDataset(tmp_path, group_pattern=r"^(p\d+)_")
    assert samples.classes == ("cancer", "normal")
    assert sorted(set(samples.groups)) == ["p0", "p1"]
    example = samples.sample_train(5, 32, 7, np.random.default_rng(0))
    assert example.tile.shape == (32, 32, 3)
    assert example.target.tolist() == [0, 1]
    assert example.subtiles is None
    with pytest.raises(DataError, match="does not match"):
        FolderDataset(tmp_path, group_pattern="xyz")
    with pytest.raises(DataError, match="at least two"):
        FolderDataset(tmp_path / "cancer")
