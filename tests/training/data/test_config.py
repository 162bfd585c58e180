"""How data are described, and what they look like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_liverdx.core.errors import DataError
from napari_liverdx.training.data.config import DataConfig, guess_kind
from napari_liverdx.training.data.splits import assigned_split
from tests.support.pictures import COLUMNS


def test_a_table_with_its_own_names(pictures: Path) -> None:
    config = DataConfig(kind="table", columns=COLUMNS, labels={"HCC": "tumor"})
    samples = config.samples(pictures / "table.csv", ("healthy", "tumor"))
    assert samples.classes == ("healthy", "tumor")
    assert samples.labels.tolist() == [1, 0] * 6
    assert sorted(set(samples.groups)) == [f"p{i}" for i in range(6)]
    assert samples.splits.tolist() == ["train"] * 4 + ["val"] * 4 + ["test"] * 4
    assert samples.sizes.tolist() == [[40, 32]] * 12
    stored = np.asarray(Image.open(pictures / samples.names[3]))
    assert np.array_equal(samples.picture(3), stored)
    (example,) = samples.eval_tiles(3, 24, 7)
    assert example.tile.shape == (24, 24, 3)
    assert example.target.tolist() == [1, 0]
    split = assigned_split(samples, 2, 0)
    assert [p.tolist() for p in split.parts.values()] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9, 10, 11],
    ]


def test_what_data_look_like(pictures: Path) -> None:
    assert guess_kind(pictures / "tiles") == "folders"
    assert guess_kind(pictures / "table.csv") == "table"
    (pictures / "tiles.csv").touch()
    assert guess_kind(pictures) == "table"
    (pictures / "masks").mkdir()
    assert guess_kind(pictures) == "masks"
    with pytest.raises(DataError, match="no such folder"):
        guess_kind(pictures / "none")
