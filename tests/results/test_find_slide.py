"""A far-away slide is not named."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_liverdx.results.find_slide import find_slide, relative_place
from napari_liverdx.results.view_state import ViewState
from napari_liverdx.slides.backend import SlideRequest
from napari_liverdx.slides.formats import FORMATS, SlideFormat
from napari_liverdx.slides.formats.image import ArrayBackend
from napari_liverdx.slides.open import open_slide
from tests.support.results import square_result
from tests.support.server import serving
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


def test_an_address_is_asked_only_if_a_person_gives_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_asked(request: SlideRequest) -> ArrayBackend | None:
        return ArrayBackend(waves(), "asked", None, "it states none") if request.url else None

    monkeypatch.chdir(tmp_path)
    FORMATS.register("asked", SlideFormat("asked", "Asked", (".x",), open_asked, remote=True))
    try:
        with serving(tmp_path) as server:
            address = Path(f"{server.url}/a.x")
            with open_slide(address) as slide:
                told = {"slide_name": "a.x", "slide_fingerprint": slide.fingerprint()}
            store = square_result(Path("a.liverdx.zarr"), **told)
            ViewState(slide=f"{server.url}/a.x").save(store.path)
            server.asked.clear()
            assert find_slide(store) is None
            assert server.asked == []
            found = find_slide(store, address)
            assert found is not None
            found.close()
    finally:
        FORMATS.unregister("asked")
