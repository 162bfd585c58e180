"""What reports say."""

from __future__ import annotations

import html
import re
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from napari_liverdx.core.grid import TileIndex
from napari_liverdx.reports.write import ReportOptions, save_report
from napari_liverdx.results.findings import Findings, measure_result
from napari_liverdx.results.measure_settings import MeasureSettings
from napari_liverdx.results.measurement_map import MapKind
from napari_liverdx.results.review_log import Decision
from napari_liverdx.results.store import ResultStore
from tests.support.models import CLASSES, make_card
from tests.support.results import SQUARE, square_result

EVIL = "\"><script>alert(1)</script><img src=x onerror=alert(1)>&lt;b&gt;{{ 7 * 7 }}'<!--"


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


def evil_report(folder: Path) -> Path:
    """Write a report in which all that can have a name is called `EVIL`; returns its page."""
    classes = tuple(replace(c, title=f"{c.title} {EVIL}") for c in CLASSES)
    store = square_result(
        folder / "a.liverdx.zarr", classes=classes, slide_name=f"{EVIL}.svs", model_name=EVIL,
        mpp_source=EVIL, slide_format=EVIL,
    )  # fmt: skip
    store.decisions.put(TileIndex(0, 0), Decision.reject("fat", "liver"))
    card = make_card(
        classes=classes, title=EVIL, summary=EVIL, training_data=EVIL, limitations=EVIL,
        intended_use=EVIL, version=EVIL, metrics={EVIL: {"value": 0.5, "how": EVIL}},
    )  # fmt: skip
    regions = [(EVIL, SQUARE), ("=1+1", SQUARE)]
    findings = measure_result(store, MeasureSettings({"fat": 0.5}), regions=regions)
    return save_report(findings, store, None, card, ReportOptions(("html", "csv", "pdf"), 2))
