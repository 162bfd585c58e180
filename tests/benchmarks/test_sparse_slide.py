"""The slide of the memory benchmark: it is what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.sparse_slide import write_sparse_slide
from napari_liverdx.slides.open import open_slide


def test_a_sparse_slide_is_a_slide_of_its_size(tmp_path: Path) -> None:
    path = tmp_path / "sparse.tif"
    write_sparse_slide(path, 100_000)
    assert path.stat().st_size < 3e6
    with open_slide(path) as slide:
        assert slide.size == (100_000, 100_000)
        assert [level.width for level in slide.levels] == [100_000, 25_000, 6_250, 1_562]
        assert slide.mpp is not None
        assert slide.mpp.mean == pytest.approx(0.25, rel=1e-3)
        glass, liver = (slide.read_region(0, x, 50_000, 64, 64) for x in (100, 50_000))
    assert (glass == 255).all()
    assert liver.std() > 5
