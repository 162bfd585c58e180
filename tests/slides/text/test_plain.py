"""Files are read within bounds, and what is no text is told."""

from __future__ import annotations

import gzip
import os
import sys
from pathlib import Path

import pytest

from napari_liverdx.core.errors import DataError
from napari_liverdx.slides.text.plain import plain_name, read_plain


def read(path: Path, most: int = 100) -> bytes:
    return read_plain(path, "the table", most, "save it as CSV")


def test_compressed_or_not(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    two = gzip.compress(b"pa") + gzip.compress(b"th\n")
    for content in (b"path\n", gzip.compress(b"path\n"), two):
        path.write_bytes(content)
        assert read(path) == b"path\n"
    assert plain_name(path) == "a.csv"
    assert plain_name(Path("b.csv")) == "b.csv"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PK\3\4...", "a spreadsheet .*; save it as CSV"),
        (gzip.compress(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", mtime=0), "an old spreadsheet"),
        (b"PAR1", "a Parquet file"),
        (b"II*\0", "a TIFF image"),
        (b"x" * 101, "larger than"),
        (gzip.compress(b"x" * 101, mtime=0), "larger than"),
        (gzip.compress(b"xyz" * 20, mtime=0)[:-9], "compressed file is damaged"),
        (b"\x1f\x8bnothing", "compressed file is damaged"),
    ],
)
def test_what_is_no_text(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"a.csv: .*{words}"):
        read(path)


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes")
def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    for name in ("pipe.csv", "none.csv", ".", "a\0b"):
        with pytest.raises(DataError, match="no such file"):
            read(tmp_path / name)
