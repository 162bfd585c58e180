"""Lazy levels equal regions."""

from __future__ import annotations

import itertools

import numpy as np

from napari_liverdx.slides.lazy import dask_levels
from napari_liverdx.slides.slide import Slide
from tests.support.slides import whole


def test_lazy_levels_equal_regions_and_shrink(sample: Slide) -> None:
    levels = dask_levels(sample)
    assert len(levels) == 4
    for index, array in enumerate(levels):
        assert array.dtype == np.uint8
        assert max(array.chunksize[:2]) <= 1024
        assert (array.compute() == whole(sample, index)).all()
    for finer, coarser in itertools.pairwise(levels):
        assert coarser.shape[0] < finer.shape[0]
        assert coarser.shape[1] < finer.shape[1]
