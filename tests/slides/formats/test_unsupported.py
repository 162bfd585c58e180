"""What is not read is told by its kind, with the way to convert it."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_liverdx.core.errors import NotASlideError
from napari_liverdx.slides.formats import slide_suffixes
from napari_liverdx.slides.formats.unsupported import UNSUPPORTED
from napari_liverdx.slides.open import open_slide

NOT_OURS = [(k, s) for k in UNSUPPORTED for s in k.suffixes if s not in slide_suffixes()]


@pytest.mark.parametrize(("kind", "suffix"), NOT_OURS, ids=[s for _, s in NOT_OURS])
def test_each_kind_is_refused_with_advice(kind, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"Slide 1{suffix.upper()}"
    path.write_bytes(b"\1\2\3 of some scanner")
    with pytest.raises(NotASlideError) as told:
        open_slide(path)
    assert f"this kind ({kind.title}) is not read here; {kind.advice}" in str(told.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 9\n", "git lfs pull"),
        ("<!DOCTYPE html><html><body>Log in</body></html>", "web page.*download"),
        ("<html><head>", "web page.*download"),
    ],
)
def test_what_a_download_leaves_in_place_of_a_slide(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "a.svs"
    path.write_text(text)
    with pytest.raises(NotASlideError, match=told):
        open_slide(path)


def test_the_first_bytes_count_more_than_the_name(tmp_path: Path) -> None:
    path = tmp_path / "renamed.lif"
    path.write_bytes(b"\xda\xce\xbe\x0a and more")
    with pytest.raises(NotASlideError, match=r"Nikon ND2 file.*OME-TIFF or OME-Zarr"):
        open_slide(path)
