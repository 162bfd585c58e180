"""The cache of decoded tiles is bounded and faithful."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_liverdx.slides.cache import TileCache


@given(st.lists(st.integers(0, 9), max_size=60))
def test_cache_is_bounded_and_faithful(keys: list[int]) -> None:
    cache = TileCache(max_bytes=350)
    for key in keys:
        value = cache.get(key, lambda key=key: np.full(100, key, np.uint8))
        assert (value == key).all()
        assert cache.nbytes <= 350


def test_cache_keeps_what_was_used_last() -> None:
    cache = TileCache(max_bytes=200)
    loads: list[str] = []

    def get(key: str) -> None:
        cache.get(key, lambda: (loads.append(key), np.zeros(100, np.uint8))[1])

    for key in ("a", "b", "a", "c", "a", "b"):
        get(key)
    assert loads == ["a", "b", "c", "b"]
