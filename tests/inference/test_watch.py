"""A slide's file that is changed, replaced, touched or removed while it is open."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from napari_liverdx.core.errors import SlideChangedError, SlideReadError
from napari_liverdx.inference.watch import SlideWatch
from napari_liverdx.slides.open import open_slide


def touch(path: Path) -> None:
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns - 10**9))


def test_a_file_that_stays_is_fine(small_slide: Path) -> None:
    with open_slide(small_slide) as slide:
        watch = SlideWatch(slide)
        watch.check()
        assert not watch.was_touched


def test_a_touched_file_is_noted_once(small_slide: Path) -> None:
    """Set back: an earlier time is as good as a later one."""
    with open_slide(small_slide) as slide:
        watch = SlideWatch(slide)
        touch(small_slide)
        watch.check()
        assert watch.was_touched


def test_a_changed_or_replaced_file_is_told(small_slide: Path) -> None:
    for change in ("append", "replace"):
        with open_slide(small_slide) as slide:
            watch = SlideWatch(slide)
            if change == "append":
                with small_slide.open("ab") as file:
                    file.write(b"more")
            else:
                other = small_slide.with_name("other.tif")
                other.write_bytes(small_slide.read_bytes()[:-9] + b"123456789")
                other.replace(small_slide)
            with pytest.raises(SlideChangedError, match="changed while it was analyzed"):
                watch.check()


def test_a_removed_file_is_told(small_slide: Path) -> None:
    with open_slide(small_slide) as slide:
        watch = SlideWatch(slide)
        small_slide.rename(small_slide.with_name("away.tif"))
        with pytest.raises(SlideReadError, match="the slide is gone") as told:
            watch.check()
        assert not isinstance(told.value, SlideChangedError)
        small_slide.with_name("away.tif").rename(small_slide)
        watch.check()


def test_a_folder_of_files_is_watched(tmp_path: Path) -> None:
    """As DICOM and MRXS slides are; only what lies in it is looked at."""

    class Folder:
        path = tmp_path

        def fingerprint(self) -> str:
            return str((tmp_path / "a.dcm").stat().st_size)

    (tmp_path / "a.dcm").write_bytes(b"1234")
    watch = SlideWatch(Folder())
    watch.check()
    touch(tmp_path / "a.dcm")
    watch.check()
    (tmp_path / "result.liverdx.zarr").mkdir()
    (tmp_path / "report.html").write_bytes(b"new")
    watch.check()
    (tmp_path / "a.dcm").write_bytes(b"12345")
    with pytest.raises(SlideChangedError):
        watch.check()
