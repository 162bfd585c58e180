"""No chunk takes more memory than it must, and nothing else is run than what decompresses."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path

import numcodecs
import numpy as np
import pytest

from napari_liverdx.core.errors import SlideReadError, TileReadError
from napari_liverdx.slides.formats.ngff.array import ZarrArray
from napari_liverdx.slides.formats.ngff.codecs import MOST_CHUNK_BYTES, decompress
from napari_liverdx.slides.formats.ngff.source import FolderSource
from napari_liverdx.slides.open import open_slide
from tests.support.ome_zarr import edit_json, write_ome_zarr

PACKED: dict[str, Callable[[bytes], bytes]] = {
    "blosc": lambda data: bytes(numcodecs.Blosc().encode(data)),
    "zstd": lambda data: bytes(numcodecs.Zstd().encode(data)),
    "lz4": lambda data: bytes(numcodecs.LZ4().encode(data)),
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "bz2": bz2.compress,
    "lzma": lzma.compress,
}
CONTENT = bytes(range(256)) * 40


@pytest.mark.parametrize("codec", PACKED)
def test_decompressing_stops_at_the_limit(codec: str) -> None:
    packed = PACKED[codec](CONTENT)
    assert decompress(codec, packed, len(CONTENT)) == CONTENT
    assert decompress(codec, packed, len(CONTENT) + 64) == CONTENT
    for bad, limit in ((packed, len(CONTENT) - 1), (packed[:-9], len(CONTENT)), (b"", 0)):
        if bad or codec in ("blosc", "lz4"):
            with pytest.raises((ValueError, RuntimeError, EOFError)):
                decompress(codec, bad, limit)


@pytest.mark.parametrize("codec", ["gzip", "zlib", "bz2", "lzma"])
def test_streams_in_several_parts_count_together(codec: str) -> None:
    packed = PACKED[codec](CONTENT) * 2
    assert decompress(codec, packed, 2 * len(CONTENT)) == CONTENT * 2
    with pytest.raises(ValueError, match="longer"):
        decompress(codec, packed, 2 * len(CONTENT) - 1)


@pytest.mark.parametrize("name", ["gzip", "blosc", "zstd"])
def test_a_chunk_that_grows_without_end_is_damaged(name: str, tmp_path: Path) -> None:
    pixels = np.full((64, 64, 3), 9, np.uint8)
    compressors = {"name": name, "configuration": {}}
    path = write_ome_zarr(tmp_path / "a.zarr", pixels, levels=1, compressors=compressors)
    chunk = path / "0" / "c" / "0" / "0" / "0"
    chunk.write_bytes(PACKED[name](bytes(1 << 24)))
    with open_slide(path) as slide, pytest.raises(TileReadError, match="a chunk is damaged"):
        slide.read_tile(0, 0, 0)


def test_a_description_of_a_codec_that_is_not_known_is_told(tmp_path: Path) -> None:
    path = write_ome_zarr(tmp_path / "a.zarr", np.ones((8, 8, 3), np.uint8), levels=1)
    description = path / "0" / "zarr.json"
    for name in ("imagecodecs.jpegxl", "numcodecs.pickle", "https://codec.example/x"):
        codecs = [{"name": "bytes", "configuration": {}}, {"name": name, "configuration": {}}]
        edit_json(description, codecs=codecs)
        with pytest.raises(SlideReadError, match=f"compressed with '{name}'.*bioformats2raw"):
            open_slide(path)


def test_a_chunk_larger_than_what_is_read_at_once_is_refused(tmp_path: Path) -> None:
    path = write_ome_zarr(tmp_path / "a.zarr", np.ones((8, 8, 3), np.uint8), levels=1)
    description = path / "0" / "zarr.json"
    side = int((MOST_CHUNK_BYTES / 3) ** 0.5) + 1
    grid = {"name": "regular", "configuration": {"chunk_shape": [3, side, side]}}
    edit_json(description, chunk_grid=grid, shape=[3, 2 * side, 2 * side])
    with pytest.raises(SlideReadError, match=f"chunks of 3 × {side} × {side} take 128 MiB"):
        open_slide(path)


def test_what_zarr_sees_is_written_anew(tmp_path: Path) -> None:
    """Attributes, storage transformers and what may come later are left out."""
    path = write_ome_zarr(tmp_path / "a.zarr", np.ones((8, 8, 3), np.uint8), levels=1)
    description = path / "0" / "zarr.json"
    edit_json(description, storage_transformers=[{"name": "evil"}], dimension_names=["a", 3])
    array = ZarrArray.open(FolderSource(path), "0")
    assert array is not None
    assert array.read((slice(None),) * 3, 255).sum() == 3 * 64
    assert json.loads(description.read_text())["dimension_names"] == ["a", 3]
