"""Fingerprints find turned copies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_liverdx.training.audit.fingerprints import (
    Fingerprints,
    NearPair,
    fingerprint,
    near_pairs,
    perceptual_hashes,
    turned,
)
from tests.support.pictures import jpeg


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_hashes_of_turned_pictures_follow_from_one_transform(seed: int) -> None:
    small = np.random.default_rng(seed).integers(0, 255, (1, 32, 32), dtype=np.uint8)
    all_ways = perceptual_hashes(small)
    for way in range(8):
        direct = perceptual_hashes(turned(small, way))[0]
        # Rounding may tip a frequency that is all but absent.
        assert np.bitwise_count(direct ^ all_ways[way])[0] <= 1


def test_blocks_find_what_a_plain_comparison_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_liverdx.training.audit import fingerprints

    rng = np.random.default_rng(0)
    smooth = [np.asarray(Image.fromarray(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8)).resize(
        (64, 64), Image.Resampling.BICUBIC)) for _ in range(20)]  # fmt: skip
    pictures = [*smooth, *(jpeg(np.ascontiguousarray(p[::-1]), 70) for p in smooth)]
    digests, small, sizes, colors = zip(*map(fingerprint, pictures), strict=True)
    prints = Fingerprints(np.array(digests), np.stack(small), np.array(sizes), np.stack(colors))
    whole = [s for s in near_pairs(prints) if isinstance(s, NearPair)]
    assert {(p.first, p.second) for p in whole} == {(i, i + 20) for i in range(20)}
    monkeypatch.setattr(fingerprints, "BLOCK", 7)
    in_blocks = [s for s in near_pairs(prints) if isinstance(s, NearPair)]
    assert {(p.first, p.second) for p in in_blocks} == {(i, i + 20) for i in range(20)}
