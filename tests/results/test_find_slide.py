"""A far-away slide is not named."""

from __future__ import annotations

from pathlib import Path

from napari_liverdx.results.find_slide import relative_place


def test_a_far_away_slide_is_not_named(tmp_path: Path) -> None:
    result = tmp_path / "a" / "b" / "c" / "x.liverdx.zarr"
    result.mkdir(parents=True)
    near, far = tmp_path / "a" / "near.tif", tmp_path / "secret" / "far.tif"
    for path in (near, far):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert relative_place(near, result) == "../../near.tif"
    assert relative_place(far, result) == ""
