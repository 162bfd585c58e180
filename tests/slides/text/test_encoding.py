"""The encoding of a text is told from the text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_liverdx.slides.text.encoding import decode_text

WORDS = {
    "utf-8": "Müller; Łódź; 肝臓; печень",
    "utf-16": "Müller; Łódź; 肝臓; печень",
    "utf-8-sig": "Müller",
    "utf-32": "Müller; 肝臓",
    "cp1252": "Biopsie_Müller; Größe; Übung; café; señor; 0,25 µm; m²; a–b; “x”; O’Brien",
    "mac_roman": "Biopsie_Müller; Größe; Übung; café; señor",
    "cp850": "Biopsie_Müller; Köln; Größe; ähnlich; café; señor",
    "cp1250": "Łódź; wątroba; tłuszcz; włókno",
    "cp1251": "печень; жир; Биопсия",
    "gb18030": "肝脏; 脂肪; 正常组织",
}


@pytest.mark.parametrize("encoding", WORDS)
@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
def test_words_come_back(encoding: str, end: str) -> None:
    text = f"path;label{end}{WORDS[encoding]};fat{end}"
    assert decode_text(text.encode(encoding)) == text


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_wide_text_needs_no_mark(encoding: str) -> None:
    text = "path\tlabel\r\nMüller\tfat\r\n"
    assert decode_text(text.encode(encoding)) == text
    assert decode_text(f"\ufeff{text}".encode(encoding)) == text


@given(st.binary(max_size=60))
def test_any_bytes_are_text_or_none(content: bytes) -> None:
    try:
        text = decode_text(content)
    except ValueError:
        return
    assert "\0" not in text


@given(st.text(st.characters(exclude_characters="\0\ufeff", exclude_categories=["Cs"])))
def test_utf8_is_never_mistaken(text: str) -> None:
    assert decode_text(text.encode()) == text
