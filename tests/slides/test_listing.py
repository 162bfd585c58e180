"""Slides of a folder and of a table."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_liverdx.core.errors import DataError
from napari_liverdx.slides.listing import SlideEntry, find_slides, read_slide_table
from tests.support.paths import CMU


def test_slides_of_a_folder(mixed_slides: Path, tmp_path: Path) -> None:
    (mixed_slides / ".hidden.tif").write_bytes(b"x")
    (mixed_slides / "notes.txt").write_text("x")
    (mixed_slides / "x.liverdx.zarr").mkdir()
    (mixed_slides / "x.liverdx.zarr" / "thumb.png").write_bytes(b"x")
    names = [s.path.name for s in find_slides(mixed_slides)]
    assert names == ["cut.svs", "no-mpp.tif"]
    assert len(find_slides(mixed_slides, recursive=True)) == 4
    assert [s.path.name for s in find_slides(mixed_slides, pattern="*.SVS")] == ["cut.svs"]
    assert find_slides(CMU) == (SlideEntry(CMU),)
    with pytest.raises(DataError, match="--recursive"):
        find_slides(mixed_slides, pattern="liver*")
    with pytest.raises(DataError, match="no such file or folder"):
        find_slides(tmp_path / "nowhere")


def test_slides_of_a_table(tmp_path: Path) -> None:
    listed = tmp_path / "slides.csv"
    listed.write_text("path;mpp\na/one.svs;0,25\ngone.tif;\n")
    first, second = find_slides(listed)
    assert first == SlideEntry(tmp_path / "a" / "one.svs", 0.25)
    assert second == SlideEntry(tmp_path / "gone.tif")
    listed.write_text("path,mpp\na.svs,fine\n")
    with pytest.raises(DataError, match=r"line 2.*'fine'"):
        find_slides(listed)
    listed.write_text("path\na.svs\na.svs\n")
    with pytest.raises(DataError, match="second time"):
        find_slides(listed)
    listed.write_text("file\na.svs\n")
    with pytest.raises(DataError, match="path"):
        find_slides(listed)
    listed.write_text("slide\tmpp\na.svs\t0.5\n")
    assert find_slides(listed) == (SlideEntry(tmp_path / "a.svs", 0.5),)


def test_all_that_a_table_can_say_of_a_slide(tmp_path: Path) -> None:
    listed = tmp_path / "slides.csv"
    listed.write_text(
        "path,mpp,group,label,split,source,annotation\na.svs,,p1,fat,train,lab,a.json\n"
    )
    (entry,) = find_slides(listed, required=("path", "label"))
    assert entry == SlideEntry(
        tmp_path / "a.svs", None, "p1", "fat", "train", "lab", (tmp_path / "a.json",)
    )
    listed.write_text("path,klass\na.svs,fat\n")
    with pytest.raises(DataError, match="label"):
        find_slides(listed, required=("path", "label"))
    assert read_slide_table(listed, names={"label": "klass"})[0].label == "fat"


def test_lists_as_people_have_them(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    slide = tmp_path / "a b" / "Müller.svs"
    slide.touch()
    listed = tmp_path / "slides.csv.gz"
    rows = ["sep=;", "SLIDE;MPP ", "a b\\Müller.svs;0,25", ";", "https://host/b.zarr;", ""]
    listed.write_bytes("\r\n".join(rows).encode("cp1252"))
    first, second = find_slides(listed)
    assert (first, first.line) == (SlideEntry(slide, 0.25), 3)
    assert (second.path, second.line) == (Path("https://host/b.zarr"), 5)
    listed.write_text(f"path\na b/Müller.svs\n\n{slide.as_uri()}\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"line 4: .*a second time, first in line 2"):
        find_slides(listed)
    listed.write_text("path,mpp\na.svs,inf\n")
    with pytest.raises(DataError, match=r"line 2: mpp 'inf'"):
        find_slides(listed)
    workbook = tmp_path / "slides.xlsx"
    workbook.write_bytes(b"PK\3\4")
    with pytest.raises(DataError, match=r"a spreadsheet .*save the table as CSV"):
        find_slides(workbook)
