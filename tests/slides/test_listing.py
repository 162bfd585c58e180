"""Slides of a folder and of a table."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from napari_liverdx.core.errors import DataError
from napari_liverdx.exports.base import ExportOptions
from napari_liverdx.exports.registry import EXPORTS
from napari_liverdx.results.store import ResultStore
from napari_liverdx.slides.address import remote_address
from napari_liverdx.slides.listing import SlideEntry, find_slides, read_slide_table
from tests.support.dicom_slides import Written, changed, write_pyramid_slide, write_slide
from tests.support.ome_zarr import write_ome_zarr
from tests.support.paths import CMU
from tests.support.results import oblong_result
from tests.support.slides import waves


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


def test_a_folder_of_dicom_files_is_one_slide(tmp_path: Path) -> None:
    folder = tmp_path / "case 1"
    write_pyramid_slide(folder, waves(100, 90))
    assert find_slides(folder) == (SlideEntry(folder),)
    assert find_slides(folder, pattern="*.DCM") == (SlideEntry(folder),)
    shutil.copyfile(CMU, tmp_path / "a.svs")
    assert [e.path.name for e in find_slides(tmp_path)] == ["a.svs", "case 1"]
    assert [e.path.name for e in find_slides(tmp_path, recursive=True)] == ["a.svs", "case 1"]
    (file, *_) = sorted(folder.iterdir())
    assert find_slides(file) == (SlideEntry(file),)


def test_two_dicom_slides_in_a_folder_are_two(tmp_path: Path) -> None:
    wanted = [
        write_slide(tmp_path / "both", waves(100, 90), Written(slide=n, suffix=""))[0]
        for n in (1, 2)
    ]
    for number in (1, 2):
        label = Written(slide=number, number=3, kind="LABEL", suffix="")
        write_slide(tmp_path / "both", waves(48, 64), label)
    assert [e.path for e in find_slides(tmp_path / "both")] == wanted
    assert [e.path for e in find_slides(tmp_path, recursive=True)] == wanted
    with pytest.raises(DataError, match="--recursive"):
        find_slides(tmp_path)


def test_other_dicom_files_are_no_slides(tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    store = oblong_result(tmp_path)
    EXPORTS["dicom"].write(store, tmp_path / "slides" / "a.dicom", ExportOptions())
    (label,) = write_slide(tmp_path / "slides", waves(48, 64), Written(kind="LABEL"))
    with pytest.raises(DataError, match="no slide in this folder"):
        find_slides(tmp_path / "slides", recursive=True)
    changed(label, SamplesPerPixel=None)
    # It fails in its turn, and says why.
    assert find_slides(tmp_path / "slides") == (SlideEntry(label),)


def test_a_zarr_folder_is_one_slide_and_a_result_is_none(
    tmp_path: Path, twelve_tiles: ResultStore
) -> None:
    (tmp_path / "in").mkdir()
    inner = write_ome_zarr(tmp_path / "in" / "a.ome.zarr", waves())
    assert [s.path for s in find_slides(tmp_path, recursive=True)] == [inner]
    assert [s.path for s in find_slides(inner)] == [inner]
    assert twelve_tiles.path.parent == tmp_path
    table = tmp_path / "slides.csv"
    table.write_text("path\nin/a.ome.zarr\nhttps://host/b.zarr\n")
    assert [remote_address(s.path) for s in find_slides(table)] == [None, "https://host/b.zarr"]
