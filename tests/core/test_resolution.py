"""µm per pixel and the levels of a pyramid."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_liverdx.core.errors import LiverDxError, MppError, SlideReadError
from napari_liverdx.core.resolution import Level, Mpp, level_for_downsample
from tests.support.slides import level_sizes


@pytest.mark.parametrize("value", [0, -1, 0.001, 352.8, float("nan"), float("inf")])
def test_implausible_mpp_is_refused(value: float) -> None:
    with pytest.raises(MppError, match="plausible"):
        Mpp.square(value)


def test_mpp_error_is_also_a_value_error() -> None:
    with pytest.raises(ValueError, match="square"):
        Mpp(0.25, 1.0, "test")
    assert issubclass(MppError, LiverDxError)


@given(st.lists(st.integers(1, 64), min_size=1, max_size=6, unique=True), st.floats(0.3, 100))
def test_chosen_level_is_never_coarser_than_wanted(factors: list[int], wanted: float) -> None:
    levels = level_sizes(64_000, 48_000, tuple(sorted({1, *factors})))
    chosen = levels[level_for_downsample(levels, wanted)]
    fine = [v.downsample for v in levels if v.downsample <= wanted * 1.02]
    assert chosen.downsample == max(fine, default=levels[0].downsample)


@pytest.mark.parametrize(
    "change",
    [
        {"width": 0},
        {"height": 2**40},
        {"tile_width": 0},
        {"tile_height": "128"},
        {"tile_width": (128, 128)},
        {"tile_width": 1, "tile_height": 1},
        {"downsample_x": float("nan")},
        {"downsample_y": 0.0},
    ],
)
def test_sizes_that_cannot_be_are_no_level(change: dict[str, object]) -> None:
    told = {"width": 90_000, "height": 80_000, "tile_width": 256, "tile_height": 256}
    told |= {"downsample_x": 1.0, "downsample_y": 1.0}
    assert Level(**told).tile_shape == (313, 352)
    with pytest.raises(SlideReadError, match="impossible"):
        Level(**{**told, **change})
