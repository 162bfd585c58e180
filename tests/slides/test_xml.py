"""XML of any encoding is read, harmful XML is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_liverdx.core.errors import DataError, NotASlideError
from napari_liverdx.slides.xml import XML_BYTES, looks_like_xml, parse_xml

DECLARED = '<?xml version="1.0" encoding="{}"?><a b="\u00fc"/>'


@pytest.mark.parametrize(
    "content",
    [
        '<a b="\u00fc"/>',
        '<a b="&#252;"/>\0\0',
        DECLARED.format("UTF-16"),
        DECLARED.format("UTF-16").encode("utf-16"),
        DECLARED.format("UTF-16").encode("utf-16-le"),
        DECLARED.format("UTF-16").encode(),
        b"  \n" + DECLARED.format("windows-1252").encode("cp1252") + b"\0",
        DECLARED.format("utf-8").encode("cp1252"),
        DECLARED.format("no-such").encode(),
        '<a b="\u00fc"/>'.encode("utf-8-sig"),
        '<a b="\u00fc"/>'.encode("cp1252"),
        b"<!DOCTYPE a>" + '<a b="\u00fc"/>'.encode(),
    ],
)
def test_every_encoding_is_read(content: bytes | str) -> None:
    root = parse_xml(content, "a.xml")
    assert (root.tag, root.get("b")) == ("a", "\u00fc")
    if isinstance(content, bytes):
        assert looks_like_xml(content)


@pytest.mark.parametrize(
    "content",
    [
        '<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;">]><a>&d;</a>',
        '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
        '<!DOCTYPE a [<!ENTITY % b SYSTEM "http://localhost/b"> %b;]><a/>',
    ],
)
def test_entities_are_refused(content: str) -> None:
    with pytest.raises(DataError, match=r"^a\.xml: .*not read\. Save"):
        parse_xml(content, "a.xml")


def test_no_more_is_read_than_fits_in_memory() -> None:
    with pytest.raises(DataError, match="larger than"):
        parse_xml(b"<a>" + b" " * XML_BYTES + b"</a>", Path("a.xml"))
    with pytest.raises(DataError, match="larger than"):
        parse_xml(b"<" * 3_000_001, Path("a.xml"))
    with pytest.raises(DataError, match="larger than"):
        parse_xml("<a " + "b='c' " * 1_000_000 + "/>", Path("a.xml"))
    deep = parse_xml(b"<a>" * 100_000 + b"</a>" * 100_000, "a.xml")
    assert sum(1 for _ in deep.iter("a")) == 100_000


@settings(max_examples=60)
@given(st.one_of(st.binary(max_size=40), st.text(max_size=40)), st.integers(0, 40))
def test_anything_else_is_damaged(noise: bytes | str, at: int) -> None:
    good = DECLARED.format("utf-8")
    whole = good.encode()[:at] + noise if isinstance(noise, bytes) else good[:at] + noise
    with pytest.raises(NotASlideError, match=r"^tag 270: "):
        parse_xml(whole, "tag 270", NotASlideError)


def test_xml_is_told_by_its_first_sign() -> None:
    assert not looks_like_xml(b'{"a": "<"}')
    assert not looks_like_xml(b"")
