"""Thumbnails show the tiles and stop."""

from __future__ import annotations

import threading

import numpy as np

from napari_liverdx.core.grid import TileIndex
from napari_liverdx.results.store import ResultStore
from napari_liverdx.slides.slide import Slide
from napari_liverdx.slides.tiles import read_thumbnails


def test_thumbnails_show_the_tiles_and_stop(sample: Slide, twelve_tiles: ResultStore) -> None:
    grid = twelve_tiles.manifest.grid
    tiles = [TileIndex(0, 0), TileIndex(2, 1)]
    stop = threading.Event()
    found = list(read_thumbnails(sample, grid, tiles, 56, stop))
    expected = sample.read_region(0, 224, 448, 224, 224)
    reduced = expected.reshape(56, 4, 56, 4, 3).mean(axis=(1, 3))
    assert np.abs(found[1].rgb - reduced).max() <= 1
    stop.set()
    assert not list(read_thumbnails(sample, grid, tiles, 56, stop))
