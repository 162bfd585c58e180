"""Pictures to learn from: damage, size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from napari_liverdx.core.errors import DataError
from napari_liverdx.training.data.base import opened_picture, read_rgb
from tests.support.slides import waves


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (lambda data: data[: len(data) // 2], "the mask is damaged"),
        (lambda data: data[:16] + (9000).to_bytes(4, "big") * 2 + data[24:], "damaged|9000"),
        (lambda data: b"text", "damaged"),
    ],
)
def test_a_damaged_picture_is_told(
    tmp_path: Path, damage: Callable[[bytes], bytes], match: str
) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(waves(32, 32)).save(path)
    with opened_picture(path) as image:
        assert image.size == (32, 32)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=match), opened_picture(path, "mask") as image:
        image.convert("RGB")


def test_a_picture_as_large_as_a_slide_is_no_tile(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("1", (9000, 8000)).save(path)
    with pytest.raises(DataError, match="cut it into tiles"):
        read_rgb(path)
