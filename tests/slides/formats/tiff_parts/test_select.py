"""Which picture is the slide, which are levels, and what stands beside, however it is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_liverdx.core.errors import NotASlideError, SlideReadError
from napari_liverdx.slides.open import open_slide
from tests.support.slides import whole
from tests.support.tiffs import Page, page, shrunk, tissue, write_tiff

SLIDE = tissue(384, 512, seed=3)
OTHER = tissue(96, 128, seed=8)
HALF, QUARTER = shrunk(SLIDE, 2), shrunk(SLIDE, 4)
WIDE = np.full((60, 200, 3), 200, np.uint8)
WIDE[20:40, 90:110] = 40
SQUARE = np.full((80, 90, 3), 230, np.uint8)
SQUARE[10:70:6, 10:80] = 20


def main(tile: int | None = 128, **more: Any) -> Page:
    return page(SLIDE, tile, **more)


def opened(path: Path, *pages: Page, **how: Any) -> tuple[list[tuple[int, int]], list[str]]:
    """Sizes of the levels and names of what stands beside; the finest is the slide."""
    with open_slide(write_tiff(path, pages, **how)) as slide:
        assert (whole(slide) == SLIDE).all()
        for name in slide.info.associated:
            assert slide.read_associated(name).ndim == 3
        return [(v.width, v.height) for v in slide.levels], list(slide.info.associated)


ONE, TWO, THREE = ([(512, 384), (256, 192), (128, 96)][:n] for n in (1, 2, 3))


@pytest.mark.parametrize("tile", [128, None])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_pyramids_in_chains_and_in_sub_ifds(
    tmp_path: Path, tile: int | None, order: str, big: bool
) -> None:
    how = {"order": order, "big": big}
    levels = [page(HALF, tile, t254=(4, 1)), page(QUARTER, tile, t254=(4, 1))]
    assert opened(tmp_path / "a.tif", main(tile), *levels, **how) == (THREE, [])
    assert opened(tmp_path / "b.tif", *levels[::-1], main(tile), **how) == (THREE, [])
    slide = main(tile)
    slide.children = levels
    assert opened(tmp_path / "c.tif", slide, **how) == (THREE, [])


def test_a_pyramid_without_flags(tmp_path: Path) -> None:
    pages = main(), page(HALF, 128), page(QUARTER, 128)
    assert opened(tmp_path / "a.tif", *pages) == (THREE, [])
    older = main(), page(HALF, None, t255=2), page(QUARTER, 128, t255=2)
    assert opened(tmp_path / "b.tif", *older) == ([(512, 384), (128, 96)], ["thumbnail"])


@pytest.mark.parametrize("tile", [64, None])
@pytest.mark.parametrize("where", ["first", "between", "last", "in SubIFDs"])
@pytest.mark.parametrize(
    "said",
    [{}, {"t270": "macro"}, {"t285": "Macro image"}, {"t254": (4, 9)}, {"t254": (4, 1)}],
    ids=str,
)
def test_a_macro_of_the_slides_shape_is_no_level(
    tmp_path: Path, said: dict[str, Any], where: str, tile: int | None
) -> None:
    """Of the shape and size of a level, wherever it stands and whatever is said of it."""
    macro, level = page(OTHER, tile, **said), page(HALF, 64, t254=(4, 1))
    slide = main()
    pages = {
        "first": [macro, slide, level],
        "between": [slide, macro, level],
        "last": [slide, level, macro],
        "in SubIFDs": [slide],
    }[where]
    if where == "in SubIFDs":
        slide.children = [macro, level]
    sizes, names = opened(tmp_path / "a.tif", *pages)
    assert sizes == TWO
    assert len(names) == 1
    assert names == ["macro"] or said in ({}, {"t254": (4, 1)})


@pytest.mark.parametrize("where", ["first", "last"])
@pytest.mark.parametrize("tile", [16, None])
def test_a_thumbnail_is_no_level(tmp_path: Path, where: str, tile: int | None) -> None:
    thumbnail = page(shrunk(SLIDE, 8), tile, t282=(5, [(2500, 1)]), t283=(5, [(2500, 1)]))
    slide = main(t282=(5, [(20_000, 1)]), t283=(5, [(20_000, 1)]), t296=3)
    pages = [thumbnail, slide] if where == "first" else [slide, thumbnail]
    path = write_tiff(tmp_path / "a.tif", pages)
    if where == "first" or tile is None:
        assert opened(path, *pages) == (ONE, ["thumbnail"])
    with open_slide(path) as found:
        assert found.mpp is not None
        assert found.mpp.x == pytest.approx(0.5)


def test_label_and_macro_by_their_shape_alone(tmp_path: Path) -> None:
    pages = page(SQUARE), page(WIDE), main(), page(HALF, 128)
    sizes, names = opened(tmp_path / "a.tif", *pages)
    assert sizes == TWO
    assert sorted(names) == ["label", "macro"]


def test_a_slide_in_strips_beside_a_macro_in_tiles(tmp_path: Path) -> None:
    assert opened(tmp_path / "a.tif", page(WIDE, 32), main(None)) == (ONE, ["macro"])


def test_masks_are_neither(tmp_path: Path) -> None:
    mask = page(SLIDE[..., 0] * 0 + 255, 128, t254=(4, 4), t262=4, t258=1)
    mask.segments = [b"\xff" * (128 * 16)] * 12
    assert opened(tmp_path / "a.tif", mask, main(), mask) == (ONE, [])


def test_a_macro_larger_than_the_slide_that_says_so(tmp_path: Path) -> None:
    large = np.full((600, 900, 3), 220, np.uint8)
    assert opened(tmp_path / "a.tif", page(large, t270="macro"), main()) == (ONE, ["macro"])
    described = "Aperio Image Library v12.0.15\nmacro 900x600"
    named = main(t270="Aperio Image Library v12.0.15\n512x384 (128x128) JPEG|MPP = 0.5")
    assert opened(tmp_path / "b.svs", named, page(large, t270=described)) == (ONE, ["macro"])


def test_a_lone_picture_is_the_slide_whatever_it_is_called(tmp_path: Path) -> None:
    assert opened(tmp_path / "a.tif", main(t270="overview")) == (ONE, [])


def test_two_large_pictures_are_two_scenes(tmp_path: Path) -> None:
    second = tissue(320, 400, seed=5)
    pages = [page(second, 128), page(shrunk(second, 2), 128, t254=(4, 1)), main(), page(HALF, 128)]
    path = write_tiff(tmp_path / "a.tif", pages)
    with open_slide(path) as slide:
        assert slide.info.scene == 1
        assert [(s.width, s.height) for s in slide.info.scenes] == [(400, 320), (512, 384)]
        assert (whole(slide) == SLIDE).all()
        assert len(slide.levels) == 2
        fingerprint = slide.fingerprint()
    with open_slide(path, scene=0) as slide:
        assert (whole(slide) == second).all()
        assert len(slide.levels) == 2
        assert slide.fingerprint() != fingerprint
    with pytest.raises(SlideReadError, match="no scene 2"):
        open_slide(path, scene=2)


def refused(path: Path, *pages: Page) -> str:
    with pytest.raises(NotASlideError) as told:
        open_slide(write_tiff(path, pages))
    return str(told.value)


def test_the_largest_is_the_slide_though_it_claims_to_be_reduced(tmp_path: Path) -> None:
    pages = page(QUARTER, 64), main(t254=(4, 1)), page(HALF, 64, t254=(4, 1))
    sizes, _ = opened(tmp_path / "a.tif", *pages)
    assert sizes[:2] == TWO


def test_hundreds_of_pictures_open_at_once(tmp_path: Path) -> None:
    """Cores of an array; comparing each with each would take minutes."""
    rng = np.random.default_rng(0)
    cores = [page(rng.integers(0, 255, (40, 40 + k % 7, 3), np.uint8)) for k in range(700)]
    with open_slide(write_tiff(tmp_path / "a.tif", cores)) as slide:
        assert len(slide.info.scenes) > 500
        assert slide.size == (46, 40)


def test_stacks_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    planes = [page(np.roll(SLIDE, k, 0), 128) for k in range(4)]
    assert "stack of 4 images" in refused(path, *planes)
    gray = [page(SLIDE[..., k % 3], 128) for k in range(4)]
    assert "stack of 4 gray images" in refused(path, *gray)
    dark = [page(SLIDE[..., k] // 8, 128) for k in range(3)]
    assert "fluorescence" in refused(path, *dark)
    assert "fluorescence" in refused(path, page(SLIDE // 8, 128, t262=1, t338=[0, 0]))
    assert "stack of images" in refused(path, main(t270='{"shape": [5, 384, 512, 3]}'))
    for key, words in (("slices", "focal planes"), ("frames", "times")):
        text = f"ImageJ=1.54f\nimages=7\n{key}=7\n"
        assert f"7 {words}" in refused(path, main(t270=text))
    assert "stack of 7 images" in refused(path, main(t270="ImageJ=1.54f\nimages=7\n"))


def test_a_slide_that_cannot_be_shown_is_not_replaced_by_its_thumbnail(tmp_path: Path) -> None:
    floating = main(t339=3, t258=32)
    assert "floating-point" in refused(tmp_path / "a.tif", floating, page(QUARTER))
    damaged = main()
    damaged.segments = damaged.segments[:3]
    with pytest.raises(SlideReadError, match="damaged"):
        open_slide(write_tiff(tmp_path / "b.tif", [damaged, page(QUARTER)]))


def test_a_damaged_picture_beside_costs_only_itself(tmp_path: Path) -> None:
    broken = page(WIDE, 32)
    broken.segments = broken.segments[:2]
    assert opened(tmp_path / "a.tif", main(), broken) == (ONE, [])


@pytest.mark.parametrize("tile", [(64, 64), None])
def test_colors_in_pages(tmp_path: Path, tile: tuple[int, int] | None) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        for pixels in (SLIDE, HALF):
            for k in range(3):
                writer.write(pixels[..., k], tile=tile, photometric="minisblack", metadata=None)
    with open_slide(path) as slide:
        assert (whole(slide) == SLIDE).all()
        assert len(slide.levels) == 2
        assert (whole(slide, 1) == HALF).all()
