"""Tables of spreadsheets and other programs."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import napari_liverdx
from napari_liverdx._text import csv_text, original_cell
from napari_liverdx.core.errors import DataError
from napari_liverdx.slides.csv_table import Row, number_in, read_table


def rows_of(folder: Path, content: str | bytes, *columns: str) -> list[Row]:
    path = folder / "table.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table(path, columns or ("path",))


PLAIN = "Path;LABEL; MPP \r\nMüller.svs;fat;0,25\r\n;;\r\n"


@pytest.mark.parametrize(
    "content",
    [
        PLAIN.encode(),
        PLAIN.encode("utf-8-sig"),
        PLAIN.encode("cp1252"),
        gzip.compress(PLAIN.encode("cp1252"), mtime=0),
        PLAIN.replace("\r\n", "\r").encode("mac_roman"),
        PLAIN.replace(";", "\t").encode("utf-16"),
        PLAIN.replace(";", "\t").encode("utf-16-le"),
        f"sep=;\r\n{PLAIN}".encode("cp1252"),
        PLAIN.replace("Path", "SLIDE").encode("cp1252") + b"\x1a",
        f'"sep=;"\r\n{PLAIN}'.encode(),
        f"# of the first study\n\n{PLAIN}# 2024\n".encode(),
        f"Biopsies, first study\n;;\nof;2024\n{PLAIN}".encode("cp1252"),
        PLAIN.replace("\r\n", ";;\r\n").encode(),
        b'"path","label","mpp"\n"M\xc3\xbcller.svs","fat","0,25"\n',
        b"path|label|mpp\nM\xc3\xbcller.svs|fat|.25\n",
        b"mpp, label, path\n 0.25, fat, M\xc3\xbcller.svs\n",
    ],
)
def test_a_table_is_read_however_it_was_saved(tmp_path: Path, content: bytes) -> None:
    (row,) = rows_of(tmp_path, content, "path", "label", "mpp")
    assert (row["path"], row["label"], float(row["mpp"])) == ("Müller.svs", "fat", 0.25)
    assert (row["PATH"], row.get("Label"), row.get("group")) == ("Müller.svs", "fat", "")
    assert "Mpp" in row
    assert "group" not in row
    with pytest.raises(KeyError):
        row["group"]


def test_the_examples(data_root: Path) -> None:
    path = data_root / "cases" / "tables" / "excel_ansi.csv"
    (row,) = napari_liverdx.read_table(path, ["path", "label", "mpp"])
    assert dict(row) == {"path": "Biopsie_Müller.svs", "label": "fat", "mpp": "0.25"}


def test_paths_are_spelled_as_here(tmp_path: Path) -> None:
    (tmp_path / "c\\d.svs").touch()
    cells = ["a\\b.svs", '"C:\\x\\b.svs"', "file:///a%20b/c.svs", "https://h/a.zarr", "./a.svs"]
    text = csv_text([("Path", "n"), *((cell, 1) for cell in [*cells, "c\\d.svs", ""])])
    found = [row["path"] for row in rows_of(tmp_path, text)]
    here = ["a/b.svs", "C:/x/b.svs", "/a b/c.svs", "https://h/a.zarr", "./a.svs"]
    assert found == [*here, "c\\d.svs", ""]


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    content = 'sep=,\n\npath,label\na.svs,x\n,,\n"b\nc.svs",y\nd.svs,z\n'
    assert [(r.line, r["path"]) for r in rows_of(tmp_path, content)] == [
        (4, "a.svs"),
        (6, "b\nc.svs"),
        (8, "d.svs"),
    ]


def test_decimal_commas_are_points_in_columns_of_numbers_alone(tmp_path: Path) -> None:
    first, second = rows_of(tmp_path, "path;mpp;group;n\na;0,25;1,5;1\nb;;p;-1,5e3\n")
    assert (first["mpp"], first["group"], second["n"]) == ("0.25", "1,5", "-1.5e3")
    (row,) = rows_of(tmp_path, 'path,mpp,cells\na,"0,25","1,234"\n')
    assert (row["mpp"], row["cells"]) == ("0.25", "1,234")
    assert [number_in(t) for t in (" 0,5 ", "5", "1e999", "nan", "a", "")] == [
        0.5,
        5,
        None,
        None,
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("\n;;\n", "is empty"),
        ("path\n", "no row"),
        ("path;x\n;\n", "no row"),
        ("File;Notes\na;b\n", "lacks column path; it has File, Notes. Add"),
        ("path,Label,label\na,b,c\n", "column label stands in the table more than once"),
        ("path,mpp\nb,1\na,0,25\n", "line 3: 3 values under 2 columns"),
        ('path,x\nb,1\n"a,0\nc,1\n', "line 3: .*never closed"),
        ("path,x\n" + "a" * 200_000 + ",1\n", "line 2: .*limit"),
        ("path,x\n" + "," * 1_000_001 + "\n", "line 2: .*1,000,000 signs"),
        ("<?xml version='1.0'?><Workbook/>", "this is XML"),
        ("\n<!DOCTYPE html><table/>", "this is a web page"),
        (b"path\n\xff\xfe\0\n", "binary"),
        (b"PK\3\4", "spreadsheet .*save the table as CSV"),
    ],
)
def test_what_is_no_table_is_told(tmp_path: Path, content: str | bytes, words: str) -> None:
    with pytest.raises(DataError, match=f"table.csv.*{words}"):
        rows_of(tmp_path, content)


def test_a_table_of_one_column_has_no_separator(tmp_path: Path) -> None:
    assert [r["path"] for r in rows_of(tmp_path, "Path\na, b.svs\nc;d.svs\n")] == [
        "a, b.svs",
        "c;d.svs",
    ]


CELLS = st.text(st.characters(exclude_characters="\0\ufeff", exclude_categories=["Cs"]), max_size=8)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=4),
    st.sampled_from(";,\t|"),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_what_csv_writes_is_read(
    tmp_path: Path, rows: Sequence[tuple[str, str]], separator: str, end: str
) -> None:
    rows = [(f"a{name}z", value) for name, value in rows]
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([("name", "value"), *rows])
    found = rows_of(tmp_path, text.getvalue(), "name", "value")
    assert [r["name"] for r in found] == [original_cell(name) for name, _ in rows]
    values = [original_cell(value.strip()) for _, value in rows]
    assert [r["value"] for r in found] in (values, [v.replace(",", ".") for v in values])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60), st.integers(0, 60))
def test_any_file_is_a_table_or_an_error(tmp_path: Path, noise: bytes, at: int) -> None:
    with suppress(DataError):
        rows = rows_of(tmp_path, PLAIN.encode()[:at] + noise + PLAIN.encode()[at:])
        assert all("path" in row for row in rows)
