"""The made-up slides of the benchmarks: they are what they say."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.mosaic import MosaicConfig, make_mosaics
from napari_liverdx.core.errors import DataError
from napari_liverdx.mil.bags import UNKNOWN, Bag
from tests.support.mil import mosaics, tile_pool


def clumping(bags: list[Bag]) -> float:
    """How often the right neighbor of a diseased tile is diseased too."""
    sick = [np.pad(b.tile_labels == 2, ((0, 0), (0, 1))) for b in bags]
    return sum((s[:, 1:] & s[:, :-1]).sum() for s in sick) / sum(s.sum() for s in sick)


def test_mosaics_are_what_they_say() -> None:
    bags = mosaics(0, 16)
    assert sum(b.slide_label for b in bags) == 8
    for bag in bags:
        sick = bag.tile_labels[bag.mask] == 2
        assert sick.any() == (bag.slide_label == 1)
        assert (bag.tile_labels[~bag.mask] == UNKNOWN).all()
        assert (bag.embeddings[:, ~bag.mask] == 0).all()
    assert clumping(bags) > clumping(mosaics(0, 16, layout="scattered")) + 0.2
    again = mosaics(0, 16)
    assert all((a.embeddings == b.embeddings).all() for a, b in zip(bags, again, strict=True))
    assert not (bags[0].mask == bags[1].mask).all()
    healthy = tile_pool(0).part(tile_pool(0).labels < 2)
    with pytest.raises(DataError, match="no tile of class 2"):
        make_mosaics(healthy, 1, MosaicConfig(), normal=1, pathological=2)


def test_blocks_share_no_group() -> None:
    parts = tile_pool(0).blocks(5, (1, 2), 0)
    groups = [set(p.groups) for p in parts]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 30
