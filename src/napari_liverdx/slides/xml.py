"""Reading XML that comes from anywhere: slide descriptions and annotations."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree.ElementTree import Element

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from napari_liverdx.core.errors import DataError, LiverDxError

__all__ = ["XML_BYTES", "looks_like_xml", "parse_xml"]

XML_BYTES = 64 << 20
"""Longest XML that is read."""

_MOST_TAGS = 3_000_000
"""Opening and closing tags; each element takes about half a kilobyte of memory."""

_LONGEST_TAG = 4 << 20
"""Signs between the brackets of a tag, all its attributes."""

_DECLARATION = re.compile(r"\A\s*<\?xml\b[^>]*?\?>")


def looks_like_xml(head: bytes) -> bool:
    """Return whether the first bytes of a file are those of XML, in UTF-8 or UTF-16."""
    return head.replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n").startswith(b"<")


def parse_xml(
    content: bytes | str, where: str | Path, error: type[LiverDxError] = DataError
) -> Element:
    """Return the root of XML from a file nobody vouches for.

    Entities are not expanded and nothing outside is fetched: XML that defines entities is refused;
    character references, as ``&#181;``, are read. Bytes that are not of the encoding they claim
    are read as UTF-8, else as Windows-1252, as older programs write them. Zeros at the end, as
    TIFF tags have them, and blanks before the declaration do not count.

    Parameters
    ----------
    content : bytes or str
        The XML, at most `XML_BYTES` long.
    where : str or Path
        Named in errors: the file, and the place in it.
    error : type of LiverDxError
        Kind of error that is raised.

    Returns
    -------
    xml.etree.ElementTree.Element
        Tags with a namespace are spelled ``{namespace}tag``.

    Raises
    ------
    LiverDxError
        If it is no XML, defines entities, or is too large.
    """
    if _is_too_large(content):
        raise error(
            f"{where}: the XML is larger than what is read ({XML_BYTES >> 20} MiB, "
            f"{_MOST_TAGS:,} tags); write what is needed to a file of its own"
        )
    try:
        if isinstance(content, str):
            return _parsed(content.strip("\0 \t\r\n\N{ZERO WIDTH NO-BREAK SPACE}"))
        try:
            return _parsed(content.strip(b" \t\r\n") if b"\0" in content[:4] else _trimmed(content))
        except (ParseError, LookupError, ValueError) as problem:
            if isinstance(problem, DefusedXmlException):
                raise
            return _parsed(_DECLARATION.sub("", _decoded(content).strip("\0 \t\r\n")))
    except DefusedXmlException as problem:
        raise error(
            f"{where}: the XML defines entities or refers to other files, which could do harm; it "
            "is not read. Save it without a document type"
        ) from problem
    except (ParseError, LookupError, ValueError) as problem:
        raise error(f"{where}: damaged XML ({problem})") from problem


def _is_too_large(content: bytes | str) -> bool:
    if len(content) > XML_BYTES:
        return True
    tags = content.count("<") if isinstance(content, str) else content.count(b"<")
    if tags > _MOST_TAGS or len(content) < _LONGEST_TAG:
        return tags > _MOST_TAGS
    pattern = f"<[^>]{{{_LONGEST_TAG}}}"
    if isinstance(content, str):
        return re.search(pattern, content) is not None
    return re.search(pattern.encode(), content) is not None


def _parsed(content: bytes | str) -> Element:
    if isinstance(content, str):
        # A lone surrogate, which no text has, is no reason to stop.
        content = content.encode("utf-8", errors="replace").decode("utf-8")
    root: Element = fromstring(content)
    return root


def _trimmed(content: bytes) -> bytes:
    return content.strip(b"\0 \t\r\n")


def _decoded(content: bytes) -> str:
    """Return the text whatever the declaration says of its encoding."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")
