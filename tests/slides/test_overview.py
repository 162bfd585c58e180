"""Overviews: the mean of what they show, in parts where a row is too wide."""

from __future__ import annotations

import numpy as np
import pytest

from napari_liverdx.core.errors import TileReadError
from napari_liverdx.core.resolution import Level
from napari_liverdx.slides import overview
from napari_liverdx.slides.overview import read_overview
from tests.support.slides import waves


class Stored:
    """Pixels in stored tiles of 64 px, some of them unreadable."""

    def __init__(self, pixels: np.ndarray, unreadable: tuple[tuple[int, int], ...] = ()) -> None:
        self.pixels, self.unreadable = pixels, unreadable
        height, width = pixels.shape[:2]
        self.levels = (Level(width, height, 1.0, 1.0, 64, 64),)

    def __call__(self, level: int, row: int, col: int) -> np.ndarray:
        if (row, col) in self.unreadable:
            raise TileReadError("damaged")
        return self.pixels[row * 64 : row * 64 + 64, col * 64 : col * 64 + 64]


@pytest.mark.parametrize("downsample", [1.0, 2.5, 7.3, 40.0])
@pytest.mark.parametrize("strip", [64 * 64 * 3, 64 * 200 * 3, 64 * 333 * 3])
def test_a_row_in_parts_is_the_whole_row(
    monkeypatch: pytest.MonkeyPatch, downsample: float, strip: int
) -> None:
    stored = Stored(waves(300, 437))
    whole = read_overview(stored.levels, stored, downsample)
    monkeypatch.setattr(overview, "_STRIP_BYTES", strip)
    parts = read_overview(stored.levels, stored, downsample)
    # A source pixel on the edge between two of the picture may fall to either.
    assert np.abs(parts.rgb.astype(int) - whole.rgb).max() <= 5
    assert (parts.scale_x, parts.scale_y) == (whole.scale_x, whole.scale_y)


def test_an_overview_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "_MOST_PIXELS", 1000)
    stored = Stored(waves(300, 400), ((0, 0), (2, 3)))
    found = read_overview(stored.levels, stored, 1.0)
    assert found.rgb.shape[0] * found.rgb.shape[1] <= 1000
    assert found.scale_x == pytest.approx(400 / found.rgb.shape[1])
    assert found.unreadable == 2
