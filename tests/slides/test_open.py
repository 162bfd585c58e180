"""What is no slide ends in our errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_liverdx.core.errors import NotASlideError, SlideReadError
from napari_liverdx.slides.open import open_slide


def test_missing_empty_folder_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(SlideReadError, match="no such file"):
        open_slide(tmp_path / "missing.svs")
    with pytest.raises(NotASlideError, match="folder"):
        open_slide(tmp_path)
    empty = tmp_path / "empty.svs"
    empty.touch()
    with pytest.raises(SlideReadError, match="empty"):
        open_slide(empty)
    text = tmp_path / "text.svs"
    text.write_text("this is not an image" * 20)
    with pytest.raises(NotASlideError, match="not an image"):
        open_slide(text)


def test_wild_files_end_in_our_errors(tmp_path: Path) -> None:
    wild = {
        "short.tif": b"II*\0",
        "wild.tif": b"II+\0\x08\0\0\0" + b"\xff" * 40,
        "loop.tif": b"II*\0\x08\0\0\0\0\0\x08\0\0\0",
        "short.png": b"\x89PNG\r\n\x1a\n",
    }
    for name, data in wild.items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises((SlideReadError, NotASlideError), match=name):
            open_slide(path)


def test_masks_are_no_slides(tmp_path: Path) -> None:
    path = tmp_path / "labels.tif"
    tifffile.imwrite(path, np.zeros((128, 128), np.uint32), tile=(64, 64))
    with pytest.raises(NotASlideError):
        open_slide(path)
