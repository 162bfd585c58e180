"""Regions, overviews, names, pickles."""

from __future__ import annotations

import gc
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_liverdx.core.errors import TileReadError
from napari_liverdx.core.resolution import Level, Mpp
from napari_liverdx.slides.backend import SlideInfo
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.slide import Slide
from tests.support.paths import CMU
from tests.support.slides import whole


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    x=st.integers(-300, 2400),
    y=st.integers(-300, 3200),
    w=st.integers(1, 700),
    h=st.integers(1, 700),
)
def test_any_region_is_a_cut_of_the_whole_on_white(
    cmu: Slide, x: int, y: int, w: int, h: int
) -> None:
    full = np.full((h, w, 3), 255, np.uint8)
    level = cmu.levels[0]
    x0, x1, y0, y1 = max(x, 0), min(x + w, level.width), max(y, 0), min(y + h, level.height)
    if x0 < x1 and y0 < y1:
        full[y0 - y : y1 - y, x0 - x : x1 - x] = whole(cmu)[y0:y1, x0:x1]
    assert (cmu.read_region(0, x, y, w, h) == full).all()


def test_overview_is_the_mean_of_the_slide(cmu: Slide) -> None:
    overview = cmu.overview(16)
    assert overview.rgb.shape[:2] == (185, 139)
    assert overview.unreadable == 0
    assert np.abs(overview.rgb.mean((0, 1)) - whole(cmu).mean((0, 1))).max() < 1


def test_a_slide_travels_by_its_path(cmu: Slide) -> None:
    with pickle.loads(pickle.dumps(cmu)) as other:  # noqa: S301
        assert other.fingerprint() == cmu.fingerprint()
        assert other.path == cmu.path


@pytest.mark.parametrize(
    ("file", "name"),
    [("case.1.svs", "case.1"), ("S12.3456 HE.svs", "S12.3456 HE"), ("a.ome.tif", "a")],
)
def test_names_keep_their_dots(tmp_path: Path, file: str, name: str) -> None:
    path = tmp_path / file
    shutil.copyfile(CMU, path)
    with open_slide(path) as slide:
        assert slide.name == name


def test_another_resolution_is_another_slide_over_one_open_file() -> None:
    first = open_slide(CMU)
    stated = first.mpp
    second = first.with_mpp(Mpp.square(0.25, "given"))
    assert first.mpp == stated != second.mpp
    assert second.mpp == Mpp.square(0.25, "given")
    assert second.fingerprint() == first.fingerprint()
    with pickle.loads(pickle.dumps(second)) as other:  # noqa: S301
        assert other.mpp == second.mpp
    whole_tile = first.read_tile(0, 0, 0)
    assert second.read_tile(0, 0, 0) is whole_tile, "one cache"
    del first
    gc.collect()
    assert second.read_tile(0, 1, 1).any(), "the file stays open for the other"
    second.close()


class Short:
    """A backend whose last tile is smaller than its level says."""

    info = SlideInfo("test", (Level(100, 100, 1.0, 1.0, 64, 64),), None)

    def read_tile(self, level: int, row: int, col: int) -> np.ndarray:
        return np.zeros((64 if row == 0 else 8, 64, 3), np.uint8)

    def close(self) -> None:
        """Nothing is open."""


def test_a_tile_smaller_than_it_should_be_is_unreadable() -> None:
    slide = Slide(Path("a.tif"), Short())
    assert slide.read_tile(0, 0, 1).shape == (64, 64, 3)
    with pytest.raises(TileReadError, match="64 × 8 px in place of 36 × 36"):
        slide.read_region(0, 70, 70, 10, 10)
    assert slide.overview(1.0).unreadable == 2
