"""Slides on servers, on good days and bad ones."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import obstore
import pytest
from obstore.store import S3Store

from napari_liverdx.core.errors import LiverDxError, NotASlideError, SlideReadError, TileReadError
from napari_liverdx.slides.formats.ngff import remote
from napari_liverdx.slides.formats.ngff.remote import RemoteSource
from napari_liverdx.slides.listing import find_slides
from napari_liverdx.slides.open import open_slide
from tests.support.ome_zarr import write_ome_zarr, zipped
from tests.support.server import Server, serving
from tests.support.slides import waves, whole

WAVES = waves()
LAYOUTS = {
    "new": {},
    "old": {"version": "0.4", "axes": "tczyx"},
    "shards": {"chunks": (3, 64, 64), "shards": (3, 256, 256)},
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path) as running:
        yield running


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little patience with servers."""
    monkeypatch.setattr(remote, "TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr(remote, "ATTEMPTS", 2)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_slide_on_a_web_server(layout: str, tmp_path: Path, server: Server) -> None:
    path = write_ome_zarr(tmp_path / "a b.zarr", WAVES, **LAYOUTS[layout])
    with open_slide(path) as local, open_slide(f"{server.url}/a b.zarr/") as slide:
        assert np.array_equal(whole(slide), WAVES)
        assert slide.fingerprint() == local.fingerprint()
        assert slide.name == local.name
        assert find_slides(slide.path)[0].path == slide.path
    with open_slide(slide.path) as again:
        assert np.array_equal(whole(again, 1), WAVES[::2, ::2])


def test_opening_and_telling_apart_read_little(tmp_path: Path, server: Server) -> None:
    write_ome_zarr(tmp_path / "a.zarr", WAVES, levels=3, chunks=(3, 32, 32))
    with open_slide(f"{server.url}/a.zarr") as slide:
        assert not [name for name in server.asked if "/c/" in name]
        slide.fingerprint()
    chunks = [name for name in server.asked if "/c/" in name]
    assert {name.split("/")[1] for name in chunks} == {"2"}


def test_a_zip_on_a_web_server(tmp_path: Path, server: Server) -> None:
    path = write_ome_zarr(tmp_path / "a.zarr", WAVES, **LAYOUTS["shards"])
    zipped(path, tmp_path / "a.ozx")
    with open_slide(f"{server.url}/a.ozx") as slide:
        assert np.array_equal(whole(slide), WAVES)
    with pytest.raises(SlideReadError, match="no such file"):
        open_slide(f"{server.url}/b.ozx")


def test_requests_that_fail_are_repeated(tmp_path: Path, server: Server) -> None:
    write_ome_zarr(tmp_path / "a.zarr", WAVES)
    for status in (503, 429):
        server.failing, server.status = 2, status
        with open_slide(f"{server.url}/a.zarr") as slide:
            server.failing = 2
            assert np.array_equal(whole(slide), WAVES)


def test_few_requests_are_made_at_once(tmp_path: Path, server: Server) -> None:
    (tmp_path / "a").write_text("content")
    source = RemoteSource(server.url)
    server.hanging, server.hanging_seconds = threading.Event(), 0.05
    with ThreadPoolExecutor(24) as pool:
        assert list(pool.map(source.read, ["a"] * 24)) == [b"content"] * 24
    assert server.most_at_once <= 8


def test_a_server_that_is_down_silent_or_closed_is_told_in_one_sentence(
    tmp_path: Path, server: Server, hasty: None
) -> None:
    write_ome_zarr(tmp_path / "a.zarr", WAVES)
    server.failing = 99
    with pytest.raises(SlideReadError, match=r"503 Service Unavailable.*try it later"):
        open_slide(f"{server.url}/a.zarr")
    server.failing, server.refused = 0, "."
    with pytest.raises(SlideReadError, match="access is refused; give credentials"):
        open_slide(f"{server.url}/a.zarr")
    server.refused = ""
    with pytest.raises(NotASlideError, match="not a slide that can be read from an address"):
        open_slide(f"{server.url}/other.zarr")
    with open_slide(f"{server.url}/a.zarr") as slide:
        server.hanging = threading.Event()
        # Not one tile's fault: the picture of the whole slide ends as well.
        with pytest.raises(SlideReadError, match="does not answer in time") as told:
            slide.overview(1)
        assert not isinstance(told.value, TileReadError)
        assert "\n" not in str(told.value)
        asked = len(server.asked)
        with pytest.raises(SlideReadError, match="does not answer in time"):
            slide.read_tile(1, 0, 0)
        assert len(server.asked) == asked
    with pytest.raises(SlideReadError, match=r"cannot be reached \(no connection\)"):
        open_slide("http://127.0.0.1:9/a.zarr")


def test_what_may_not_be_listed_may_be_missing(tmp_path: Path, server: Server) -> None:
    path = write_ome_zarr(tmp_path / "a.zarr", WAVES, levels=1)
    (path / "0" / "c" / "0" / "0" / "0").unlink()
    server.refused = "/0/c/0/0/0$|zattrs|METADATA"
    with open_slide(f"{server.url}/a.zarr") as slide:
        assert (whole(slide)[:128, :128, 0] != WAVES[:128, :128, 0]).any()


def test_a_server_without_parts_of_files_is_told(tmp_path: Path, server: Server) -> None:
    write_ome_zarr(tmp_path / "a.zarr", WAVES, chunks=(3, 64, 64), shards=(3, 512, 512))
    server.parts = False
    with (
        open_slide(f"{server.url}/a.zarr") as slide,
        pytest.raises(SlideReadError, match=r"does not send parts of files.*download"),
    ):
        slide.read_tile(0, 0, 0)


def test_addresses_with_secrets_or_nonsense_are_refused() -> None:
    for url in ("https://host/a.zarr?sig=SECRET", "https://me:SECRET@host/a.zarr"):
        with pytest.raises(SlideReadError, match=r"host/a.zarr.*credentials") as told:
            open_slide(url)
        assert "SECRET" not in str(told.value)
    with pytest.raises(LiverDxError, match="cannot be used"):
        open_slide("az://container/a.zarr")


def test_a_slide_in_s3_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from moto.server import ThreadedMotoServer

    path = write_ome_zarr(tmp_path / "a.zarr", WAVES)
    storage = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    storage.start()
    try:
        host, port = storage.get_host_and_port()
        for name in [n for n in os.environ if n.startswith("AWS_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        make_bucket(f"http://{host}:{port}/slides")
        bucket = S3Store("slides", client_options={"allow_http": True})
        for file in (p for p in path.rglob("*") if p.is_file()):
            obstore.put(bucket, f"x/{file.relative_to(tmp_path).as_posix()}", file)
        with open_slide("s3://slides/x/a.zarr") as slide:
            assert np.array_equal(whole(slide), WAVES)
        with pytest.raises(NotASlideError, match=r"s3://slides/x/b.zarr"):
            open_slide("s3://slides/x/b.zarr")
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        with pytest.raises(SlideReadError, match="access is refused; give credentials"):
            open_slide("s3://slides/x/a.zarr")
    finally:
        storage.stop()


def make_bucket(url: str) -> None:
    urlopen(Request(url, method="PUT")).close()  # noqa: S310


def test_names_that_lead_outside_are_not_asked_for(tmp_path: Path, server: Server) -> None:
    (tmp_path / "secret").write_text("secret")
    source = RemoteSource(f"{server.url}/a")
    assert source.read("../secret") is None
    assert source.read("/secret") is None
    assert server.asked == []


def test_a_forked_process_is_told_and_does_not_hang(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_ome_zarr(tmp_path / "a.zarr", WAVES)
    with open_slide(f"{server.url}/a.zarr") as slide:
        with monkeypatch.context() as patched:
            patched.setattr(os, "getpid", lambda: -1)
            with pytest.raises(SlideReadError, match="process that was forked"):
                slide.read_tile(0, 0, 0)
        assert slide.read_tile(0, 0, 0).shape == (256, 256, 3)
