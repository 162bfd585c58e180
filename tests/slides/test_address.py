"""Addresses as paths and back."""

from __future__ import annotations

import unicodedata
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_liverdx.slides.address import local_path, named_path, remote_address


@pytest.mark.parametrize(
    "url",
    ["https://host/a/b.zarr", "s3://bucket/key with space.zarr", "http://h:80/x.zarr?sig=a%2Fb"],
)
def test_an_address_comes_back_from_the_path_it_makes(url: str) -> None:
    assert remote_address(url) == url
    assert remote_address(Path(url)) == url


@pytest.mark.parametrize("path", ["/a/https/b", "C:/a.svs", "file:///a.svs", "http:", "a.svs"])
def test_files_are_no_addresses(path: str) -> None:
    assert remote_address(path) is None


def test_file_addresses_are_files() -> None:
    assert local_path("file:///a/b%20c%23.svs") == Path("/a/b c#.svs")
    assert local_path("file:///C:/a.svs") == Path("C:/a.svs")
    assert local_path("file://server/share/a.svs") == Path("//server/share/a.svs")
    assert local_path("a.svs") == Path("a.svs")
    assert local_path("file:/C:/a%20b.svs") == Path("C:/a b.svs")
    assert local_path("file:///a#b?c.svs") == Path("/a#b?c.svs")


@given(st.text(max_size=30), st.sampled_from(["", "file:", "file://", "FILE:///", "file://["]))
def test_any_text_is_a_place_or_none(text: str, start: str) -> None:
    # Of a home there is none only for a name after ~.
    with suppress(ValueError) if "~" in text else nullcontext():
        assert isinstance(named_path(start + text, Path("folder")), Path)


def test_places_in_tables_as_people_spell_them(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    slide = tmp_path / "a b" / "M\u00fcller #1.svs"
    slide.touch()
    for spelled in (
        "a b/M\u00fcller #1.svs",
        "a b\\M\u00fcller #1.svs",
        '"a b\\M\u00fcller #1.svs"',
        unicodedata.normalize("NFD", "a b/M\u00fcller #1.svs"),
        str(slide),
        slide.as_uri(),
        slide.as_uri().replace("file:///", "file:/"),
    ):
        assert named_path(spelled, tmp_path) == slide, spelled
    assert named_path("no\\such.svs", tmp_path) == tmp_path / "no" / "such.svs"
    assert named_path("C:\\no\\such.svs", tmp_path) == Path("C:/no/such.svs")
    assert named_path("https://host/a.zarr", tmp_path) == Path("https://host/a.zarr")
    with pytest.raises(ValueError, match="home"):
        named_path("~nobody-of-that-name/a.svs", tmp_path)
    (tmp_path / "c\\d.svs").touch()
    assert named_path("c\\d.svs", tmp_path) == tmp_path / "c\\d.svs"
