"""In which encoding a text was saved, where nothing says so."""

from __future__ import annotations

import codecs
import locale
import re
import unicodedata
from collections.abc import Iterator

__all__ = ["decode_text"]

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CODE_PAGES = ("cp1252", "cp1250", "mac_roman", "cp850", "cp1251", "gb18030", "cp932")
"""What Excel and older programs write on Windows and a Mac, the likelier first."""

_HEAD = 4096
"""Bytes that tell UTF-16 without a mark."""

_JUDGED = 20_000
"""Signs beyond ASCII that are looked at."""

_COMMON = frozenset("äöüßéèêàçñáíóúåæøµ")
"""Letters beyond ASCII that Western European words have most."""

_FOREIGN_RUN = re.compile("[\u0080-\u024f]{3,}")
"""Accented Latin letters in a row: no Western word has so many, Cyrillic in a wrong page has."""


def decode_text(content: bytes) -> str:
    """Return the text of a file: UTF-8, UTF-16 with and without its mark, else a code page.

    Of the code pages that can be meant, the one counts in which letters beyond ASCII stand as
    they do in words: no sign within a word, no capital after a small letter, no two scripts in one
    word. Among equals that of this computer comes first, then Windows-1252.

    Parameters
    ----------
    content : bytes
        The whole file.

    Returns
    -------
    str
        Without a byte order mark.

    Raises
    ------
    ValueError
        If it is no text: UTF-16 cut within a letter, or bytes that are zero.
    """
    text = _decoded(content).lstrip("\N{ZERO WIDTH NO-BREAK SPACE}")
    if "\0" in text:
        raise ValueError("it is binary, not text")
    return text


def _decoded(content: bytes) -> str:
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content.decode(encoding)
    if wide := _wide(content[:_HEAD]):
        return content.decode(wide)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        if b"\0" in content:
            raise ValueError("it is binary, not text") from None
    return min(_candidates(content), key=_oddities, default=None) or content.decode("latin-1")


def _wide(head: bytes) -> str | None:
    """Return the kind of UTF-16: every other byte is often zero, as in a text with ASCII."""
    pairs = len(head) // 2
    if pairs < 2:
        return None
    first, second = head[: pairs * 2 : 2].count(0), head[1 : pairs * 2 : 2].count(0)
    if max(first, second) < max(2, pairs / 4) or min(first, second) * 8 > max(first, second):
        return None
    return "utf-16-le" if second > first else "utf-16-be"


def _candidates(content: bytes) -> Iterator[str]:
    pages = list(_CODE_PAGES)
    if b"\r" in content and b"\n" not in content:
        pages.sort(key=lambda page: page != "mac_roman")
    own = codecs.lookup(locale.getencoding()).name
    if own not in ("utf-8", "ascii", "iso8859-1"):
        pages.insert(0, own)
    for page in pages:
        try:
            yield content.decode(page)
        except ValueError:
            continue


def _oddities(text: str) -> tuple[int, int]:
    """Return how many signs stand where none stands in a word, and how many letters are rare."""
    odd, rare = sum(len(run) for run in _FOREIGN_RUN.findall(text)), 0
    for judged, match in enumerate(re.finditer(r"[^\x00-\x7f]", text)):
        if judged >= _JUDGED:
            break
        at, sign = match.start(), match.group()
        odd += _is_odd(sign, text[at - 1 : at], text[at + 1 : at + 2])
        rare += sign.isalpha() and sign.lower() not in _COMMON and _script(sign) == "LATIN"
    return odd, rare


def _is_odd(sign: str, before: str, after: str) -> bool:
    if sign.isalpha():
        if any(c.isalpha() and _script(c) != _script(sign) for c in (before, after)):
            return True
        return sign.isupper() and (before.islower() or (before.isupper() and after.islower()))
    kind = unicodedata.category(sign)
    if kind == "Pd" or sign == "\N{RIGHT SINGLE QUOTATION MARK}":
        return False
    if kind in ("Ps", "Pi"):
        return before.isalpha()
    if kind in ("Pe", "Pf", "No"):
        return after.isalpha()
    return kind == "Cc" or before.isalpha() or after.isalpha()


def _script(letter: str) -> str:
    """Return the first word of a letter's name: LATIN, CYRILLIC, CJK."""
    name = unicodedata.name(letter, "")
    # Micro and the ordinal signs are used within Latin words; kana and ideographs go together.
    script = name.partition(" ")[0]
    return {"MICRO": "LATIN", "FEMININE": "LATIN", "MASCULINE": "LATIN"}.get(
        script, "CJK" if script in ("HIRAGANA", "KATAKANA") else script
    )
