"""Stores in folders and in zip files."""

from __future__ import annotations

import contextlib
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from napari_liverdx.core.errors import LiverDxError, NotASlideError, SlideReadError, TileReadError
from napari_liverdx.slides.formats.ngff import source
from napari_liverdx.slides.formats.ngff.source import FolderSource, ZipSource
from napari_liverdx.slides.open import open_slide
from tests.support.ome_zarr import write_ome_zarr, zipped
from tests.support.slides import waves, whole

WAVES = waves()


def test_names_that_lead_outside_find_nothing(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "a").mkdir()
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("../secret", "from the zip itself")
        file.writestr("zarr.json", "{}")
    inside = ZipSource((tmp_path / "a.zip").open("rb"), "a.zip")
    outside = ("/secret", "b/../../secret", "./secret", str(tmp_path / "secret"), "..\\secret")
    for store in (FolderSource(tmp_path / "a"), inside):
        assert [store.read(key) for key in outside] == [None] * 5
    assert FolderSource(tmp_path / "a").read("../secret") is None
    inside.close()


def test_a_pipe_among_the_files_is_passed_over(tmp_path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    os.mkfifo(tmp_path / "zarr.json")
    assert FolderSource(tmp_path).read("zarr.json") is None


def test_a_zip_that_would_fill_the_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb.zarr.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("zarr.json", b" " * (1 << 20))
    monkeypatch.setattr(source, "MOST_BYTES", 1 << 19)
    with pytest.raises(TileReadError, match="more than is read at once"):
        open_slide(path)
    data = bytearray(path.read_bytes())
    end = data.rfind(b"PK\5\6")
    struct.pack_into("<I", data, end + 12, 100 << 20)
    path.write_bytes(data)
    with pytest.raises(SlideReadError, match="lists more files"):
        open_slide(path)


def test_damaged_and_other_zips_end_in_our_errors(tmp_path: Path) -> None:
    path = zipped(write_ome_zarr(tmp_path / "a.zarr", WAVES), tmp_path / "a.zarr.zip", deflate=True)
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2])
    with pytest.raises(SlideReadError, match="damaged or cut off"):
        open_slide(path)
    rng = np.random.default_rng(0)
    for _ in range(40):
        data = bytearray(good)
        for place in rng.integers(0, len(data), 20):
            data[place] ^= 0xFF
        path.write_bytes(data)
        with contextlib.suppress(LiverDxError), open_slide(path) as slide:
            whole(slide)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("letter.txt", "no slide")
    with pytest.raises(NotASlideError, match="unpack it first"):
        open_slide(path)
