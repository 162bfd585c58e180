"""Tables of pictures are checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from napari_liverdx.core.errors import DataError
from napari_liverdx.slides.csv_table import read_table
from napari_liverdx.training.data.table import TableDataset


def test_tables_are_checked(pictures: Path) -> None:
    table = pictures / "tiles.csv"

    def refused(text: str, **more: Any) -> str:
        table.write_text(text)
        with pytest.raises(DataError) as caught:
            TableDataset(pictures, **more)
        return str(caught.value)

    good = "tiles/HCC/p0_0.png,HCC\n"
    assert "there is no image" in refused("path,label\nnone.png,a\nb.png,b\n")
    assert "column label" in refused("path\nx\n")
    assert "at least two classes" in refused(f"path,label\n{good}")
    assert "no label" in refused(f"path,label\n{good}tiles/HCC/p1_2.png,\n")
    assert "'HCC' is none of" in refused(f"path,label\n{good}", classes=("a", "b"))
    assert "no image of class b" in refused(f"path,label\n{good}", classes=("HCC", "b"))
    assert "split 'x'" in refused(
        f"path,label,split\n{good[:-1]},train\ntiles/healthy/p0_1.png,b,x\n"
    )
    assert "'colour' is unknown" in refused(f"path,label\n{good}", columns={"colour": "x"})
    assert "no regular expression" in refused(
        f"path,label\n{good}tiles/healthy/p0_1.png,b\n", group_pattern="("
    )
    with pytest.raises(DataError, match="cannot be read"):
        read_table(pictures / "none.csv", ())
