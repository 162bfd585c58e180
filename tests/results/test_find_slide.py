"""A far-away slide is not named."""

from __future__ import annotations

from pathlib import Path

from napari_liverdx.results.find_slide import find_slide, relative_place
from napari_liverdx.slides.open import open_slide
from tests.support.results import square_result
from tests.support.slides import waves, write_pyramid


def test_a_far_away_slide_is_not_named(tmp_path: Path) -> None:
    result = tmp_path / "a" / "b" / "c" / "x.liverdx.zarr"
    result.mkdir(parents=True)
    near, far = tmp_path / "a" / "near.tif", tmp_path / "secret" / "far.tif"
    for path in (near, far):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert relative_place(near, result) == "../../near.tif"
    assert relative_place(far, result) == ""


def test_what_only_has_the_name_of_the_slide_is_passed_over(
    tmp_path: Path, small_slide: Path
) -> None:
    with open_slide(small_slide) as slide:
        told = {"slide_name": "small.tif", "slide_fingerprint": slide.fingerprint()}
    folder = tmp_path / "slides" / "results"
    store = square_result(folder / "a.liverdx.zarr", **told)
    (folder / "small.tif").write_text("no image")
    write_pyramid(folder.parent / "small.tif", waves())
    found = find_slide(store)
    assert found is not None
    with found:
        assert found.path == small_slide
    small_slide.unlink()
    assert find_slide(store) is None
