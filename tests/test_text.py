"""Text from files does no harm where it is shown or written, and comes back as it was."""

from __future__ import annotations

import csv
import io
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_liverdx._text import csv_text, original_cell, printable, safe_cell, storable
from napari_liverdx.slides.csv_table import read_table

EVIL = ["=cmd|' /C calc'!A0", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "＝1", " =1"]


@pytest.mark.parametrize("text", [*EVIL, "-", "'=1", "a;=1", "a,-b", "a\n@b"])
def test_no_cell_is_a_formula(text: str) -> None:
    """Neither here nor where a semicolon or a line end parts the cells."""
    cell = str(safe_cell(text))
    for separator in ",;\t\n":
        for part in cell.split(separator):
            assert not part.lstrip(" ").startswith(("=", "+", "-", "@", "＝"))
    assert not cell.startswith(("\t", "\r", "\n"))
    assert original_cell(cell) == text


@pytest.mark.parametrize("value", [-1.5, -3, "-1.5", "+2", "-1e-05", "-0,25", "", "fat", "a-b = c"])
def test_numbers_and_plain_text_stay(value: object) -> None:
    assert safe_cell(value) == value


WITHOUT_SURROGATES = st.text(st.characters(exclude_categories=["Cs"]))


@given(WITHOUT_SURROGATES | st.text("=+-@';,|\t\r\n a1"))
def test_what_was_written_comes_back(text: str) -> None:
    assert original_cell(str(safe_cell(text))) == text
    ((cell, number),) = csv.reader(io.StringIO(csv_text([(text, -1.5)]), newline=""))
    assert (original_cell(cell), number) == (text, "-1.5")


def test_our_tables_read_what_our_tables_hold(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(csv_text([("path", "=label"), ("=a.svs", "-fat"), ("b;@c.svs", "x")]))
    first, second = read_table(path, ["path", "=label"])
    assert (first["path"], first["=label"], second["path"]) == ("=a.svs", "-fat", "b;@c.svs")


@given(st.text())
def test_a_terminal_obeys_no_text(text: str) -> None:
    shown = printable(text)
    assert not {c for c in shown if unicodedata.category(c) in ("Cc", "Cs")} - set("\t\n")
    assert "\n" not in printable(text, lines=False)
    assert shown.encode() is not None


def test_what_a_terminal_would_obey() -> None:
    assert printable("a\x1b[31mb\x9b2J\u202ec\r") == "a�[31mb�2J�c�"
    assert printable("Müller\n肝 👩‍🔬\t") == "Müller\n肝 👩‍🔬\t"
    assert printable("a\nb", lines=False) == "a�b"
    assert storable("M\udcfcller") == r"M\udcfcller"
