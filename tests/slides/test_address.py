"""Addresses as paths and back."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_liverdx.slides.address import local_path, remote_address


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
