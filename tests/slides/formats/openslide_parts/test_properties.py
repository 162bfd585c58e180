"""What properties of OpenSlide mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_liverdx.core.resolution import Mpp, is_plausible_mpp
from napari_liverdx.slides.formats.openslide_parts.properties import (
    Area,
    associated_names,
    positive_number,
    stated_bounds,
    stated_regions,
    stated_resolution,
    tile_size,
)

numbers = st.one_of(st.integers(-100, 3000).map(str), st.sampled_from(["", "x", "1e400", "-1"]))


@given(
    st.dictionaries(st.sampled_from(["x", "y", "width", "height"]), numbers),
    st.integers(1, 2000),
    st.integers(1, 2000),
)
def test_bounds_never_leave_the_slide(told: dict[str, str], width: int, height: int) -> None:
    properties = {f"openslide.bounds-{key}": value for key, value in told.items()}
    area = stated_bounds(properties, (width, height))
    assert 0 <= area.x < area.x + area.width <= width
    assert 0 <= area.y < area.y + area.height <= height


def test_bounds_and_regions_are_taken_as_stated() -> None:
    told = {"x": "10", "y": "20", "width": "300", "height": "400"}
    bounds = {f"openslide.bounds-{key}": value for key, value in told.items()}
    assert stated_bounds(bounds, (1000, 1000)) == Area(10, 20, 300, 400)
    assert stated_bounds(bounds, (100, 100)) == Area(10, 20, 90, 80)
    assert stated_bounds(bounds, (10, 10)) == Area(0, 0, 10, 10)
    regions = {f"openslide.region[0].{key}": value for key, value in told.items()}
    regions |= {f"openslide.region[1].{key}": "5000" for key in told}
    assert stated_regions(regions, (1000, 1000)) == [Area(10, 20, 300, 400)]
    assert stated_regions({}, (10, 10)) == []


@given(numbers, numbers, st.one_of(st.none(), st.floats(0.1, 200)))
def test_a_resolution_is_plausible_or_explained(x: str, y: str, power: float | None) -> None:
    properties = {"openslide.mpp-x": x, "openslide.mpp-y": y}
    mpp, note, options = stated_resolution(properties, "Maker", power)
    assert (mpp is None) == bool(note)
    for found in (mpp, *options):
        assert found is None or is_plausible_mpp(found.mean)


def test_one_axis_stands_for_both() -> None:
    mpp, _, _ = stated_resolution({"openslide.mpp-y": "0.5"}, "Maker", None)
    assert mpp == Mpp(0.5, 0.5, "Maker")
    mpp, note, _ = stated_resolution(
        {"openslide.mpp-x": "0.5", "openslide.mpp-y": "2"}, "Maker", None
    )
    assert mpp is None
    assert "0.5 × 2" in note


@pytest.mark.parametrize(
    ("text", "number"), [("2.5", 2.5), ("0", None), ("nan", None), ("x", None)]
)
def test_numbers(text: str, number: float | None) -> None:
    assert positive_number({"a": text}, "a") == number
    assert positive_number({}, "a") is None


def test_pictures_beside_the_slide_have_our_names() -> None:
    names = associated_names(["label", "overview", "slidepreview", "macro", "other"])
    assert names == {
        "label": "label", "macro": "overview", "thumbnail": "slidepreview", "other": "other"
    }  # fmt: skip


def test_strips_and_huge_tiles_are_not_taken_over() -> None:
    assert tile_size(256, 240) == (256, 240)
    assert tile_size(2048, 8) == tile_size(4096, 4096) == tile_size(0, 0) == (512, 512)
