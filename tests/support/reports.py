"""What reports say."""

from __future__ import annotations

import html
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from napari_liverdx.results.findings import Findings, measure_result
from napari_liverdx.results.measure_settings import MeasureSettings
from napari_liverdx.results.measurement_map import MapKind
from napari_liverdx.results.store import ResultStore
from tests.support.results import SQUARE


def findings(
    store: ResultStore, map_kind: MapKind = MapKind.SUBTILES, cut: float = 0.5
) -> Findings:
    settings = MeasureSettings({"fat": cut}, map_kind=map_kind)
    return measure_result(store, settings, regions=[("Field <A> & B", SQUARE)])


def text_of(page: Path) -> str:
    """What a page says, without markup and pictures."""
    content = page.read_text(encoding="utf-8")
    content = re.sub(r"<style>.*?</style>|data:image/[^\"]*", " ", content, flags=re.DOTALL)
    return html.unescape(re.sub(r"<[^>]*>", " ", content))


def pdf_text(path: Path, *options: str) -> str:
    """What a PDF says, by poppler; skips without it."""
    try:
        done = subprocess.run(
            ["pdftotext", *options, str(path), "-"], capture_output=True, check=True
        )
    except FileNotFoundError:
        pytest.skip("pdftotext is not on this machine")
    return done.stdout.decode()


class Page(HTMLParser):
    """All elements of a page with what they name, and its text."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(content)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def check_harmless(content: str) -> Page:
    """Nothing on a page runs, loads or leads anywhere."""
    page = Page(content)
    assert not page.tags & {"script", "iframe", "object", "embed", "link", "base", "form", "a"}
    for name, value in page.attributes:
        assert not name.startswith("on"), name
        assert name not in ("href", "srcset", "action", "formaction"), name
        assert name != "src" or str(value).startswith("data:image/"), value
    assert ("http-equiv", "Content-Security-Policy") in page.attributes
    return page
