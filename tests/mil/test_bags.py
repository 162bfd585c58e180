"""Bags come back as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_liverdx.core.errors import DataError
from napari_liverdx.mil.bags import Bag, load_bag, load_bags, save_bag
from tests.support.mil import mosaics


def test_bags_come_back_as_they_were(tmp_path: Path) -> None:
    bag = mosaics(0, 4)[1]
    path = save_bag(tmp_path, bag)
    again = load_bag(path)
    assert np.allclose(again.embeddings, bag.embeddings, atol=2e-3)
    for field in ("logits", "mask", "tile_labels"):
        assert (getattr(again, field) == getattr(bag, field)).all()
    assert (again.name, again.group, again.slide_label) == (bag.name, bag.group, bag.slide_label)
    other = Bag("other", "g", bag.embeddings, bag.logits, bag.mask, bag.tile_labels, 0, "m", "abc")
    save_bag(tmp_path, other)
    with pytest.raises(DataError, match="different tile models"):
        load_bags(tmp_path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="damaged"):
        load_bag(path)
    with pytest.raises(DataError, match="no bags"):
        load_bags(tmp_path / "nowhere")
    with pytest.raises(DataError, match="one grid"):
        Bag("x", "g", bag.embeddings[:, 1:], bag.logits, bag.mask, bag.tile_labels)
    with pytest.raises(DataError, match="no tile"):
        Bag("x", "g", bag.embeddings, bag.logits, bag.mask & False, bag.tile_labels)
